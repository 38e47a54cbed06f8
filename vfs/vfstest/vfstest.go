package vfstest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fastrestart/frs/vfs"
)

// Run tests a file system. For each test, open is called once and returns a
// file system and an empty directory in it that exists.
func Run(t *testing.T, open func(t *testing.T) (fsys vfs.FS, dir string)) {
	for _, test := range []struct {
		name string
		run  func(s suite)
	}{
		{"Create", testCreate},
		{"Open", testOpen},
		{"OpenWrite", testOpenWrite},
		{"ReadAt", testReadAt},
		{"WriteAt", testWriteAt},
		{"LargeWrite", testLargeWrite},
		{"Truncate", testTruncate},
		{"Allocate", testAllocate},
		{"Sync", testSync},
		{"Closed", testClosed},
		{"Rename", testRename},
		{"RenameErrors", testRenameErrors},
		{"RenameDirectory", testRenameDirectory},
		{"Link", testLink},
		{"Remove", testRemove},
		{"RemoveOpenFile", testRemoveOpenFile},
		{"MkdirAll", testMkdirAll},
		{"List", testList},
		{"Stat", testStat},
		{"SyncDir", testSyncDir},
		{"LockModes", testLockModes},
		{"LockFile", testLockFile},
		{"Free", testFree},
		{"ErrorsNameTheFile", testErrorsNameTheFile},
		{"ConcurrentFiles", testConcurrentFiles},
		{"ConcurrentRanges", testConcurrentRanges},
		{"ConcurrentLocks", testConcurrentLocks},
	} {
		t.Run(test.name, func(t *testing.T) {
			fsys, dir := open(t)
			test.run(suite{T: t, fs: fsys, dir: dir})
		})
	}
}

type suite struct {
	*testing.T
	fs  vfs.FS
	dir string
}

func (s suite) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

func (s suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// is checks that err is what is wanted; a nil target means any error.
func (s suite) is(what string, err, target error) {
	s.Helper()
	if err == nil || target != nil && !errors.Is(err, target) {
		if target == nil {
			target = errors.New("an error")
		}
		s.Errorf("%s: error %v, want %v", what, err, target)
	}
}

// create makes a file with a content and returns it open.
func (s suite) create(name, data string) vfs.File {
	s.Helper()
	f, err := s.fs.Create(s.path(name))
	s.must(err)
	s.Cleanup(func() { f.Close() })
	s.write(f, data, 0)
	return f
}

// put makes a file with a content.
func (s suite) put(name, data string) {
	s.Helper()
	s.must(s.create(name, data).Close())
}

func (s suite) write(f vfs.File, data string, off int64) {
	s.Helper()
	if n, err := f.WriteAt([]byte(data), off); err != nil || n != len(data) {
		s.Fatalf("WriteAt(%d bytes, %d) = %d, %v", len(data), off, n, err)
	}
}

// content reads a whole file.
func (s suite) content(f vfs.File) string {
	s.Helper()
	size, err := f.Size()
	s.must(err)
	p := make([]byte, size+1)
	n, err := f.ReadAt(p, 0)
	if err != io.EOF || int64(n) != size {
		s.Fatalf("ReadAt of %d bytes from a file of %d = %d, %v; want all and io.EOF", len(p), size, n, err)
	}
	return string(p[:n])
}

// holds checks the content of a named file.
func (s suite) holds(name, want string) {
	s.Helper()
	f, err := s.fs.Open(s.path(name))
	if err != nil {
		s.Error(err)
		return
	}
	defer f.Close()
	if got := s.content(f); got != want {
		s.Errorf("%s holds %s, want %s", name, abridged(got), abridged(want))
	}
}

func (s suite) absent(name string) {
	s.Helper()
	_, err := s.fs.Stat(s.path(name))
	s.is("Stat of "+name, err, fs.ErrNotExist)
}

func (s suite) lists(dir string, want ...string) {
	s.Helper()
	got, err := s.fs.List(s.path(dir))
	s.must(err)
	if !slices.Equal(got, want) {
		s.Errorf("List(%q) = %q, want %q", dir, got, want)
	}
}

func abridged(data string) string {
	if len(data) > 60 {
		return fmt.Sprintf("%q... (%d bytes)", data[:60], len(data))
	}
	return fmt.Sprintf("%q", data)
}

func zeros(n int) string { return strings.Repeat("\x00", n) }
