package index_test

import (
	"bytes"
	"testing"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/offheap"
)

// Every combination of optional fields and extreme lengths reads back, and
// frees what it allocated.
func TestCell(t *testing.T) {
	pool := offheap.NewPool(offheap.PoolOptions{})
	defer pool.Close()
	a := pool.NewArena()
	long := bytes.Repeat([]byte("0123456789abcdef"), index.MaxKey/16)
	for _, key := range [][]byte{{}, []byte("k"), []byte("exactly 16 bytes"), long} {
		for _, value := range [][]byte{{}, []byte("v"), bytes.Repeat(long, 20)} {
			for bits := range 8 {
				s := index.CellSpec{Key: key, Value: value, LSN: index.MaxLSN, Flags: index.FlagRecent | index.FlagUser3}
				if bits&1 != 0 {
					s.Expiry = -5
				}
				if bits&2 != 0 {
					s.Op, s.InBatch = 77, true
				}
				if bits&4 != 0 {
					s.NoValue, s.ValueLen = true, len(value)
				}
				checkCell(t, a, s, value)
			}
		}
	}
	if pool.Used() != 0 {
		t.Fatalf("%d bytes left", pool.Used())
	}
}

func checkCell(t *testing.T, a *offheap.Arena, s index.CellSpec, value []byte) {
	t.Helper()
	ref, err := index.NewCell(a, s)
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Pool().Used(); got != int64(offheap.ClassSize(s.Size())) {
		t.Fatalf("used %d for a cell of %d", got, s.Size())
	}
	c := index.At(a, ref)
	same := func() {
		t.Helper()
		want := value
		if s.NoValue {
			want = nil
		}
		if !bytes.Equal(c.Key(), s.Key) || c.KeyLen() != len(s.Key) || !bytes.Equal(c.Value(), want) ||
			c.ValueLen() != len(value) || c.Resident() == s.NoValue || c.Expiry() != s.Expiry || c.Size() != s.Size() {
			t.Fatalf("cell of %d-byte key, %d-byte value, %+v reads back differently", len(s.Key), len(value), s.Flags)
		}
	}
	same()
	if op, ok := c.Op(); ok != s.InBatch || op != s.Op {
		t.Fatalf("op %d %v", op, ok)
	}
	if !c.Has(index.FlagRecent|index.FlagUser3) || c.Has(index.FlagTombstone) {
		t.Fatalf("flags %x", c.Flags())
	}
	c.Clear(index.FlagRecent | index.FlagNoValue) // the latter is layout: ignored
	c.Set(index.FlagTombstone)
	if c.Touch(); !c.Has(index.FlagRecent | index.FlagTombstone) {
		t.Fatalf("flags %x", c.Flags())
	}
	same()
	if c.SetBatchLSN(9, 3) != s.InBatch {
		t.Fatal("room for an op number is wrong")
	}
	if op, ok := c.Op(); s.InBatch && (op != 3 || !ok || c.LSN() != 9) {
		t.Fatalf("op %d %v at %d", op, ok, c.LSN())
	}
	c.SetLSN(12345)
	if _, ok := c.Op(); ok || c.LSN() != 12345 {
		t.Fatal("not moved to a record of its own")
	}
	same()
	index.FreeCell(a, ref)
}

// Keys of no bytes and of the longest kind are found like others.
func TestExtremeKeys(t *testing.T) {
	tb := newTable(t)
	long := string(bytes.Repeat([]byte{'x'}, index.MaxKey-1))
	keys := []string{"", "\x00", "\x00\x00", long, long + "a", long + "b"}
	for i, k := range keys {
		tb.get(k)
		tb.put(k, uint64(i))
	}
	tb.compare()
	for _, k := range keys {
		tb.get(k)
		tb.delete(k)
	}
	if tb.pool.Used() != 0 {
		t.Fatalf("%d bytes left", tb.pool.Used())
	}
}
