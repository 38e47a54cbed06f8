package index

import "github.com/fastrestart/frs/offheap"

// Growth. A page doubles up to 2^maxPageBits buckets, then splits in two by
// the next tag bit; when its depth reaches that of the directory, that doubles.
//
//	page 1, 2, 4 ... 512 buckets -> two pages at depth+1 -> ...
//
// All tag bits are used up only when more than seven entries share each tag
// value, or when keys collide on purpose: then pages double without limit and
// the gaps between the home buckets hold the surplus.

// Grow makes room, so that the next Insert of the hash cannot fail. The error
// is one of [offheap.Arena.Alloc]; the table is unchanged then.
func (h *Hash) Grow(hash uint64) error {
	tag := Tag(hash)
	i, _ := h.first(tag)
	e := &h.dir[i]
	if e.mem != 0 && e.count < pageLimit(e.bits) {
		return nil
	}
	return h.growFor(tag)
}

// GrowAll makes room for an Insert of each of the hashes, in any order and
// with any Replace and Remove between them.
func (h *Hash) GrowAll(hashes []uint64) error {
	for again := true; again; {
		for _, hash := range hashes {
			i, _ := h.first(Tag(hash))
			h.dir[i].need = 0
		}
		for _, hash := range hashes {
			i, _ := h.first(Tag(hash))
			h.dir[i].need++
		}
		again = false
		for _, hash := range hashes {
			split, err := h.growOnce(Tag(hash))
			if err != nil {
				return err
			}
			again = again || split
		}
	}
	return nil
}

// growOnce enlarges the page of a tag until it has room for what it needs, or
// until it split: that divides the need in an unknown way, so it is zero then.
func (h *Hash) growOnce(tag uint32) (split bool, err error) {
	for {
		i, _ := h.first(tag)
		e := h.dir[i]
		if e.mem != 0 && e.count+e.need <= pageLimit(e.bits) {
			return false, nil
		}
		if err := h.enlarge(tag, e.need); err != nil {
			return false, err
		}
		if e.mem != 0 && h.entry(tag).depth != e.depth {
			return true, nil
		}
	}
}

// growFor enlarges the page of a tag until it has room for one more entry.
func (h *Hash) growFor(tag uint32) error {
	for {
		i, _ := h.first(tag)
		if e := &h.dir[i]; e.mem != 0 && e.count < pageLimit(e.bits) {
			return nil
		}
		if err := h.enlarge(tag, 1); err != nil {
			return err
		}
	}
}

// enlarge takes the next step of growth for the page of a tag; a page without
// memory gets a size for n entries.
func (h *Hash) enlarge(tag, n uint32) error {
	switch e := h.entry(tag); {
	case e.mem == 0:
		return h.resize(tag, bitsFor(n))
	case e.bits < maxPageBits || e.depth+e.bits >= TagBits:
		return h.resize(tag, e.bits+1)
	default:
		return h.split(tag)
	}
}

// bitsFor returns the page size for n entries: the smallest that they fill to
// at most 3/4 of its limit, but not above 2^maxPageBits buckets.
func bitsFor(n uint32) uint8 {
	b := uint8(0)
	for b < maxPageBits && n > 1 && n*4 > pageLimit(b)*3 {
		b++
	}
	return b
}

// newPage returns an empty page.
func (h *Hash) newPage(depth, pageBits uint8) (page, offheap.Ref, error) {
	size := bucketSize << pageBits
	ref, err := h.arena.Alloc(size)
	if err != nil {
		return page{}, 0, err
	}
	clear(h.arena.Bytes(ref, size))
	h.bytes += int64(offheap.ClassSize(size))
	return page{mem: h.arena.Ptr(ref), depth: depth, bits: pageBits}, ref, nil
}

// freePage frees the memory of a page, if it has any.
func (h *Hash) freePage(ref offheap.Ref, pageBits uint8) {
	if ref != 0 {
		size := bucketSize << pageBits
		h.bytes -= int64(offheap.ClassSize(size))
		h.arena.Free(ref, size)
	}
}

// set writes the n directory entries of a page, from index i on.
func (h *Hash) set(i, n int, p page, ref offheap.Ref, count uint32) {
	for j := i; j < i+n; j++ {
		h.dir[j] = dirEntry{mem: uintptr(p.mem), ref: ref, depth: p.depth, bits: p.bits, count: count}
	}
}

