package vfs

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Where the platform cannot reserve space, Allocate writes zeros behind the end
// and leaves what is there.
func TestAllocateByWritingZeros(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	f, err := open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("abc"), 0); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{0, 3, 4, 1 << 20, 1000} {
		if err := f.(*osFile).appendZeros(size); err != nil {
			t.Fatal(err)
		}
	}
	want := make([]byte, 1<<20)
	copy(want, "abc")
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v; want abc and zeros up to 1 MiB", len(got), err)
	}
}

// A signal that interrupts a call is not an error of the file.
func TestInterruptedCallIsRepeated(t *testing.T) {
	f, err := open(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	results := []error{syscall.EINTR, syscall.EINTR, nil, syscall.EIO}
	calls := 0
	if err := f.(*osFile).control("sync", func(uintptr) error {
		calls++
		return results[calls-1]
	}); err != nil || calls != 3 {
		t.Fatalf("error %v after %d calls; want success at the third", err, calls)
	}
}
