//go:build long

package restart_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/fastrestart/frs/restart"
)

// The largest values and batches, on the operating system's files. The ancestor
// took a value of 200 MB; this takes 256 MiB.
func TestLargestValue(t *testing.T) {
	dir := t.TempDir()
	value := bytes.Repeat([]byte("0123456789abcdef"), 256<<20/16)
	o := restart.Options{Durability: restart.Sync, MemoryLimit: 400 << 20}
	for life := range 3 {
		st, err := restart.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		r := region(t, st, "a")
		if life > 0 {
			got, err := r.Get([]byte("large"))
			if err != nil || !bytes.Equal(got, value) {
				t.Fatalf("life %d: %d bytes, %v", life, len(got), err)
			}
		}
		if err := r.Put([]byte("large"), value); err != nil {
			t.Fatal(err)
		}
		if life == 1 {
			if err := st.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBatchTooLarge(t *testing.T) {
	st, err := restart.Open(t.TempDir(), restart.Options{MemoryLimit: 4 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	r := region(t, st, "a")
	b := st.NewBatch()
	value := make([]byte, 256<<20)
	for i := range 4 {
		b.Put(r, fmt.Append(nil, i), value)
	}
	_, err = st.Apply(b)
	wantError(t, "batch of 1 GiB and some", err, restart.ErrInvalid, fmt.Sprint(1<<30))
	wantValue(t, r, "0", "-")
}
