package vfstest

import (
	"bytes"
	"io"
	"io/fs"
	"strings"

	"github.com/fastrestart/frs/vfs"
)

func testCreate(s suite) {
	f := s.create("a", "")
	if got := s.content(f); got != "" {
		s.Errorf("a new file holds %q", got)
	}
	if got := f.Name(); got != s.path("a") {
		s.Errorf("Name() = %q, want %q", got, s.path("a"))
	}
	s.write(f, "x", 0)
	_, err := s.fs.Create(s.path("a"))
	s.is("Create of a file that exists", err, fs.ErrExist)
	s.holds("a", "x")
	s.must(s.fs.MkdirAll(s.path("d")))
	_, err = s.fs.Create(s.path("d"))
	s.is("Create where a directory is", err, fs.ErrExist)
	_, err = s.fs.Create(s.path("missing", "a"))
	s.is("Create in a missing directory", err, fs.ErrNotExist)
	_, err = s.fs.Create(s.path("a", "b"))
	s.is("Create below a file", err, nil)
}

func testOpen(s suite) {
	_, err := s.fs.Open(s.path("a"))
	s.is("Open of a missing file", err, fs.ErrNotExist)
	s.put("a", "content")
	f, err := s.fs.Open(s.path("a"))
	s.must(err)
	defer f.Close()
	_, err = f.WriteAt([]byte("x"), 0)
	s.is("WriteAt of a file opened for reading", err, nil)
	s.is("Truncate of a file opened for reading", f.Truncate(1), nil)
	s.is("Allocate of a file opened for reading", f.Allocate(100), nil)
	if got := s.content(f); got != "content" {
		s.Errorf("after refused changes the file holds %q", got)
	}
	_, err = s.fs.Open(s.dir)
	s.is("Open of a directory", err, nil)
}

func testOpenWrite(s suite) {
	_, err := s.fs.OpenWrite(s.path("a"))
	s.is("OpenWrite of a missing file", err, fs.ErrNotExist)
	s.absent("a")
	s.put("a", "content")
	f, err := s.fs.OpenWrite(s.path("a"))
	s.must(err)
	defer f.Close()
	s.write(f, "d", 3)
	s.holds("a", "condent")
	_, err = s.fs.OpenWrite(s.dir)
	s.is("OpenWrite of a directory", err, nil)
}

func testReadAt(s suite) {
	f := s.create("a", "0123456789")
	for _, c := range []struct {
		off  int64
		n    int
		want string
		err  error
	}{
		{0, 10, "0123456789", nil},
		{3, 4, "3456", nil},
		{9, 1, "9", nil},
		{0, 11, "0123456789", io.EOF},
		{8, 5, "89", io.EOF},
		{10, 1, "", io.EOF},
		{1 << 40, 1, "", io.EOF},
		{4, 0, "", nil},
	} {
		p := make([]byte, c.n)
		n, err := f.ReadAt(p, c.off)
		// At the very end io.ReaderAt allows a full read to say io.EOF.
		if err == io.EOF && n == c.n {
			err = nil
		}
		if string(p[:n]) != c.want || err != c.err {
			s.Errorf("ReadAt(%d bytes, %d) = %q, %v; want %q, %v", c.n, c.off, p[:n], err, c.want, c.err)
		}
	}
	_, err := f.ReadAt(make([]byte, 1), -1)
	s.is("ReadAt of a negative offset", err, nil)
}

func testWriteAt(s suite) {
	f := s.create("a", "")
	s.write(f, "tail", 9000)
	s.write(f, "head", 0)
	s.write(f, "mid", 4095)
	want := []byte(zeros(9004))
	copy(want, "head")
	copy(want[4095:], "mid")
	copy(want[9000:], "tail")
	s.holds("a", string(want))
	if n, err := f.WriteAt(nil, 100_000); n != 0 || err != nil {
		s.Errorf("WriteAt of nothing = %d, %v", n, err)
	}
	_, err := f.WriteAt([]byte("x"), -1)
	s.is("WriteAt of a negative offset", err, nil)
	p := []byte("head")
	s.write(f, string(p), 0)
	p[0] = 'X' // borrowed for the call only
	s.holds("a", string(want))
	s.write(f, zeros(4), 0)
	copy(want, zeros(4))
	s.holds("a", string(want))
}

func testLargeWrite(s suite) {
	data := make([]byte, 3<<20+123)
	for i := range data {
		data[i] = byte(i * 7 / 11)
	}
	f := s.create("a", "")
	s.write(f, string(data), 0)
	s.write(f, string(data), int64(len(data)))
	got := make([]byte, len(data))
	for _, off := range []int64{0, int64(len(data))} {
		if _, err := f.ReadAt(got, off); err != nil && err != io.EOF || !bytes.Equal(got, data) {
			s.Errorf("3 MiB at %d do not read back, error %v", off, err)
		}
	}
}

