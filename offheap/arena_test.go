package offheap_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/fastrestart/frs/offheap"
)

type block struct {
	ref offheap.Ref
	n   int
	tag byte
}

// sizes mixes small, page-sized and large requests.
func randomSize(rng *rand.Rand) int {
	switch rng.IntN(100) {
	case 0:
		return rng.IntN(3 << 20)
	case 1, 2, 3:
		return rng.IntN(1 << 20)
	case 4, 5, 6, 7, 8, 9, 10:
		return rng.IntN(64 << 10)
	default:
		return rng.IntN(600)
	}
}

func newPool(t testing.TB, o offheap.PoolOptions) *offheap.Pool {
	t.Helper()
	p := offheap.NewPool(o)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Random allocations and frees: no two live blocks overlap, the account is
// exact at every step and zero at the end, and memory goes back.
func TestRandomAllocations(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	p := newPool(t, offheap.PoolOptions{})
	a := p.NewArena()
	var live []block
	var want int64
	check := func(b block) {
		m := a.Bytes(b.ref, b.n)
		for _, i := range []int{0, b.n / 2, b.n - 1} {
			if b.n > 0 && m[i] != b.tag {
				t.Fatalf("block of %d bytes holds %#x at %d, want %#x", b.n, m[i], i, b.tag)
			}
		}
	}
	free := func(i int) {
		b := live[i]
		check(b)
		a.Free(b.ref, b.n)
		want -= int64(offheap.ClassSize(b.n))
		live[i] = live[len(live)-1]
		live = live[:len(live)-1]
	}
	for step := range 20000 {
		if phase := step / 5000 % 2; len(live) > 0 && rng.IntN(10) < 3+phase*4 {
			free(rng.IntN(len(live)))
		} else {
			b := block{n: randomSize(rng), tag: byte(step)}
			var err error
			if b.ref, err = a.Alloc(b.n); err != nil {
				t.Fatal(err)
			}
			m := a.Bytes(b.ref, b.n)
			for i := range m {
				m[i] = b.tag
			}
			live = append(live, b)
			want += int64(offheap.ClassSize(b.n))
		}
		if p.Used() != want {
			t.Fatalf("step %d: used %d, want %d", step, p.Used(), want)
		}
	}
	if got := a.Stats().Used; got != want {
		t.Fatalf("arena uses %d, want %d", got, want)
	}
	for len(live) > 0 {
		free(len(live) - 1)
	}
	if p.Used() != 0 {
		t.Fatalf("used %d after the last free", p.Used())
	}
	s := p.Stats()
	if s.Large != 0 || s.Slabs > 128*64<<10 || s.Mapped > 16<<20 || s.Cached > 4<<20 {
		t.Fatalf("too much kept after the last free: %+v", s)
	}
}

// Goroutines that allocate through stashes, and free without, never share a
// block, and nothing is left counted when the stashes are closed.
func TestStash(t *testing.T) {
	p := newPool(t, offheap.PoolOptions{})
	a := p.NewArena()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(3, uint64(g)))
			s := a.NewStash()
			defer s.Close()
			var live []block
			for step := range 5000 {
				if len(live) > 0 && rng.IntN(5) < 2 {
					i := rng.IntN(len(live))
					b := live[i]
					for _, x := range a.Bytes(b.ref, b.n) {
						if x != b.tag {
							t.Errorf("block of %d bytes holds %#x, want %#x", b.n, x, b.tag)
							return
						}
					}
					a.Free(b.ref, b.n)
					live[i] = live[len(live)-1]
					live = live[:len(live)-1]
					continue
				}
				b := block{n: rng.IntN(100 << rng.IntN(10)), tag: byte(g<<6 + step%61)}
				var err error
				if b.ref, err = s.Alloc(b.n); err != nil {
					t.Error(err)
					return
				}
				m := a.Bytes(b.ref, b.n)
				for i := range m {
					m[i] = b.tag
				}
				live = append(live, b)
				if step%1000 == 999 {
					s.Close() // may be used again
				}
			}
			for _, b := range live {
				a.Free(b.ref, b.n)
			}
		})
	}
	wg.Wait()
	if n := p.Used(); n != 0 {
		t.Fatalf("%d bytes still counted", n)
	}
}

// A stash says why it cannot be filled.
func TestStashClosedArena(t *testing.T) {
	for _, filled := range []bool{false, true} {
		p := newPool(t, offheap.PoolOptions{Cache: -1})
		a := p.NewArena()
		s := a.NewStash()
		if filled {
			if _, err := s.Alloc(40); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Alloc(40); !errors.Is(err, offheap.ErrClosed) {
			t.Fatalf("filled before %v: error %v, want ErrClosed", filled, err)
		}
		s.Close()
		if n := p.Used(); n != 0 {
			t.Fatalf("filled before %v: %d bytes counted", filled, n)
		}
	}
}

// Closing an arena frees everything in it and nothing of its neighbours.
func TestArenaClose(t *testing.T) {
	p := newPool(t, offheap.PoolOptions{})
	a, b := p.NewArena(), p.NewArena()
	keep, err := b.Alloc(1000)
	if err != nil {
		t.Fatal(err)
	}
	copy(b.Bytes(keep, 1000), bytes.Repeat([]byte{7}, 1000))
	for i := range 5000 {
		if _, err := a.Alloc(i * 7 % 40000); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Alloc(5 << 20); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if p.Used() != int64(offheap.ClassSize(1000)) {
		t.Fatalf("used %d", p.Used())
	}
	if s := p.Stats(); s.Slabs != 64<<10 || s.Large != 0 || s.Cached > 4<<20 || s.Mapped > 12<<20 || s.Arenas != 1 {
		t.Fatalf("not given back: %+v", s)
	}
	if !bytes.Equal(b.Bytes(keep, 1000), bytes.Repeat([]byte{7}, 1000)) {
		t.Fatal("a neighbour's block changed")
	}
	if _, err := a.Alloc(1); !errors.Is(err, offheap.ErrClosed) {
		t.Fatalf("Alloc after Close: %v", err)
	}
	if _, err := a.Alloc(2 << 20); !errors.Is(err, offheap.ErrClosed) {
		t.Fatalf("large Alloc after Close: %v", err)
	}
	if err := a.Close(); !errors.Is(err, offheap.ErrClosed) {
		t.Fatalf("second Close: %v", err)
	}
}
