package fuzz

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// What a program does to the files of a specimen.
const (
	doFlip = iota
	doZero
	doCut
	doCopy
	doRemove
	doRename
	doSwap
	doExtend
	doStray
	damages
)

// names that a file may get, beside those that are there.
var strayNames = []string{
	"gen-000001/log/" + segment.FileName(4096, 2),
	"gen-000001/log/" + segment.FileName(4096, 9),
	"gen-000001/log/" + segment.FileName(1<<20, 1),
	"gen-000001/log/" + segment.TempName(1),
	"gen-000001/log/" + segment.TornName(segment.FileName(4096, 1), 8192),
	"gen-000001/log/TAIL",
	"gen-000001/log/TAIL.tmp",
	"gen-000001/checkpoint/ffffffffffff0000-00000009.img",
	"gen-000001/checkpoint/image.tmp",
	"CURRENT",
	"CURRENT.tmp",
	"junk",
}

// damager carries out a program on a copy of a specimen.
type damager struct {
	*specimen
	fs  *memfs.FS
	p   *program
	log []string
}

// pick returns a file that was there at first.
func (d *damager) pick() string { return d.files[d.p.below(len(d.files))] }

// offset returns a place in a file: near one where something begins, or any.
func (d *damager) offset(name string, size int) int {
	if size == 0 {
		return 0
	}
	if near := d.places[name]; d.p.byte()&1 == 0 && len(near) > 0 {
		off := int(near[d.p.below(len(near))]) + int(int8(d.p.byte()))
		return min(max(off, 0), size-1)
	}
	return int(d.p.uint16()) * 2 % size
}

// step does one damage. It returns whether it was one to one file.
func (d *damager) step() (single bool, err error) {
	do := d.p.below(damages)
	name := d.pick()
	b, err := content(d.fs, name)
	if err != nil && do != doStray {
		return true, nil // removed or renamed before
	}
	off := d.offset(name, len(b))
	single = true
	switch do {
	case doFlip:
		if len(b) > 0 {
			b[off] ^= max(d.p.byte(), 1)
		}
	case doZero:
		clear(b[off:min(off+1+d.p.below(2000), len(b))])
	case doCut:
		b = b[:off]
	case doCopy:
		from, err := content(d.fs, d.pick())
		if err != nil || len(from) == 0 {
			return true, nil
		}
		src := d.offset(name, len(from))
		copy(b[off:], from[src:min(src+1+d.p.below(5000), len(from))])
	case doExtend:
		b = append(b, noise(uint64(d.p.byte()), d.p.below(300))...)
	case doRemove:
		d.note("remove %s", name)
		return true, d.fs.Remove(name)
	case doRename, doStray, doSwap:
		return d.rename(do, name, b)
	}
	d.note("damage %d of %s at %d", do, name, off)
	return single, create(d.fs, name, b)
}

// rename gives files other names.
func (d *damager) rename(do int, name string, b []byte) (single bool, err error) {
	to := filepath.Join(dir, one(d.p, strayNames...))
	if err := d.fs.MkdirAll(filepath.Dir(to)); err != nil {
		return true, err
	}
	_, terr := d.fs.Stat(to)
	switch {
	case do == doSwap:
		to = d.pick()
		other, err := content(d.fs, to)
		if err != nil {
			return true, nil
		}
		d.note("swap %s and %s", name, to)
		return false, errors.Join(create(d.fs, name, other), create(d.fs, to, b))
	case do == doStray:
		d.note("stray %s", to)
		if terr == nil {
			return false, create(d.fs, to, b) // in the place of another
		}
		return true, create(d.fs, to, d.p.take(d.p.below(200)))
	default:
		d.note("rename %s to %s", name, to)
		return terr != nil, d.fs.Rename(name, to)
	}
}

func (d *damager) note(format string, args ...any) {
	d.log = append(d.log, fmt.Sprintf(format, args...))
}

// maxDamages is how many a program may do.
const maxDamages = 5

// harm carries out a program. whole says that nothing may be lost without a
// word: there was one damage to one file of a store that was closed.
func harm(t *testing.T, input []byte) (d *damager, whole bool) {
	t.Helper()
	p := &program{input}
	all := specimens(t)
	s := all[p.below(len(all))]
	d = &damager{specimen: s, fs: s.fs.KillClone(), p: p}
	for i := range maxDamages {
		if i > 0 && p.done() {
			break
		}
		single, err := d.step()
		if err != nil {
			t.Fatal(err)
		}
		whole = i == 0 && single && s.closed
	}
	return d, whole
}

