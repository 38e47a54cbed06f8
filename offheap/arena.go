package offheap

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/fastrestart/frs/internal/invariant"
)

// Arena allocates from a pool for one owner. All its methods may be called
// concurrently; each size class has its own lock. A closed arena may be used
// by nobody but a caller that is told so by ErrClosed.
type Arena struct {
	table unsafe.Pointer // Pool.table
	pool  *Pool
	id    uint32

	classes [numClasses]class

	mu     sync.Mutex // below the classes' locks, above Pool.mu
	large  map[Ref]int
	closed atomic.Bool // set under every class's lock and mu

	live liveSet // empty without the invariants tag
}

// class is the state of one size class of an arena.
type class struct {
	mu    sync.Mutex
	lists [numLists]slabID
	slabs uint32
	live  uint64 // cells
}

// NewArena returns an empty arena. It costs a few KiB until something is
// allocated, and from then on a slab for each size class in use.
func (p *Pool) NewArena() *Arena {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arenas++
	p.lastArena++
	return &Arena{table: p.table, pool: p, id: p.lastArena}
}

// Pool returns the pool of the arena.
func (a *Arena) Pool() *Pool { return a.pool }

// Alloc returns n bytes, not zeroed, aligned to at least 16 bytes, and counts
// ClassSize(n) in Pool.Used; the pool's limit is not asked. n below 1 counts
// as 1. Errors: ErrNoMemory, ErrClosed, ErrTooLarge.
func (a *Arena) Alloc(n int) (Ref, error) {
	if n > maxClass {
		return a.allocLarge(n)
	}
	i := classOf(n)
	k := &sizeClasses[i]
	c := &a.classes[i]
	c.mu.Lock()
	ref, freed, err := a.takeLocked(c, k, i)
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	a.pool.used.Add(int64(k.size))
	a.live.add(a, ref, n, freed)
	return ref, nil
}

// takeLocked takes a cell of class i; freed says that it was in use before.
func (a *Arena) takeLocked(c *class, k *sizeClass, i int) (ref Ref, freed bool, err error) {
	id := c.lists[listPartial]
	if id == 0 {
		if id, err = a.grow(c, i); err != nil {
			return 0, false, err
		}
	}
	s := a.slab(id)
	off := s.fresh * k.size
	if freed = s.free != 0; freed {
		off = (s.free - 1) << refShift
		s.free = *(*uint32)(a.at(id.ref(off)))
	} else {
		s.fresh++
	}
	s.live++
	c.live++
	if s.full(k) {
		a.move(c, listFull, id, s)
	}
	return id.ref(off), freed, nil
}

// grow adds a slab to class i, whose lock is held.
func (a *Arena) grow(c *class, i int) (slabID, error) {
	if a.closed.Load() {
		return 0, ErrClosed
	}
	order := int(sizeClasses[i].order)
	a.pool.mu.Lock()
	id, err := a.pool.newSlabLocked(order)
	a.pool.mu.Unlock()
	if err != nil {
		return 0, err
	}
	first := id.unit()
	for u := range 1 << order {
		a.slab(makeSlabID(id.chunk(), first+u)).first = uint8(first)
	}
	s := a.slab(id)
	s.live, s.fresh, s.free = 0, 0, 0
	s.owner, s.class = a.id, uint8(i)
	s.evacuate.Store(0)
	a.push(c, listPartial, id, s)
	c.slabs++
	return id, nil
}

// Free gives back an allocation of n bytes. ref must not be used any more. A
// Free after Close does nothing.
func (a *Arena) Free(ref Ref, n int) {
	if n > maxClass {
		a.freeLarge(ref, n)
		return
	}
	if a.closed.Load() {
		return
	}
	a.live.remove(a, ref, n)
	i := classOf(n)
	k := &sizeClasses[i]
	c := &a.classes[i]
	c.mu.Lock()
	if a.closed.Load() {
		c.mu.Unlock()
		return
	}
	id, s := a.slabOf(ref)
	if invariant.Enabled {
		invariant.Check(s.owner == a.id && int(s.class) == i, "offheap: freed in an arena or class that it is not from")
	}
	*(*uint32)(a.at(ref)) = s.free
	s.free = uint32(ref-id.ref(0)) + 1
	s.live--
	c.live--
	if s.live == 0 && !a.keep(c, s, k) {
		a.release(c, id, s, k)
	} else if s.list == listFull {
		a.move(c, listPartial, id, s)
	}
	c.mu.Unlock()
	a.pool.used.Add(-int64(k.size))
}

// keep reports whether an empty slab stays with the class: its only one, if
// small, so that a class that goes back and forth between none and one cell
// does not call the pool each time.
func (a *Arena) keep(c *class, s *slab, k *sizeClass) bool {
	return c.slabs == 1 && k.order == 0 && s.list != listEvacuating
}

