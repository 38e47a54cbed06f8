package fuzz

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/storetest"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

// whole opens a store that may have been refused and, if it opens, wants all of
// the specimen's operations in it.
func whole(t *testing.T, s *specimen, fs *memfs.FS) {
	t.Helper()
	o := s.opts
	o.FS = fs
	st, err := restart.Open(dir, o)
	if err != nil {
		if err := documented(err); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := storetest.Read(st)
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	if !got.Equal(s.h.last()) {
		t.Fatal("the store opened with other content")
	}
}

// forger changes an image by a program.
type forger struct {
	p       *program
	h       index.ImageHeader
	regions []index.ImageRegion
	entries [][][]index.ImageEntry // by region and part
}

// readImage takes an image apart.
func readImage(fs *memfs.FS, name string) (fg *forger, err error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	im, err := index.OpenImage(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	defer im.Close()
	fg = &forger{h: im.ImageHeader, regions: im.Regions}
	for _, r := range im.Regions {
		parts := make([][]index.ImageEntry, len(r.Parts))
		for i, p := range r.Parts {
			b, err := im.ReadPart(p, nil)
			for err == nil && len(b) > 0 {
				var e index.ImageEntry
				if e, b, err = index.NextImageEntry(b); err == nil {
					parts[i] = append(parts[i], e)
				}
			}
			if err != nil {
				return nil, err
			}
		}
		fg.entries = append(fg.entries, parts)
	}
	return fg, nil
}

// change does one thing to the image.
func (fg *forger) change() {
	p := fg.p
	i := p.below(len(fg.regions))
	r := &fg.regions[i]
	switch p.below(8) {
	case 0:
		to := one(p, &fg.h.From, &fg.h.To, &fg.h.SegmentBase, &fg.h.SegmentSalt)
		*to = cmp.Or(p.uint64()&(1<<60-1), *to+uint64(p.byte())*8)
	case 1:
		fg.h.Time, fg.h.NextRegion = int64(p.uint64()), uint32(p.uint64())
	case 2:
		to := one(p, &r.Position, &r.Floor)
		*to += uint64(p.uint16()) * 8
	case 3:
		r.ID = uint32(p.uint16())
	case 4:
		r.Options.Strategy, r.Options.Durability, r.Options.Ordered = p.byte(), p.byte(), p.byte()&1 == 1
	case 5:
		r.Name = one(p, "a", "b", "other")
	default:
		fg.entry(i)
	}
}

// entry changes, removes, doubles or moves an entry.
func (fg *forger) entry(region int) {
	p, parts := fg.p, fg.entries[region]
	var full []int
	for i := range parts {
		if len(parts[i]) > 0 {
			full = append(full, i)
		}
	}
	if len(full) == 0 {
		return
	}
	n := full[p.below(len(full))]
	e := &parts[n][p.below(len(parts[n]))]
	switch p.below(7) {
	case 0:
		e.LSN = 4096 + uint64(p.uint16())*8
	case 1:
		e.ValueLen = int(p.uint64() % (index.MaxValue + 1))
	case 2:
		e.InBatch, e.Op = !e.InBatch, uint32(p.uint16())
	case 3:
		e.Expiry = int64(p.uint64())
	case 4:
		parts[n] = append(parts[n], *e)
	case 5: // to a part that its hash does not belong to
		to := p.below(len(parts))
		parts[to] = append(parts[to], *e)
	case 6:
		e.Key = append(slices.Clone(e.Key), p.byte())
	}
}

// write makes the image anew.
func (fg *forger) write(fs *memfs.FS, name string) error {
	if err := fs.Remove(name); err != nil {
		return err
	}
	f, err := fs.Create(name)
	if err != nil {
		return err
	}
	w := index.NewImageWriter(f)
	for i := range fg.regions {
		for n, part := range fg.entries[i] {
			w.BeginPart()
			for _, e := range part {
				err = errors.Join(err, w.Add(index.AppendImageEntry(nil, e), 1))
			}
			fg.regions[i].Parts[n] = w.EndPart()
		}
	}
	_, ferr := w.Finish(fg.h, fg.regions)
	return errors.Join(err, ferr, f.Close())
}

// FuzzImage: an image that says anything, under good checksums. It may hide
// entries, since nothing else says that they are there; but nothing is read
// that was not once put under its key.
func FuzzImage(f *testing.F) {
	for what := range byte(8) {
		for sub := range byte(7) {
			f.Add([]byte{sub & 1, what, 0, sub, sub, 7, 1, 200, 1, 1, 1, 1})
		}
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		s := specimens(t)[len(input)&1]
		fs := s.fs.KillClone()
		images := slices.DeleteFunc(slices.Clone(s.files), func(n string) bool { return filepath.Ext(n) != ".img" })
		if len(images) == 0 {
			t.Fatal("the specimen has no image")
		}
		name := images[len(images)-1]
		fg, err := readImage(fs, name)
		if err != nil {
			t.Fatal(err)
		}
		fg.p = &program{input}
		for range 4 {
			if !fg.p.done() {
				fg.change()
			}
		}
		if err := fg.write(fs, name); err != nil {
			t.Fatal(err)
		}
		bounded(t, storeMemory, func() {
			if err := s.onlyPut(fs); err != nil {
				t.Fatal(err)
			}
		})
		noOpenFiles(t, fs)
	})
}

// onlyPut opens a store and checks that what it serves was put.
func (s *specimen) onlyPut(fs *memfs.FS) error {
	o := s.opts
	o.FS = fs
	st, err := restart.Open(dir, o)
	if err != nil {
		return consistent(err)
	}
	defer st.Close()
	for _, name := range st.Regions() {
		r, err := st.Region(name, restart.RegionOptions{})
		if err != nil {
			return err
		}
		for e, err := range r.All() {
			if err != nil {
				if err := consistent(err); err != nil {
					return fmt.Errorf("scan %q: %w", name, err)
				}
				break
			}
			if !s.h.everPut(string(e.Key), string(e.Value)) {
				return fmt.Errorf("%q/%q = %.40q, which nobody put", name, e.Key, e.Value)
			}
		}
		for k := range s.h.keys()[name] {
			v, err := r.Get([]byte(k))
			if err == nil && !s.h.everPut(k, string(v)) {
				return fmt.Errorf("get %q/%q = %.40q, which nobody put", name, k, v)
			}
		}
	}
	return nil
}
