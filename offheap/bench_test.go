package offheap_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/fastrestart/frs/offheap"
)

// BenchmarkAllocFree allocates and frees one block, in an arena with others.
func BenchmarkAllocFree(b *testing.B) {
	for _, n := range []int{64, 300, 5000, 2 << 20} {
		b.Run(fmt.Sprint("bytes=", n), func(b *testing.B) {
			a := newPool(b, offheap.PoolOptions{}).NewArena()
			if _, err := a.Alloc(n); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				ref, err := a.Alloc(n)
				if err != nil {
					b.Fatal(err)
				}
				a.Free(ref, n)
			}
		})
	}
}

// BenchmarkFill allocates and writes blocks of 64 to 1024 bytes, then replaces
// random ones by others.
func BenchmarkFill(b *testing.B) {
	for _, churn := range []bool{false, true} {
		b.Run(fmt.Sprint("replace=", churn), func(b *testing.B) {
			p := newPool(b, offheap.PoolOptions{})
			a := p.NewArena()
			rng := rand.New(rand.NewPCG(1, 1))
			src := make([]byte, 1024)
			live := make([]block, 0, 1<<18)
			put := func() (bl block) {
				bl.n = 64 + rng.IntN(960)
				bl.ref, _ = a.Alloc(bl.n)
				copy(a.Bytes(bl.ref, bl.n), src)
				return bl
			}
			for churn && len(live) < cap(live) {
				live = append(live, put())
			}
			for b.Loop() {
				if i := rng.IntN(cap(live)); churn {
					a.Free(live[i].ref, live[i].n)
					live[i] = put()
				} else if put(); p.Used() > 1<<30 {
					_ = a.Close()
					a = p.NewArena()
				}
			}
			st := a.Stats()
			b.ReportMetric(float64(st.Slabs)/float64(st.Used), "held/used")
		})
	}
}
