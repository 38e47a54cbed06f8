package offheap

import (
	"errors"
	"testing"
	"unsafe"
)

// The i-th mapping is refused, for i = 1, 2, ... until none was: every call
// reports it as an error, and the account and later calls are right.
func TestSystemRefusesMemory(t *testing.T) {
	cause := errors.New("no")
	for i := 1; ; i++ {
		calls := 0
		p := NewPool(PoolOptions{})
		p.mapMemory = func(size uintptr) (unsafe.Pointer, error) {
			if calls++; calls == i {
				return nil, cause
			}
			return sysMap(size)
		}
		a := p.NewArena()
		var want int64
		failed := 0
		for range 2 {
			for _, n := range []int{16, 100 << 10, 2 << 20, 4 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20} {
				ref, err := a.Alloc(n)
				if err == nil {
					a.Bytes(ref, n)[n-1] = 1
					want += int64(ClassSize(n))
					continue
				}
				if failed++; ref != 0 || !errors.Is(err, ErrNoMemory) || !errors.Is(err, cause) {
					t.Fatalf("refusal %d: %v", i, err)
				}
			}
		}
		if failed > 1 || p.Used() != want || a.Stats().Used != want {
			t.Fatalf("refusal %d: %d calls failed, used %d, want %d", i, failed, p.Used(), want)
		}
		if err := a.Close(); err != nil || p.Used() != 0 || p.Stats().Slabs != 0 {
			t.Fatalf("refusal %d: %v, %+v", i, err, p.Stats())
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if failed == 0 {
			return
		}
	}
}

// Free units of a chunk merge again, whatever the order of orders.
func TestUnitRuns(t *testing.T) {
	p := NewPool(PoolOptions{})
	defer p.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []slabID
	orders := []int{0, 3, 1, 6, 0, 5, 2, 4, 6, 0}
	for _, o := range orders {
		id, err := p.newSlabLocked(o)
		if err != nil {
			t.Fatal(err)
		}
		if id.unit()%(1<<o) != 0 {
			t.Fatalf("slab of order %d at unit %d", o, id.unit())
		}
		for i, other := range ids {
			if id < other+1<<orders[i] && other < id+1<<o {
				t.Fatalf("slabs %d and %d overlap", id, other)
			}
		}
		ids = append(ids, id)
	}
	for i, id := range ids {
		p.freeSlabLocked(id, orders[i])
	}
	for i := range p.chunks.state {
		p.trimLocked(i)
	}
	if c := &p.chunks; c.unitsUsed != 0 || c.mapped > 1 || c.empty != c.mapped {
		t.Fatalf("used %d, mapped %d, empty %d", c.unitsUsed, c.mapped, c.empty)
	}
}