// resize gives the page of a tag 2^pageBits buckets.
//
// REQUIRES: they have room for its entries
func (h *Hash) resize(tag uint32, pageBits uint8) error {
	i, n := h.first(tag)
	old := h.dir[i]
	p, ref, err := h.newPage(old.depth, pageBits)
	if err != nil {
		return err
	}
	from := old.page()
	from.spread([2]*page{&p, &p}, 0)
	h.set(i, n, p, ref, old.count)
	h.dir[i].need = old.need
	h.freePage(old.ref, old.bits)
	h.moves++
	return nil
}

// split divides the page of a tag in two by the next tag bit. Each gets the
// size that fits its entries, so that keys that collide in many bits cost no
// more than a bucket per split.
func (h *Hash) split(tag uint32) error {
	i, _ := h.first(tag)
	old := h.dir[i]
	from := old.page()
	shift := 64 - 1 - old.depth // of the deciding bit in a slot
	count := from.count(shift)
	var p [2]page
	var ref [2]offheap.Ref
	for s := range p {
		var err error
		if p[s], ref[s], err = h.newPage(old.depth+1, bitsFor(count[s])); err != nil {
			h.freePage(ref[0], p[0].bits)
			return err
		}
	}
	if old.depth == TagBits-h.shift {
		h.doubleDir()
	}
	from.spread([2]*page{&p[0], &p[1]}, shift)
	i, n := h.first(tag)
	h.set(i, n/2, p[0], ref[0], count[0])
	h.set(i+n/2, n/2, p[1], ref[1], count[1])
	h.freePage(old.ref, old.bits)
	h.moves++
	return nil
}

// doubleDir uses one more tag bit in the directory.
func (h *Hash) doubleDir() {
	dir := make([]dirEntry, 2*len(h.dir))
	for i := range dir {
		dir[i] = h.dir[i/2]
	}
	h.dir = dir
	h.shift--
}

// count returns how many slots have bit shift clear, and how many have it set.
func (p *page) count(shift uint8) (n [2]uint32) {
	for i := range p.mask() + 1 {
		for _, slot := range p.bucket(i)[:bucketSlots] {
			if slot != 0 {
				n[slot>>(shift&63)&1]++
			}
		}
	}
	return n
}

// spread copies every slot in use to one of two pages, chosen by bit shift.
func (p *page) spread(to [2]*page, shift uint8) {
	if p.mem == nil {
		return
	}
	for i := range p.mask() + 1 {
		for _, slot := range p.bucket(i)[:bucketSlots] {
			if slot != 0 {
				to[slot>>(shift&63)&1].place(slot)
			}
		}
	}
}

// Shrink gives memory back after removals: if the page of the hash is nearly
// empty it becomes smaller. It is cheap when there is nothing to do. What Grow
// promised before does not hold any more. If no memory can be had for the
// smaller page, the old one stays.
func (h *Hash) Shrink(hash uint64) {
	tag := Tag(hash)
	i, n := h.first(tag)
	e := &h.dir[i]
	if e.mem == 0 || e.count > pageLimit(e.bits)/8 {
		return
	}
	switch {
	case h.n == 0:
		h.Reset()
	case e.count == 0:
		h.freePage(e.ref, e.bits)
		h.set(i, n, page{depth: e.depth}, 0, 0)
		h.moves++
	case bitsFor(e.count) < e.bits:
		_ = h.resize(tag, bitsFor(e.count)) // old page stays
	}
}

// Divide prepares an empty table for about n entries: it divides what will be
// its pages, so that none splits on the way there. It allocates no page; Grow and
// GrowAll do. A table with entries stays as it is.
func (h *Hash) Divide(n int) {
	if h.n > 0 {
		return
	}
	h.Reset()
	depth := uint8(0)
	const full = bucketSlots << maxPageBits * 12 / 16
	for depth < TagBits-maxPageBits && n>>depth > full {
		depth++
	}
	for h.shift > TagBits-depth {
		h.doubleDir()
	}
	for i := range h.dir {
		h.dir[i].depth = depth
	}
}
