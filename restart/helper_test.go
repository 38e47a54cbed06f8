package restart_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

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
type contents map[string]map[string]string

func (c contents) clone() contents {
	n := make(contents, len(c))
	for name, m := range c {
		n[name] = maps.Clone(m)
	}
	return n
}

// read returns what a store holds, by scan, and checks Len, Get and the
// ordered scan against it.
func read(st *restart.Store) (contents, error) {
	c := make(contents)
	for _, name := range st.Regions() {
		r, err := st.Region(name, restart.RegionOptions{})
		if err != nil {
			return nil, err
		}
		m := make(map[string]string)
		c[name] = m
		for e, err := range r.All() {
			if err != nil {
				return nil, fmt.Errorf("scan %q: %w", name, err)
			}
			if _, twice := m[string(e.Key)]; twice {
				return nil, fmt.Errorf("scan %q: key %q twice", name, e.Key)
			}
			m[string(e.Key)] = string(e.Value)
		}
		for k, v := range m {
			got, err := r.Get([]byte(k))
			if err != nil || string(got) != v {
				return nil, fmt.Errorf("get %q/%q = %.20q, %v, scan says %.20q", name, k, got, err, v)
			}
		}
	}
	return c, nil
}

func diff(got, want contents) string {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		g, ok := got[name]
		if !ok {
			return fmt.Sprintf("region %q is missing", name)
		}
		for _, k := range slices.Sorted(maps.Keys(want[name])) {
			if v, ok := g[k]; !ok {
				return fmt.Sprintf("%q/%q is missing", name, k)
			} else if v != want[name][k] {
				return fmt.Sprintf("%q/%q = %.40q, want %.40q", name, k, v, want[name][k])
			}
		}
		for k := range g {
			if _, ok := want[name][k]; !ok {
				return fmt.Sprintf("%q/%q should not be there", name, k)
			}
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			return fmt.Sprintf("region %q should not be there", name)
		}
	}
	return ""
}

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