func testTruncate(s suite) {
	f := s.create("a", strings.Repeat("x", 10000))
	s.must(f.Truncate(5000))
	s.holds("a", strings.Repeat("x", 5000))
	s.must(f.Truncate(5003))
	s.must(f.Truncate(9000))
	s.holds("a", strings.Repeat("x", 5000)+zeros(4000))
	s.must(f.Truncate(0))
	s.holds("a", "")
	s.must(f.Truncate(10))
	s.holds("a", zeros(10))
	s.write(f, "abc", 2)
	s.must(f.Truncate(10))
	s.holds("a", zeros(2)+"abc"+zeros(5))
	s.is("Truncate to a negative size", f.Truncate(-1), nil)
}

func testAllocate(s suite) {
	f := s.create("a", "abc")
	s.must(f.Allocate(300_000))
	s.holds("a", "abc"+zeros(299_997))
	s.must(f.Allocate(2))
	s.must(f.Allocate(0))
	s.holds("a", "abc"+zeros(299_997))
	s.write(f, "end", 299_999)
	s.holds("a", "abc"+zeros(299_996)+"end")
	s.must(f.Truncate(1))
	s.must(f.Allocate(5))
	s.holds("a", "a"+zeros(4))
	s.is("Allocate of a negative size", f.Allocate(-1), nil)
}

func testSync(s suite) {
	f := s.create("a", "abc")
	s.must(f.Sync())
	s.write(f, "d", 3)
	s.must(f.SyncData())
	s.must(f.SyncData())
	s.holds("a", "abcd")
}

func testClosed(s suite) {
	f := s.create("a", "abc")
	s.must(f.Close())
	p := make([]byte, 1)
	for what, call := range map[string]func() error{
		"ReadAt":   func() error { _, err := f.ReadAt(p, 0); return err },
		"WriteAt":  func() error { _, err := f.WriteAt(p, 0); return err },
		"Sync":     func() error { return f.Sync() },
		"SyncData": func() error { return f.SyncData() },
		"Truncate": func() error { return f.Truncate(1) },
		"Allocate": func() error { return f.Allocate(10) },
		"Size":     func() error { _, err := f.Size(); return err },
		"Close":    func() error { return f.Close() },
	} {
		s.is(what+" of a closed file", call(), fs.ErrClosed)
	}
	s.holds("a", "abc")
}

func testLink(s suite) {
	f := s.create("a", "abc")
	s.must(s.fs.Link(s.path("a"), s.path("b")))
	s.write(f, "X", 0)
	s.holds("b", "Xbc")
	links := func(name string, want int) {
		s.Helper()
		if st, err := s.fs.Stat(s.path(name)); err != nil || st.Links != want {
			s.Errorf("%s has %d links, error %v; want %d", name, st.Links, err, want)
		}
	}
	links("a", 2)
	links("b", 2)
	// Two names of one file: renaming one to the other keeps the file.
	s.must(s.fs.Rename(s.path("a"), s.path("b")))
	s.holds("b", "Xbc")
	s.put("c", "")
	s.is("Link to a name that is taken", s.fs.Link(s.path("b"), s.path("c")), fs.ErrExist)
	s.is("Link of a missing file", s.fs.Link(s.path("missing"), s.path("d")), fs.ErrNotExist)
	s.is("Link into a missing directory", s.fs.Link(s.path("b"), s.path("missing", "d")), fs.ErrNotExist)
	s.is("Link of a directory", s.fs.Link(s.dir, s.path("d")), nil)
	s.must(s.fs.Link(s.path("b"), s.path("d")))
	s.must(s.fs.Remove(s.path("b")))
	if err := s.fs.Remove(s.path("a")); err != nil {
		s.absent("a") // the rename above may have removed it
	}
	links("d", 1)
	s.holds("d", "Xbc")
	s.must(s.fs.Link(s.path("d"), s.path("e")))
	s.must(s.fs.Rename(s.path("c"), s.path("e")))
	links("d", 1)
	links("e", 1)
}

func testRemoveOpenFile(s suite) {
	f := s.create("a", "old")
	r, err := s.fs.Open(s.path("a"))
	s.must(err)
	defer r.Close()
	s.must(s.fs.Remove(s.path("a")))
	s.absent("a")
	s.put("a", "new")
	s.write(f, "er content", 3)
	for _, h := range []vfs.File{f, r} {
		if got := s.content(h); got != "older content" {
			s.Errorf("a removed file reads %q", got)
		}
	}
	s.must(f.Sync())
	s.must(f.Truncate(2))
	if got := s.content(r); got != "ol" {
		s.Errorf("a removed file, truncated, reads %q", got)
	}
	s.holds("a", "new")
}