// seedDamages adds a program for every kind of damage to every specimen's files.
func seedDamages(f *testing.F) {
	for do := range byte(damages) {
		for file := range byte(8) {
			f.Add([]byte{file % 3, do, file, 0, 3 * file, 5, 1, 40, 2})
		}
		f.Add([]byte{0, do, 4, 1, 16, 9, 200})
		f.Add([]byte{1, do, 2, 0, 9, 2, 1, 2, doFlip, 5, 0, 1, 7, 1, doRemove, 3})
	}
}

// documented returns nil for the errors that damage may lead to. That of damage
// says where it is.
func documented(err error) error {
	var c *segment.CorruptionError
	switch {
	case errors.As(err, &c) && (c.File != "" || c.LSN != 0), errors.Is(err, wal.ErrForeign), errors.Is(err, segment.ErrVersion),
		errors.Is(err, restart.ErrUnsupported), errors.Is(err, restart.ErrNoStore):
		return nil
	}
	return fmt.Errorf("not an error of damage with a place: %w", err)
}

// consistent returns nil for the errors that content may lead to that no writer
// writes. What contradicts itself has no place, and an entry may point behind the
// end of the log.
func consistent(err error) error {
	if errors.Is(err, restart.ErrCorrupt) || errors.Is(err, wal.ErrBeyondEnd) {
		return nil
	}
	return documented(err)
}

// memory that opening and reading a store of less than a MiB may allocate.
const storeMemory = 48 * mib

// FuzzDamage: a damaged store is refused, or a read is, or all answers are those
// after one and the same number of operations. After one damage to one file of a
// store that was closed, they are those after all operations. A refused open
// has neither removed nor changed a file of the log.
func FuzzDamage(f *testing.F) {
	seedDamages(f)
	f.Fuzz(func(t *testing.T, input []byte) {
		d, whole := harm(t, input)
		before := logFiles(t, d.fs)
		bounded(t, storeMemory, func() {
			o := d.opts
			o.FS = d.fs
			if d.p.byte()&1 == 1 {
				o.Load = restart.KeysOnly
			}
			st, err := restart.Open(dir, o)
			if err == nil {
				d.answers(t, st, whole)
				return
			}
			if err := documented(err); err != nil {
				t.Fatalf("%v\nafter %q", err, d.log)
			}
			if whole {
				d.untouched(t, before)
			}
		})
		noOpenFiles(t, d.fs)
	})
}

// answers reads everything and closes the store.
func (d *damager) answers(t *testing.T, st *restart.Store, whole bool) {
	s := d.h.look()
	err := s.inspect(st, documented)
	rep := st.Recovery()
	if cerr := st.Close(); cerr != nil && documented(cerr) != nil {
		err = errors.Join(err, fmt.Errorf("close: %w", cerr))
	}
	if err != nil {
		t.Fatalf("%v\nafter %q", err, d.log)
	}
	n, ok := s.most()
	if !ok {
		t.Fatalf("answers of different times after %q; recovery: %v", d.log, rep)
	}
	if whole && n != d.h.issued() {
		t.Fatalf("%d operations of %d are there after %q; recovery: %v", n, d.h.issued(), d.log, rep)
	}
}

// logFiles returns the content of all segments and images.
func logFiles(t *testing.T, fsys vfs.FS) map[string]string {
	t.Helper()
	files, err := filesOf(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string)
	for _, name := range files {
		if ext := filepath.Ext(name); ext != ".seg" && ext != ".img" && ext != ".torn" {
			continue
		}
		b, err := content(fsys, name)
		if err != nil {
			t.Fatal(err)
		}
		m[name] = string(b)
	}
	return m
}

// untouched fails if a file is not as it was.
func (d *damager) untouched(t *testing.T, before map[string]string) {
	after := logFiles(t, d.fs)
	for name, b := range before {
		if a, ok := after[name]; !ok || a != b {
			t.Fatalf("the refused open changed %s (there: %v), after %q", name, ok, d.log)
		}
	}
}