// release gives an empty slab back to the pool.
func (a *Arena) release(c *class, id slabID, s *slab, k *sizeClass) {
	a.unlink(c, s)
	c.slabs--
	s.owner = 0
	s.evacuate.Store(0)
	p := a.pool
	p.mu.Lock()
	p.freeSlabLocked(id, int(k.order))
	p.trimLocked(id.chunk())
	p.mu.Unlock()
}

// allocLarge allocates above maxClass.
func (a *Arena) allocLarge(n int) (Ref, error) {
	if n > MaxAlloc {
		return 0, fmt.Errorf("%w: %d bytes", ErrTooLarge, n)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed.Load() {
		return 0, ErrClosed
	}
	size := ClassSize(n)
	a.pool.mu.Lock()
	ref, err := a.pool.mapLargeLocked(size)
	a.pool.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if a.large == nil {
		a.large = map[Ref]int{}
	}
	a.large[ref] = size
	a.pool.used.Add(int64(size))
	a.live.add(a, ref, n, false)
	return ref, nil
}

// freeLarge frees what allocLarge allocated.
func (a *Arena) freeLarge(ref Ref, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed.Load() {
		return
	}
	a.live.remove(a, ref, n)
	size := a.large[ref]
	if size == 0 {
		return
	}
	delete(a.large, ref)
	a.pool.mu.Lock()
	a.pool.unmapLargeLocked(ref)
	a.pool.mu.Unlock()
	a.pool.used.Add(-int64(size))
}

// at translates a reference without checking it.
func (a *Arena) at(ref Ref) unsafe.Pointer {
	return unsafe.Add(*(*unsafe.Pointer)(unsafe.Add(a.table, uintptr(ref>>refChunk)*entrySize)), uintptr(ref&refOffMask)<<refShift)
}

// Ptr returns the memory of a live allocation. It takes no lock. The pointer
// is valid until the allocation is freed.
func (a *Arena) Ptr(ref Ref) unsafe.Pointer {
	a.live.check(ref)
	return a.at(ref)
}

// Bytes returns the first n bytes of a live allocation, of which at least n
// were asked for. It takes no lock. The slice is valid until the allocation is
// freed.
func (a *Arena) Bytes(ref Ref, n int) []byte {
	return unsafe.Slice((*byte)(a.Ptr(ref)), n)
}

// ArenaStats describes an arena, in bytes unless said otherwise.
type ArenaStats struct {
	Used       int64 // class-rounded live allocations
	Slabs      int64 // slabs held, used or not
	Large      int64 // allocations above 1 MiB, also in Used
	Evacuating int   // slabs marked by MarkSparse that are not empty yet, a count
}

// Stats adds up the size classes, one after the other.
func (a *Arena) Stats() ArenaStats {
	var st ArenaStats
	for i := range a.classes {
		k, c := &sizeClasses[i], &a.classes[i]
		c.mu.Lock()
		st.Used += int64(c.live) * int64(k.size)
		st.Slabs += int64(c.slabs) * unitSize << k.order
		for id := c.lists[listEvacuating]; id != 0; id = a.slab(id).next {
			st.Evacuating++
		}
		c.mu.Unlock()
	}
	a.mu.Lock()
	for _, size := range a.large {
		st.Large += int64(size)
	}
	a.mu.Unlock()
	st.Used += st.Large
	return st
}

// Close gives all memory of the arena back at once, whatever is still
// allocated. References must not be translated any more. A second Close
// returns ErrClosed.
func (a *Arena) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed.Swap(true) {
		return ErrClosed
	}
	touched := map[int]bool{}
	for i := range a.classes {
		a.closeClass(i, touched)
	}
	p := a.pool
	for i := range touched {
		// One chunk at a time: others may need the pool meanwhile.
		p.mu.Lock()
		if !p.closed {
			p.trimLocked(i)
		}
		p.mu.Unlock()
	}
	for ref, size := range a.large {
		p.mu.Lock()
		p.unmapLargeLocked(ref)
		p.mu.Unlock()
		p.used.Add(-int64(size))
	}
	a.large = nil
	a.live.clear()
	p.mu.Lock()
	p.arenas--
	p.mu.Unlock()
	return nil
}

// closeClass gives the slabs of one class back and notes their chunks.
func (a *Arena) closeClass(i int, touched map[int]bool) {
	k, c, p := &sizeClasses[i], &a.classes[i], a.pool
	c.mu.Lock()
	defer c.mu.Unlock()
	p.mu.Lock()
	for _, id := range c.lists {
		for id != 0 && !p.closed {
			s := a.slab(id)
			next := s.next
			s.owner = 0
			s.evacuate.Store(0)
			p.freeSlabLocked(id, int(k.order))
			touched[id.chunk()] = true
			id = next
		}
	}
	p.mu.Unlock()
	p.used.Add(-int64(c.live) * int64(k.size))
	c.lists, c.slabs, c.live = [numLists]slabID{}, 0, 0
}
