package offheap_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"

	"github.com/fastrestart/frs/offheap"
)

// Every size fits its class; classes waste at most an eighth (or 16 bytes) and
// never shrink.
func TestClassSize(t *testing.T) {
	last := 0
	for n := range 2<<20 + 100 {
		c := offheap.ClassSize(n)
		if c < n || c < last || c%16 != 0 || c > max(n+n/8+16, 16) {
			t.Fatalf("class of %d is %d after %d", n, c, last)
		}
		if n > 0 && n&(n-1) == 0 && n >= 16 && c != n {
			t.Fatalf("class of the power of two %d is %d", n, c)
		}
		last = c
	}
}

// Power-of-two cells are aligned, so that a bucket is one cache line.
func TestAlignment(t *testing.T) {
	a := newPool(t, offheap.PoolOptions{}).NewArena()
	for n := 16; n <= 4<<20; n *= 2 {
		for range 5 {
			ref, err := a.Alloc(n)
			if err != nil {
				t.Fatal(err)
			}
			if ref == 0 || ref>>offheap.RefBits != 0 {
				t.Fatalf("reference %#x", ref)
			}
			if p := uintptr(unsafe.Pointer(unsafe.SliceData(a.Bytes(ref, n)))); p%uintptr(min(n, 4096)) != 0 {
				t.Fatalf("%d bytes at %#x", n, p)
			}
		}
	}
}

// Reservations and allocations share the budget.
func TestReserve(t *testing.T) {
	p := newPool(t, offheap.PoolOptions{Limit: 1000})
	a := p.NewArena()
	if p.Limit() != 1000 || p.Reserve(1001) || !p.Reserve(600) || p.Reserve(401) || !p.Reserve(400) {
		t.Fatal("limit not kept")
	}
	if p.Reserved() != 1000 {
		t.Fatalf("reserved %d", p.Reserved())
	}
	p.Unreserve(1000)
	ref, err := a.Alloc(512)
	if err != nil {
		t.Fatal(err)
	}
	if p.Reserve(489) || !p.Reserve(488) {
		t.Fatal("used bytes not counted")
	}
	// The limit does not refuse allocations.
	over, err := a.Alloc(4096)
	if err != nil {
		t.Fatal(err)
	}
	if p.Reserve(1) {
		t.Fatal("reserved beyond the limit")
	}
	p.SetLimit(0)
	if p.Limit() != 0 || !p.Reserve(1<<40) {
		t.Fatal("limit not removed")
	}
	a.Free(ref, 512)
	a.Free(over, 4096)
	p.Unreserve(488 + 1<<40)
	if p.Used() != 0 || p.Reserved() != 0 {
		t.Fatalf("used %d, reserved %d", p.Used(), p.Reserved())
	}
}

// Concurrent reservations never exceed the limit together.
func TestReserveConcurrently(t *testing.T) {
	p := newPool(t, offheap.PoolOptions{Limit: 100})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				if p.Reserve(30) {
					if p.Reserved() > 100 {
						t.Error("over the limit")
					}
					p.Unreserve(30)
				}
			}
		})
	}
	wg.Wait()
	if p.Reserved() != 0 {
		t.Fatalf("reserved %d", p.Reserved())
	}
}

// A small arena needs one slab for each class in use.
func TestSmallFootprint(t *testing.T) {
	p := newPool(t, offheap.PoolOptions{})
	for range 100 {
		a := p.NewArena()
		for _, n := range []int{20, 64, 300} {
			if _, err := a.Alloc(n); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s := p.Stats(); s.Slabs != 300*64<<10 || s.Mapped > s.Slabs+4<<20 || s.Arenas != 100 {
		t.Fatalf("%+v", s)
	}
}

// Goroutines allocate and free in one arena, also what others allocated.
func TestConcurrentAlloc(t *testing.T) {
	p := newPool(t, offheap.PoolOptions{})
	a := p.NewArena()
	pass := make(chan block, 100)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 0))
			for range 5000 {
				n := 1 + rng.IntN(200)
				if rng.IntN(500) == 0 {
					n = 1<<20 + 1
				}
				ref, err := a.Alloc(n)
				if err != nil {
					t.Error(err)
					return
				}
				m := a.Bytes(ref, n)
				m[0], m[n-1] = byte(g), byte(g)
				select {
				case pass <- block{ref, n, byte(g)}:
				case b := <-pass:
					if m := a.Bytes(b.ref, b.n); m[0] != b.tag || m[b.n-1] != b.tag {
						t.Error("block changed")
					}
					a.Free(b.ref, b.n)
					a.Free(ref, n)
				}
			}
		})
	}
	wg.Wait()
	close(pass)
	for b := range pass {
		a.Free(b.ref, b.n)
	}
	if p.Used() != 0 || a.Stats().Used != 0 {
		t.Fatalf("used %d, arena %+v", p.Used(), a.Stats())
	}
}

func TestTooLarge(t *testing.T) {
	a := newPool(t, offheap.PoolOptions{}).NewArena()
	if _, err := a.Alloc(offheap.MaxAlloc + 1); !errors.Is(err, offheap.ErrTooLarge) {
		t.Fatal(err)
	}
}

func TestPoolClose(t *testing.T) {
	p := offheap.NewPool(offheap.PoolOptions{})
	a := p.NewArena()
	for _, n := range []int{100, 5 << 20} {
		if _, err := a.Alloc(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if s := p.Stats(); s.Mapped != 0 || s.Used != 0 || s.Large != 0 {
		t.Fatalf("%+v", s)
	}
	if err := p.Close(); !errors.Is(err, offheap.ErrClosed) {
		t.Fatal(err)
	}
	for _, n := range []int{1000, 5 << 20} {
		if _, err := a.Alloc(n); !errors.Is(err, offheap.ErrClosed) {
			t.Fatalf("Alloc after Close: %v", err)
		}
	}
}
