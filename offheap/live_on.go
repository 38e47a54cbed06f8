//go:build invariants

package offheap

import (
	"sync"
	"unsafe"

	"github.com/fastrestart/frs/internal/invariant"
)

const (
	poisonFree  = 0xDB // freed memory, but for its first 8 bytes (chain of the free list)
	poisonFresh = 0xCD // memory just allocated: nobody may expect zeros
)

// liveSet remembers every live allocation and its size.
type liveSet struct {
	mu    sync.RWMutex
	sizes map[Ref]int
}

// add notes an allocation and fills it with garbage. Memory that was freed
// before, in the same slab, must still be poisoned.
func (l *liveSet) add(a *Arena, ref Ref, n int, freed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sizes == nil {
		l.sizes = map[Ref]int{}
	}
	_, double := l.sizes[ref]
	invariant.Check(!double, "offheap: allocated twice")
	b := unsafe.Slice((*byte)(a.at(ref)), ClassSize(n))
	if freed {
		for _, x := range b[8:] {
			invariant.Check(x == poisonFree, "offheap: written after free")
		}
	}
	l.sizes[ref] = n
	for i := range b {
		b[i] = poisonFresh
	}
}

// remove notes a free and poisons the memory.
func (l *liveSet) remove(a *Arena, ref Ref, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size, ok := l.sizes[ref]
	invariant.Check(ok, "offheap: freed twice or never allocated")
	invariant.Check(size == n, "offheap: freed with another size than allocated")
	delete(l.sizes, ref)
	if n > maxClass {
		return // unmapped at once
	}
	b := unsafe.Slice((*byte)(a.at(ref)), ClassSize(n))
	for i := range b {
		b[i] = poisonFree
	}
}

// check panics if ref is not live.
func (l *liveSet) check(ref Ref) {
	l.mu.RLock()
	_, ok := l.sizes[ref]
	l.mu.RUnlock()
	invariant.Check(ok, "offheap: used after free or never allocated")
}

func (l *liveSet) clear() {
	l.mu.Lock()
	l.sizes = nil
	l.mu.Unlock()
}
