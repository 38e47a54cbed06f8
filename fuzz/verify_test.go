package fuzz

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/fastrestart/frs/internal/inspect"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/wal"
)

var logDir = filepath.Join(dir, "gen-000001", "log")

// FuzzVerify: looking at a damaged log changes nothing. Where verify finds no
// damage, a store without images opens and every read succeeds: what reading
// finds, verify finds too.
func FuzzVerify(f *testing.F) {
	seedDamages(f)
	f.Fuzz(func(t *testing.T, input []byte) {
		d, _ := harm(t, input)
		before := d.fs.Fingerprint()
		clean := false
		bounded(t, storeMemory, func() { clean = d.verify(t) })
		noOpenFiles(t, d.fs)
		if d.fs.Fingerprint() != before {
			t.Fatalf("looking changed a file, after %q", d.log)
		}
		if clean {
			d.readable(t)
		}
	})
}

// verify reports whether nothing was found.
func (d *damager) verify(t *testing.T) (clean bool) {
	l, err := inspect.Open(d.fs, logDir, false)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, segment.ErrVersion), errors.Is(err, wal.ErrForeign):
		return false
	case err != nil:
		t.Fatalf("%v\nafter %q", err, d.log)
	}
	rep, err := l.Verify(context.Background(), nil)
	if err != nil && !errors.Is(err, op.ErrUnsupported) && !errors.Is(err, segment.ErrVersion) {
		t.Fatalf("%v\nafter %q", err, d.log)
	}
	for _, x := range rep.Damage {
		if x.Reason == "" || x.File == "" && x.LSN == 0 {
			t.Fatalf("damage without a place: %+v", x)
		}
	}
	for r, err := range l.Records(context.Background(), inspect.Range{}, nil) {
		if err == nil && r.LSN >= rep.End && rep.End != 0 {
			t.Fatalf("a record at %d, the log ends at %d", r.LSN, rep.End)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return err == nil && len(rep.Damage) == 0 && rep.Refused == nil
}

// readable opens the store from its log alone and reads everything.
func (d *damager) readable(t *testing.T) {
	files, err := filesOf(d.fs, filepath.Join(dir, "gen-000001"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if filepath.Dir(name) != logDir {
			if err := d.fs.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	good, err := content(d.specimen.fs, filepath.Join(dir, "CURRENT"))
	if err == nil {
		err = create(d.fs, filepath.Join(dir, "CURRENT"), good)
	}
	if err != nil {
		t.Fatal(err)
	}
	o := d.opts
	o.FS = d.fs
	st, err := restart.Open(dir, o)
	if err != nil {
		t.Fatalf("verify found nothing, the store does not open: %v\nafter %q", err, d.log)
	}
	s := d.h.look()
	if err := s.inspect(st, func(err error) error { return err }); err != nil {
		t.Fatalf("verify found nothing: %v\nafter %q", err, d.log)
	}
	if _, ok := s.most(); !ok {
		t.Fatalf("verify found nothing; answers of different times after %q", d.log)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}
