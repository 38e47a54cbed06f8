package vfstest

import (
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/fastrestart/frs/vfs"
)

func testRename(s suite) {
	f := s.create("a", "A")
	s.must(s.fs.Rename(s.path("a"), s.path("b")))
	s.absent("a")
	s.holds("b", "A")
	s.write(f, "AA", 0) // the handle follows the file
	s.holds("b", "AA")
	s.must(s.fs.Rename(s.path("b"), s.path("b")))
	s.holds("b", "AA")

	s.put("c", "C")
	s.must(f.Close())
	s.must(s.fs.Rename(s.path("c"), s.path("b")))
	s.holds("b", "C")
	s.lists("", "b")

	s.must(s.fs.MkdirAll(s.path("d")))
	s.must(s.fs.Rename(s.path("b"), s.path("d", "b")))
	s.holds(filepath.Join("d", "b"), "C")
	s.lists("", "d")
}

func testRenameErrors(s suite) {
	s.put("a", "A")
	s.must(s.fs.MkdirAll(s.path("d", "e")))
	s.is("Rename of a missing file", s.fs.Rename(s.path("x"), s.path("y")), fs.ErrNotExist)
	s.is("Rename into a missing directory", s.fs.Rename(s.path("a"), s.path("x", "y")), fs.ErrNotExist)
	s.is("Rename of a file to a directory", s.fs.Rename(s.path("a"), s.path("d")), fs.ErrExist)
	s.is("Rename of a directory to a file", s.fs.Rename(s.path("d"), s.path("a")), nil)
	s.is("Rename of a directory into itself", s.fs.Rename(s.path("d"), s.path("d", "e", "f")), nil)
	s.holds("a", "A")
	s.lists("", "a", "d")
	s.lists("d", "e")
}

func testRenameDirectory(s suite) {
	s.must(s.fs.MkdirAll(s.path("d", "e")))
	s.put(filepath.Join("d", "a"), "A")
	s.must(s.fs.MkdirAll(s.path("trash")))
	s.must(s.fs.Rename(s.path("d"), s.path("trash", "d")))
	s.lists("", "trash")
	s.lists(filepath.Join("trash", "d"), "a", "e")
	s.holds(filepath.Join("trash", "d", "a"), "A")
	s.must(s.fs.MkdirAll(s.path("n")))
	s.is("Rename of a directory to another", s.fs.Rename(s.path("n"), s.path("trash", "d")), fs.ErrExist)
}

func testRemove(s suite) {
	s.is("Remove of a missing file", s.fs.Remove(s.path("a")), fs.ErrNotExist)
	s.put("a", "A")
	s.must(s.fs.Remove(s.path("a")))
	s.absent("a")
	s.put("a", "B")
	s.holds("a", "B")
	s.must(s.fs.MkdirAll(s.path("d", "e")))
	s.is("Remove of a directory that is not empty", s.fs.Remove(s.path("d")), nil)
	s.must(s.fs.Remove(s.path("d", "e")))
	s.must(s.fs.Remove(s.path("d")))
	s.lists("", "a")
}

func testMkdirAll(s suite) {
	s.must(s.fs.MkdirAll(s.path("a", "b", "c")))
	s.must(s.fs.MkdirAll(s.path("a", "b", "c")))
	s.must(s.fs.MkdirAll(s.path("a", "b2") + string(filepath.Separator)))
	s.must(s.fs.MkdirAll(s.dir))
	s.lists("a", "b", "b2")
	s.put("f", "F")
	s.is("MkdirAll where a file is", s.fs.MkdirAll(s.path("f")), nil)
	s.is("MkdirAll below a file", s.fs.MkdirAll(s.path("f", "g", "h")), nil)
	s.holds("f", "F")
}

func testList(s suite) {
	s.lists("")
	for _, name := range []string{"b", "a10", "a9", "C", "a"} {
		s.put(name, "")
	}
	s.must(s.fs.MkdirAll(s.path("dir", "below")))
	s.lists("", "C", "a", "a10", "a9", "b", "dir")
	_, err := s.fs.List(s.path("missing"))
	s.is("List of a missing directory", err, fs.ErrNotExist)
	_, err = s.fs.List(s.path("a"))
	s.is("List of a file", err, nil)
}

func testStat(s suite) {
	s.put("a", "abc")
	if st, err := s.fs.Stat(s.path("a")); err != nil || st != (vfs.Info{Size: 3, Links: 1}) {
		s.Errorf("Stat of a file = %+v, %v", st, err)
	}
	if st, err := s.fs.Stat(s.dir); err != nil || !st.IsDir {
		s.Errorf("Stat of a directory = %+v, %v", st, err)
	}
	s.absent("b")
	s.absent(filepath.Join("missing", "b"))
}

func testSyncDir(s suite) {
	s.put("a", "abc")
	s.must(s.fs.SyncDir(s.dir))
	s.holds("a", "abc")
	s.is("SyncDir of a missing directory", s.fs.SyncDir(s.path("missing")), fs.ErrNotExist)
	s.is("SyncDir of a file", s.fs.SyncDir(s.path("a")), nil)
}

func testFree(s suite) {
	free, total, err := s.fs.Free(s.dir)
	if err != nil || free < 0 || free > total || total <= 0 {
		s.Errorf("Free = %d of %d, %v", free, total, err)
	}
	_, _, err = s.fs.Free(s.path("missing"))
	s.is("Free of a missing directory", err, fs.ErrNotExist)
}

func testErrorsNameTheFile(s suite) {
	const name = "some-file"
	path := s.path(name)
	_, open := s.fs.Open(path)
	_, stat := s.fs.Stat(path)
	_, list := s.fs.List(path)
	_, lock := s.fs.Lock(path, vfs.Shared)
	for what, err := range map[string]error{
		"Open": open, "Stat": stat, "List": list, "Lock": lock,
		"Remove": s.fs.Remove(path), "Rename": s.fs.Rename(path, s.path("b")),
		"Link": s.fs.Link(path, s.path("b")), "SyncDir": s.fs.SyncDir(path),
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			s.Errorf("%s: error %v does not name the file", what, err)
		}
	}
}
