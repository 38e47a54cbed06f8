package fsync

import (
	"bytes"
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

func newFS(t *testing.T) *memfs.FS {
	t.Helper()
	m := memfs.New()
	if err := m.MkdirAll("/d"); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestPublishCrash: after a power failure at any moment the file is as before
// or as after, and as after once PublishFile has returned.
func TestPublishCrash(t *testing.T) {
	m := newFS(t)
	old, young := bytes.Repeat([]byte("old"), 300), bytes.Repeat([]byte("young!"), 500)
	if err := PublishFile(m, "/d", "f", old); err != nil {
		t.Fatal(err)
	}
	states := 0
	m.OnOp(func(memfs.Op) {
		for seed := range uint64(50) {
			after := m.CrashClone(memfs.Random(seed))
			got, err := ReadFile(after, "/d/f", 1<<20)
			if err != nil || !bytes.Equal(got, old) && !bytes.Equal(got, young) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			// What a crash left over is no obstacle.
			if err := PublishFile(after, "/d", "f", young); err != nil {
				t.Error(err)
			}
			states++
		}
	})
	if err := PublishFile(m, "/d", "f", young); err != nil {
		t.Fatal(err)
	}
	m.OnOp(nil)
	if got, err := ReadFile(m.CrashClone(memfs.Nothing()), "/d/f", 1<<20); err != nil || !bytes.Equal(got, young) {
		t.Errorf("published, then %d bytes, %v", len(got), err)
	}
	if states < 200 {
		t.Errorf("only %d states", states)
	}
}

// TestPublishFails: every operation that fails is reported, and the old file
// stays.
func TestPublishFails(t *testing.T) {
	var m *memfs.FS
	open := func() vfs.FS {
		m = newFS(t)
		if err := PublishFile(m, "/d", "f", []byte("old")); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for i, e := range errfs.Every(open, errfs.Rule{Kinds: errfs.Mutations | errfs.Close, Err: syscall.EIO}) {
		err := PublishFile(e, "/d", "f", []byte("young"))
		got, rerr := ReadFile(m.CrashClone(memfs.Nothing()), "/d/f", 100)
		switch {
		case rerr != nil:
			t.Errorf("operation %d: %v", i, rerr)
		case err == nil && string(got) != "young", err != nil && string(got) != "old":
			t.Errorf("operation %d: %q after %v", i, got, err)
		case err != nil && !errors.Is(err, syscall.EIO):
			t.Errorf("operation %d: %v", i, err)
		}
		if open := m.OpenFiles(); len(open) > 0 {
			t.Errorf("operation %d left open %q", i, open)
		}
	}
}

func TestReadFile(t *testing.T) {
	m := newFS(t)
	if _, err := ReadFile(m, "/d/none", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := PublishFile(m, "/d", "f", make([]byte, 11)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(m, "/d/f", 10); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if b, err := ReadFile(m, "/d/f", 11); len(b) != 11 || err != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestPoison(t *testing.T) {
	var p Poison
	if p.Err() != nil {
		t.Error("poisoned from the start")
	}
	if !p.Set(syscall.EIO) || p.Set(syscall.ENOSPC) {
		t.Error("first and second failure")
	}
	if err := p.Err(); !errors.Is(err, ErrPoisoned) || !errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}
