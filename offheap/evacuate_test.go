package offheap_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/fastrestart/frs/offheap"
)

// When sizes shift, evacuation gives the memory of the old size back.
func TestEvacuate(t *testing.T) {
	p := newPool(t, offheap.PoolOptions{Cache: -1})
	a := p.NewArena()
	rng := rand.New(rand.NewPCG(1, 9))
	const n = 300
	var live []block
	add := func() block {
		ref, err := a.Alloc(n)
		if err != nil {
			t.Fatal(err)
		}
		b := block{ref: ref, n: n, tag: byte(rng.Uint32())}
		copy(a.Bytes(ref, n), bytes.Repeat([]byte{b.tag}, n))
		return b
	}
	for range 50000 {
		live = append(live, add())
	}
	if got := a.MarkSparse(0.5); got != 0 {
		t.Fatalf("%d of the full slabs marked", got)
	}
	full := a.Stats().Slabs
	// One of ten stays, spread over all slabs.
	rng.Shuffle(len(live), func(i, j int) { live[i], live[j] = live[j], live[i] })
	for _, b := range live[5000:] {
		a.Free(b.ref, n)
	}
	live = live[:5000]
	before := a.Stats()
	if before.Slabs < full/2 {
		t.Fatal("slabs were emptied without evacuation: the test shows nothing")
	}
	marked := a.MarkSparse(0.5)
	if st := a.Stats(); marked == 0 || st.Evacuating != marked {
		t.Fatalf("%d slabs marked, stats say %d", marked, st.Evacuating)
	}
	fresh, err := a.Alloc(n)
	if err != nil || a.Evacuating(fresh) {
		t.Fatal("a new cell in a slab that is being emptied")
	}
	a.Free(fresh, n)
	moved := 0
	for i, b := range live {
		if !a.Evacuating(b.ref) {
			continue
		}
		ref, err := a.Alloc(n)
		if err != nil {
			t.Fatal(err)
		}
		copy(a.Bytes(ref, n), a.Bytes(b.ref, n))
		a.Free(b.ref, n)
		live[i].ref = ref
		moved++
	}
	after := a.Stats()
	if moved == 0 || after.Evacuating != 0 || after.Slabs*5 > before.Slabs || after.Used != before.Used {
		t.Fatalf("moved %d: %+v, before %+v", moved, after, before)
	}
	if s := p.Stats(); s.Cached != 0 || s.Slabs != after.Slabs {
		t.Fatalf("pool keeps %+v", s)
	}
	for _, b := range live {
		if !bytes.Equal(a.Bytes(b.ref, n), bytes.Repeat([]byte{b.tag}, n)) {
			t.Fatal("content changed by moving")
		}
	}
	if a.MarkSparse(0.5) > 1 {
		t.Fatal("dense slabs marked")
	}
}

// An evacuation that is called off leaves the slabs in use.
func TestEvacuateEnds(t *testing.T) {
	p := newPool(t, offheap.PoolOptions{})
	a := p.NewArena()
	var refs []offheap.Ref
	for range 10 * 1024 {
		ref, err := a.Alloc(64)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	big, err := a.Alloc(3 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if a.Evacuating(big) {
		t.Fatal("a large allocation has no slab to empty")
	}
	for i, ref := range refs {
		if i%16 != 0 {
			a.Free(ref, 64)
		}
	}
	if a.MarkSparse(0.5) < 9 || !a.Evacuating(refs[0]) {
		t.Fatal("not marked")
	}
	slabs := a.Stats().Slabs
	if a.MarkSparse(0) != 0 || a.Evacuating(refs[0]) || a.Stats().Evacuating != 0 {
		t.Fatal("still marked")
	}
	for range 9 * 1024 {
		if _, err := a.Alloc(64); err != nil {
			t.Fatal(err)
		}
	}
	if got := a.Stats().Slabs; got > slabs {
		t.Fatalf("%d bytes of slabs, %d before: free cells are not used again", got, slabs)
	}
}
