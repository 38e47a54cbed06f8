package wal_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

var update = flag.Bool("update", false, "rewrite the golden log in testdata/v1")

// goldenDir holds a log of format version 1. Once released it never changes.
var goldenDir = filepath.Join("..", "testdata", "v1", "log")

// goldenLog writes the log that the golden files are of: two sealed segments,
// records, a mark and a low-water record in a later epoch.
func goldenLog(t *testing.T) *memfs.FS {
	fs := memfs.New()
	synctest.Test(t, func(t *testing.T) {
		n := uint64(0)
		random := func() uint64 { n++; return n * 0x9e3779b97f4a7c15 }
		o := smallOptions(fs)
		o.Time = func() int64 { return 1_700_000_000_000_000_000 + time.Now().UnixMilli()%1000 }
		o = wal.WithRandom(o, random)
		open := func() *wal.Log {
			l, err := wal.Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		l := open()
		for id := range 3 {
			mustPut(t, l, id, 20+30*id, wal.Sync)
		}
		time.Sleep(20 * time.Millisecond) // a mark
		mustClose(t, l)
		l = open()
		lsn := mustPut(t, l, 3, 100, wal.Sync)
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
		mustPut(t, l, 4, 0, wal.Sync)
		if err := l.Release(t.Context(), lsn-lsn%8); err != nil {
			t.Fatal(err)
		}
		mustPut(t, l, 5, 300, wal.Sync)
		mustClose(t, l)
	})
	return fs
}

// TestGolden compares what is written with the golden files, byte for byte,
// and opens the golden files.
func TestGolden(t *testing.T) {
	fs := goldenLog(t)
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.RemoveAll(goldenDir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(goldenDir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(goldenDir, name), readFile(t, fs, path(name)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	entries, err := os.ReadDir(goldenDir)
	if err != nil {
		t.Fatal(err)
	}
	golden := memfs.New()
	if err := golden.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(goldenDir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, golden, path(e.Name()), b)
		found = append(found, e.Name())
		if slices.Contains(names, e.Name()) && !bytes.Equal(b, readFile(t, fs, path(e.Name()))) {
			t.Errorf("%s differs from what is written now", e.Name())
		}
	}
	if !slices.Equal(found, names) {
		t.Errorf("golden files %q, written %q", found, names)
	}
	l := mustOpen(t, smallOptions(golden))
	wantIDs(t, l, 3, 5)
	if tail := l.Tail(); !tail.Sealed || tail.HighTime < 1_700_000_000_000_000_000 || tail.LowWater != l.First() {
		t.Errorf("%+v", tail)
	}
}
