package vfs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fastrestart/frs/vfs"
)

// The holder of an exclusive lock can say who he is, and others can read it
// while he holds it.
func TestLockHolderIsReadable(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	lock, err := vfs.Default.Lock(name, vfs.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	const who = "pid 4711"
	if _, err := lock.(interface {
		WriteAt([]byte, int64) (int, error)
	}).WriteAt([]byte(who), 0); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != who {
		t.Fatalf("lock file reads %q, %v; want %q", got, err, who)
	}
}

// Reading and writing through the interface costs no allocation.
func TestReadWriteAllocateNothing(t *testing.T) {
	f, err := vfs.Default.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 4096)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := f.WriteAt(buf, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := f.ReadAt(buf, 0); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Fatalf("%v allocations per write and read, want none", allocs)
	}
}

// Where the platform cannot reserve space, zeros are written; there too the
// bytes below the old size stay.
func TestAllocateTwiceKeepsContent(t *testing.T) {
	f, err := vfs.Default.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("abc"), 0); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{700_000, 10, 0} {
		if err := f.Allocate(size); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Size(); err != nil || got != 700_000 {
			t.Fatalf("size %d, %v after Allocate(%d); want 700000", got, err, size)
		}
	}
	got := make([]byte, 4)
	if _, err := f.ReadAt(got, 0); err != nil || string(got) != "abc\x00" {
		t.Fatalf("content %q, %v", got, err)
	}
}
