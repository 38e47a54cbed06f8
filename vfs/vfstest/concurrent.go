package vfstest

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/fastrestart/frs/vfs"
)

// Each goroutine creates, writes, renames, links and removes files of its own
// in a directory that all share.
func testConcurrentFiles(s suite) {
	const workers, rounds = 8, 20
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for r := range rounds {
				if err := s.cycle(fmt.Sprintf("%d-%d", w, r)); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	names, err := s.fs.List(s.dir)
	s.must(err)
	if len(names) != workers*rounds {
		s.Errorf("%d files left, want %d", len(names), workers*rounds)
	}
	for _, name := range names {
		s.holds(name, strings.TrimSuffix(name, ".kept"))
	}
}

// cycle leaves the file <name>.kept, which holds its name.
func (s suite) cycle(name string) error {
	f, err := s.fs.Create(s.path(name + ".tmp"))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(name), 0); err != nil {
		return err
	}
	for _, step := range []func() error{
		f.SyncData,
		func() error { return s.fs.Rename(f.Name(), s.path(name)) },
		func() error { return s.fs.Link(s.path(name), s.path(name+".kept")) },
		func() error { return s.fs.SyncDir(s.dir) },
		func() error { return s.fs.Remove(s.path(name)) },
		func() error { _, err := s.fs.List(s.dir); return err },
		func() error { return s.fs.MkdirAll(filepath.Join(s.dir)) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Writers of disjoint ranges, a reader and a syncer share one file.
func testConcurrentRanges(s suite) {
	const workers, blocks, size = 4, 50, 700
	f := s.create("a", "")
	var wg sync.WaitGroup
	block := func(w, b int) []byte {
		return []byte(strings.Repeat(string(rune('a'+w)), size-1) + string(rune('0'+b%10)))
	}
	for w := range workers {
		wg.Go(func() {
			for b := range blocks {
				off := int64(b*workers+w) * size
				if _, err := f.WriteAt(block(w, b), off); err != nil {
					s.Error(err)
				}
				got := make([]byte, size)
				if _, err := f.ReadAt(got, off); err != nil || string(got) != string(block(w, b)) {
					s.Errorf("block at %d reads back %s, %v", off, abridged(string(got)), err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			if err := f.SyncData(); err != nil {
				s.Error(err)
			}
		}
	})
	wg.Wait()
	checkBlocks(s, f, block, workers, blocks)
}

func checkBlocks(s suite, f vfs.File, block func(w, b int) []byte, workers, blocks int) {
	var want strings.Builder
	for b := range blocks {
		for w := range workers {
			want.Write(block(w, b))
		}
	}
	if got := s.content(f); got != want.String() {
		s.Error("the file is not what was written into it")
	}
}
