package vfs_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/fastrestart/frs/vfs"
)

// TestPrefetch: asking for bytes ahead changes nothing, whatever is asked for.
func TestPrefetch(t *testing.T) {
	f, err := vfs.Default.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	p := f.(vfs.Prefetcher)
	want := bytes.Repeat([]byte("abcd"), 4<<10)
	if _, err := f.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]int64{{0, 16 << 10}, {0, 1}, {5000, 1 << 30}, {1 << 40, 4096}, {0, 0}, {-1, 4096}, {0, -1}} {
		p.Prefetch(r[0], r[1])
	}
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, %v", len(got), err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	p.Prefetch(0, 4096)
}
