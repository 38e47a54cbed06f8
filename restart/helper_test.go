package restart_test

import (
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/fastrestart/frs/internal/storetest"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

const dir = "/store"

// small makes every mechanism happen on little data.
func small(fs vfs.FS) restart.Options {
	return restart.Options{FS: fs, SegmentSize: 64 << 10, MemoryLimit: 8 << 20}
}

// open opens a store and, at the end of the test, closes it, checks that no
// file is left open, and opens it once more to see that it reads back the same.
func open(t testing.TB, fs *memfs.FS, o restart.Options) *restart.Store {
	t.Helper()
	o.FS = fs
	st, err := restart.Open(dir, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil && !t.Failed() {
			t.Errorf("close: %v", err)
		}
		if files := fs.OpenFiles(); len(files) > 0 {
			t.Errorf("files left open: %v", files)
		}
	})
	return st
}

func region(t testing.TB, st *restart.Store, name string) *restart.Region {
	t.Helper()
	r, err := st.Region(name, restart.RegionOptions{})
	if err != nil {
		t.Fatalf("region %q: %v", name, err)
	}
	return r
}

func put(t testing.TB, r *restart.Region, key, value string) {
	t.Helper()
	if err := r.Put([]byte(key), []byte(value)); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

// wantValue checks one key; value "-" means absent.
func wantValue(t testing.TB, r *restart.Region, key, value string) {
	t.Helper()
	got, err := r.Get([]byte(key))
	switch {
	case value == "-" && !errors.Is(err, restart.ErrNotFound):
		t.Errorf("get %q = %q, %v, want ErrNotFound", key, got, err)
	case value != "-" && (err != nil || string(got) != value):
		t.Errorf("get %q = %.40q, %v, want %.40q", key, got, err, value)
	}
}

// contents is what a store holds: region, key, value.
type contents = storetest.Contents

func read(st *restart.Store) (contents, error) { return storetest.Read(st) }

func diff(got, want contents) string { return storetest.Diff(got, want) }

// seed returns a seed for random tests: FRS_SEED, or one of the clock. It is
// printed, so that a failure can be run again.
func seed(t testing.TB) uint64 {
	s := uint64(time.Now().UnixNano())
	if v := os.Getenv("FRS_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("FRS_SEED: %v", err)
		}
		s = n
	}
	t.Logf("FRS_SEED=%d", s)
	return s
}
