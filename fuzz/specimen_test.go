package fuzz

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

const dir = "/store"

// specimen is a store at rest that is to be damaged. Clock and random numbers are
// simulated while it is made, so that an input means the same in every process.
type specimen struct {
	fs     *memfs.FS
	opts   restart.Options
	h      *history
	closed bool     // cleanly; otherwise it was killed after a synced put
	files  []string // without the lock file
	places map[string][]int64
}

var (
	specimensOnce sync.Once
	specimensMade []*specimen
)

// specimens returns a store that was closed, one that was killed, and one that
// was killed, is compressed and has no image.
func specimens(t *testing.T) []*specimen {
	t.Helper()
	specimensOnce.Do(func() {
		for i := range 3 {
			s := &specimen{fs: memfs.New(), h: newHistory(), closed: i == 0}
			s.opts = restart.Options{SegmentSize: 64 << 10, MemoryLimit: 8 << 20, Durability: restart.Sync, Compaction: restart.NoCompaction}
			if i == 2 {
				s.opts.Compression = restart.CompressS2
			}
			cryptotest.SetGlobalRandom(t, uint64(i))
			synctest.Test(t, func(t *testing.T) {
				if err := s.make(i < 2); err != nil {
					t.Fatal(err)
				}
			})
			specimensMade = append(specimensMade, s)
		}
	})
	if len(specimensMade) != 3 {
		t.Fatal("the specimens could not be made")
	}
	return specimensMade
}

// make runs the specimen's life: several segments, two images, everything that
// a record can be.
func (s *specimen) make(images bool) error {
	s.opts.FS = s.fs
	st, err := restart.Open(dir, s.opts)
	if err != nil {
		return err
	}
	w := &writer{st: st, h: s.h}
	for i := range 6 {
		w.put("a", fmt.Sprint("key-", i), fmt.Sprint("first ", i))
	}
	w.put("b", "cleared", "never again")
	w.clear("b")
	w.put("a", "large", strings.Repeat("0123456789abcde\n", 1800))
	w.delete("a", "key-0")
	w.delete("a", "key-1")
	if images {
		w.check(st.Checkpoint(context.Background()))
	}
	w.put("a", "long", string(noise(1, 38000))) // rolls
	w.put("a", "key-2", "second 2")
	w.put("a", "key-3", "second 3")
	w.batch(map[string]string{"a/key-4": "second 4", "b/x": "", "b/y": "yy", "b/long": string(noise(2, 900))}, "a/key-5")
	if images {
		w.check(st.Checkpoint(context.Background()))
	}
	w.put("dropped", "k", "v")
	w.drop("dropped")
	w.put("b", "later", string(noise(3, 30000)))
	w.put("b", "more", string(noise(4, 30000))) // rolls
	w.put("a", "key-1", "third 1")
	w.delete("a", "key-2")
	w.put("b", "last", "of all")
	s.h.durable = s.h.issued()
	if s.closed {
		w.check(st.Close())
	} else {
		killed := s.fs.KillClone()
		w.check(st.Close())
		s.fs = killed
	}
	if w.err == nil {
		w.err = s.survey()
	}
	return w.err
}

// writer does operations and keeps the history.
type writer struct {
	st  *restart.Store
	h   *history
	err error
}

func (w *writer) check(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) region(name string) *restart.Region {
	if w.err != nil {
		return nil
	}
	if w.h.last()[name] == nil {
		w.h.add(func(s state) { s[name] = map[string]string{} })
	}
	r, err := w.st.Region(name, restart.RegionOptions{})
	w.check(err)
	return r
}

func (w *writer) put(region, k, v string) {
	if r := w.region(region); w.err == nil {
		w.check(r.Put([]byte(k), []byte(v)))
		w.h.add(func(s state) { s[region][k] = v })
	}
}

func (w *writer) delete(region, k string) {
	if r := w.region(region); w.err == nil {
		w.check(r.Delete([]byte(k)))
		w.h.add(func(s state) { delete(s[region], k) })
	}
}

func (w *writer) clear(region string) {
	if r := w.region(region); w.err == nil {
		w.check(r.Clear())
		w.h.add(func(s state) { s[region] = map[string]string{} })
	}
}

func (w *writer) drop(region string) {
	if w.err == nil {
		w.check(w.st.DropRegion(region))
		w.h.add(func(s state) { delete(s, region) })
	}
}

// batch puts values under "region/key" and deletes one.
func (w *writer) batch(puts map[string]string, gone string) {
	b := w.st.NewBatch()
	for k, v := range puts {
		name, key, _ := strings.Cut(k, "/")
		b.Put(w.region(name), []byte(key), []byte(v))
	}
	name, key, _ := strings.Cut(gone, "/")
	b.Delete(w.region(name), []byte(key))
	if w.err != nil {
		return
	}
	_, err := w.st.Apply(b)
	w.check(err)
	w.h.add(func(s state) {
		for k, v := range puts {
			name, key, _ := strings.Cut(k, "/")
			s[name][key] = v
		}
		delete(s[name], key)
	})
}

// survey lists the files, and the places in them where something begins.
func (s *specimen) survey() error {
	s.places = make(map[string][]int64)
	var err error
	if s.files, err = filesOf(s.fs, dir); err != nil {
		return err
	}
	s.files = slices.DeleteFunc(s.files, func(name string) bool { return filepath.Base(name) == "LOCK" })
	for _, name := range s.files {
		if s.places[name], err = placesOf(s.fs, name); err != nil {
			return err
		}
	}
	return nil
}

// filesOf returns all files below a directory, sorted.
func filesOf(fsys vfs.FS, dir string) (files []string, err error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		name = filepath.Join(dir, name)
		info, err := fsys.Stat(name)
		if err != nil {
			return nil, err
		}
		if !info.IsDir {
			files = append(files, name)
			continue
		}
		below, err := filesOf(fsys, name)
		if err != nil {
			return nil, err
		}
		files = append(files, below...)
	}
	return files, nil
}

// placesOf returns where the frames of a segment start and end, or where the
// blocks of another file do.
func placesOf(fsys vfs.FS, name string) (places []int64, err error) {
	b, err := content(fsys, name)
	if err != nil {
		return nil, err
	}
	places = []int64{0, int64(len(b))}
	if filepath.Ext(name) != ".seg" {
		for off := 0; off < len(b); off += 512 {
			places = append(places, int64(off))
		}
		return places, nil
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := segment.ReadFileHeader(f)
	if err != nil {
		return nil, err
	}
	sc := segment.NewScanner(f, int64(len(b)), h, segment.ScanOptions{})
	for {
		fr, err := sc.Next()
		if err != nil {
			break // the end, or what is behind it
		}
		places = append(places, h.Offset(fr.LSN), h.Offset(fr.LSN)+segment.FrameHeaderSize)
	}
	return append(places, h.Offset(sc.Pos()), h.Offset(sc.Pos())+segment.FooterSize), nil
}

// content returns the bytes of a file.
func content(fsys vfs.FS, name string) ([]byte, error) {
	return fsync.ReadFile(fsys, name, math.MaxInt64)
}

// create makes a file, in the place of one that is there.
func create(fsys vfs.FS, name string, b []byte) error {
	_ = fsys.Remove(name) // it may be there or not
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Close())
}

// noOpenFiles fails if a target left a file open.
func noOpenFiles(t *testing.T, fs *memfs.FS) {
	t.Helper()
	if files := fs.OpenFiles(); len(files) > 0 {
		t.Fatalf("files left open: %v", files)
	}
}
