package vfstest

import (
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/fastrestart/frs/vfs"
)

func testLockModes(s suite) {
	const ex, sh = vfs.Exclusive, vfs.Shared
	for _, c := range []struct {
		what  string
		held  []vfs.LockMode
		want  vfs.LockMode
		taken bool
	}{
		{"exclusive, free", nil, ex, false},
		{"shared, free", nil, sh, false},
		{"exclusive against exclusive", []vfs.LockMode{ex}, ex, true},
		{"shared against exclusive", []vfs.LockMode{ex}, sh, true},
		{"exclusive against shared", []vfs.LockMode{sh}, ex, true},
		{"shared against shared", []vfs.LockMode{sh}, sh, false},
		{"exclusive against two shared", []vfs.LockMode{sh, sh}, ex, true},
	} {
		name := s.path(c.what)
		s.put(c.what, "")
		var held []io.Closer
		for _, mode := range c.held {
			l, err := s.fs.Lock(name, mode)
			s.must(err)
			held = append(held, l)
		}
		l, err := s.fs.Lock(name, c.want)
		switch {
		case c.taken:
			s.is(c.what, err, vfs.ErrLocked)
		case err != nil:
			s.Errorf("%s: %v", c.what, err)
		default:
			s.must(l.Close())
		}
		for i, h := range held {
			if i > 0 { // one holder still excludes
				_, err := s.fs.Lock(name, ex)
				s.is(c.what+", one released", err, vfs.ErrLocked)
			}
			s.must(h.Close())
		}
		l, err = s.fs.Lock(name, ex)
		s.must(err)
		s.must(l.Close())
	}
}

func testLockFile(s suite) {
	name := s.path("LOCK")
	_, err := s.fs.Lock(name, vfs.Shared)
	s.is("shared lock of a missing file", err, fs.ErrNotExist)
	s.absent("LOCK")
	l, err := s.fs.Lock(name, vfs.Exclusive)
	s.must(err)
	w, ok := l.(io.WriterAt)
	if !ok {
		s.Fatal("an exclusive lock is no io.WriterAt")
	}
	_, err = w.WriteAt([]byte("it is me"), 0)
	s.must(err)
	s.holds("LOCK", "it is me") // opens and closes another handle of the file
	_, err = s.fs.Lock(name, vfs.Shared)
	s.is("shared lock after another handle was closed", err, vfs.ErrLocked)
	other, err := s.fs.Lock(s.path("LOCK2"), vfs.Exclusive)
	s.must(err)
	s.must(other.Close())
	s.must(l.Close())
	s.holds("LOCK", "it is me")
	l, err = s.fs.Lock(name, vfs.Shared)
	s.must(err)
	s.must(l.Close())
}

// Of many who want an exclusive lock at most one has it at a time.
func testConcurrentLocks(s suite) {
	var holders, taken atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				l, err := s.fs.Lock(s.path("LOCK"), vfs.Exclusive)
				if errors.Is(err, vfs.ErrLocked) {
					continue
				}
				if err != nil {
					s.Error(err)
					return
				}
				if holders.Add(1) != 1 {
					s.Error("two hold an exclusive lock")
				}
				taken.Add(1)
				holders.Add(-1)
				if err := l.Close(); err != nil {
					s.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() == 0 {
		s.Error("nobody got the lock")
	}
}
