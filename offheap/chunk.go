package offheap

import (
	"fmt"
	"math/bits"
	"unsafe"
)

// chunkState says which units of a chunk are free. A chunk number without a
// mapping has no free units.
type chunkState struct {
	free  uint64 // units in no slab
	dirty uint64 // free units whose pages the system has not got back
	huge  bool   // belongs to a large allocation
	used  bool   // has a mapping
}

// chunkSet finds room in the chunks. Everything here is guarded by Pool.mu.
type chunkSet struct {
	state []chunkState // by chunk number; state[0] is never used
	// avail[o] has a bit for each chunk with a free slab of order o.
	avail [maxOrder + 1][]uint64
	metas []unsafe.Pointer // blocks of metaChunks*[chunkUnits]slab

	mapped     int         // chunks
	empty      int         // chunks of which all units are free
	unitsUsed  int         // in slabs
	unitsDirty int         // sum of dirty
	large      int64       // bytes of large allocations
	sizes      map[int]int // of large allocations, by first chunk number
}

const (
	metaChunks = 128
	metaSize   = chunkUnits * unsafe.Sizeof(slab{})

	// hugeAfter is how many chunks a pool has before it asks for huge
	// pages: a small pool must not fault in 2 MiB at a time.
	hugeAfter = 4
)

func (c *chunkSet) init() {
	c.sizes = map[int]int{}
	c.state = append(c.state, chunkState{})
	for o := range c.avail {
		c.avail[o] = append(c.avail[o], 0)
	}
}

// add makes room for another chunk number and returns it.
func (c *chunkSet) add() int {
	i := len(c.state)
	c.state = append(c.state, chunkState{})
	for o := range c.avail {
		if i/64 == len(c.avail[o]) {
			c.avail[o] = append(c.avail[o], 0)
		}
	}
	return i
}

// runs returns the positions in free at which an aligned slab fits.
func runs(free uint64, order int) uint64 {
	for i := range order {
		free &= free >> (1 << i)
	}
	return free & alignMask[order]
}

// setFree changes the free units of chunk i and what depends on them.
func (c *chunkSet) setFree(i int, free uint64) {
	c.state[i].free = free
	word, bit := i/64, uint64(1)<<(i%64)
	for o := range c.avail {
		if runs(free, o) != 0 {
			c.avail[o][word] |= bit
		} else {
			c.avail[o][word] &^= bit
		}
	}
}

// find returns the first chunk with a free slab of the order, or 0.
func (c *chunkSet) find(order int) int {
	for w, word := range c.avail[order] {
		if word != 0 {
			return w*64 + bits.TrailingZeros64(word)
		}
	}
	return 0
}

// unitMask returns the units of a slab at unit u.
func unitMask(u, order int) uint64 {
	return ^uint64(0) >> (64 - 1<<order) << u
}

// newSlabLocked takes a slab of 2^order units out of the chunks, mapping
// another chunk if there is no room.
func (p *Pool) newSlabLocked(order int) (slabID, error) {
	if p.closed || p.table == nil {
		return 0, p.tableErr
	}
	c := &p.chunks
	i := c.find(order)
	if i == 0 {
		var err error
		if i, err = p.mapChunkLocked(); err != nil {
			return 0, err
		}
	}
	st := &c.state[i]
	if st.free == ^uint64(0) {
		c.empty--
	}
	u := bits.TrailingZeros64(runs(st.free, order))
	mask := unitMask(u, order)
	c.unitsDirty -= bits.OnesCount64(st.dirty & mask)
	c.unitsUsed += 1 << order
	st.dirty &^= mask
	c.setFree(i, st.free&^mask)
	return makeSlabID(i, u), nil
}

// mapChunkLocked maps a chunk and returns its number.
func (p *Pool) mapChunkLocked() (int, error) {
	c := &p.chunks
	i, err := p.numbersLocked(1)
	if err != nil {
		return 0, err
	}
	meta, err := p.metaLocked(i)
	if err != nil {
		return 0, err
	}
	base, err := p.mapLocked(chunkSize)
	if err != nil {
		return 0, err
	}
	if c.mapped >= hugeAfter {
		sysHuge(base, chunkSize)
	}
	*p.entry(i) = chunkEntry{base: uintptr(base), meta: uintptr(meta)}
	c.state[i].used = true
	c.setFree(i, ^uint64(0))
	c.mapped++
	c.empty++
	return i, nil
}

// numbersLocked returns the first of n consecutive unused chunk numbers.
func (p *Pool) numbersLocked(n int) (int, error) {
	c := &p.chunks
	run := 0
	for i := 1; i < len(c.state); i++ {
		if run++; c.state[i].used {
			run = 0
		}
		if run == n {
			return i - n + 1, nil
		}
	}
	first := len(c.state) - run
	if first+n > maxChunks {
		return 0, fmt.Errorf("%w: no reference space left", ErrNoMemory)
	}
	for len(c.state) < first+n {
		c.add()
	}
	return first, nil
}

// metaLocked returns the slab headers of chunk i. They live outside the Go
// heap too, and stay for the next chunk of the same number.
func (p *Pool) metaLocked(i int) (unsafe.Pointer, error) {
	c := &p.chunks
	for len(c.metas) <= i/metaChunks {
		c.metas = append(c.metas, nil)
	}
	block := &c.metas[i/metaChunks]
	if *block == nil {
		m, err := p.mapLocked(metaChunks * metaSize)
		if err != nil {
			return nil, err
		}
		*block = m
	}
	return unsafe.Add(*block, uintptr(i%metaChunks)*metaSize), nil
}

// freeSlabLocked puts the units of a slab back. Its pages stay until trim.
func (p *Pool) freeSlabLocked(id slabID, order int) {
	c := &p.chunks
	i, mask := id.chunk(), unitMask(id.unit(), order)
	c.state[i].dirty |= mask
	c.unitsDirty += 1 << order
	c.unitsUsed -= 1 << order
	c.setFree(i, c.state[i].free|mask)
	if c.state[i].free == ^uint64(0) {
		c.empty++
	}
}

// trimLocked gives free memory of chunk i back to the system as far as the
// pool's cache is exceeded: the whole chunk when it is empty and not the last
// empty one, else its free pages.
func (p *Pool) trimLocked(i int) {
	c := &p.chunks
	st := &c.state[i]
	if !st.used || st.huge {
		return
	}
	over := int64(c.unitsDirty)*unitSize > max(p.cache, 0)
	base := pointerAt(&p.entry(i).base)
	switch {
	case st.free == ^uint64(0) && (over || c.empty > 1):
		c.unitsDirty -= bits.OnesCount64(st.dirty)
		c.empty--
		c.mapped--
		c.setFree(i, 0)
		*st = chunkState{}
		*p.entry(i) = chunkEntry{}
		p.unmapLocked(base, chunkSize)
	case over:
		for d := st.dirty; d != 0; {
			u := bits.TrailingZeros64(d)
			n := bits.TrailingZeros64(^(d >> u))
			sysDiscard(unsafe.Add(base, u*unitSize), uintptr(n)*unitSize)
			d &^= ^uint64(0) >> (64 - n) << u
		}
		c.unitsDirty -= bits.OnesCount64(st.dirty)
		st.dirty = 0
	}
}

// mapLargeLocked maps an allocation of its own; size is a ClassSize.
func (p *Pool) mapLargeLocked(size int) (Ref, error) {
	if p.closed || p.table == nil {
		return 0, p.tableErr
	}
	n := (size + chunkSize - 1) >> chunkShift
	i, err := p.numbersLocked(n)
	if err != nil {
		return 0, err
	}
	base, err := p.mapLocked(uintptr(size))
	if err != nil {
		return 0, err
	}
	for j := i; j < i+n; j++ {
		p.chunks.state[j] = chunkState{used: true, huge: true}
	}
	*p.entry(i) = chunkEntry{base: uintptr(base)}
	p.chunks.large += int64(size)
	p.chunks.sizes[i] = size
	return Ref(i) << refChunk, nil
}

// unmapLargeLocked undoes mapLargeLocked.
func (p *Pool) unmapLargeLocked(ref Ref) {
	i := int(ref >> refChunk)
	size := p.chunks.sizes[i]
	delete(p.chunks.sizes, i)
	n := (size + chunkSize - 1) >> chunkShift
	base := pointerAt(&p.entry(i).base)
	for j := i; j < i+n; j++ {
		p.chunks.state[j] = chunkState{}
	}
	*p.entry(i) = chunkEntry{}
	p.chunks.large -= int64(size)
	p.unmapLocked(base, uintptr(size))
}

// unmapAllLocked gives everything but the table back.
func (p *Pool) unmapAllLocked() {
	c := &p.chunks
	for i := range c.sizes {
		p.unmapLargeLocked(Ref(i) << refChunk)
	}
	for i, st := range c.state {
		if st.used {
			p.unmapLocked(pointerAt(&p.entry(i).base), chunkSize)
		}
	}
	for _, m := range c.metas {
		if m != nil {
			p.unmapLocked(m, metaChunks*metaSize)
		}
	}
	*c = chunkSet{}
}
