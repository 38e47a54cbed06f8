package index

import (
	"math/bits"
	"unsafe"

	"github.com/fastrestart/frs/internal/invariant"
	"github.com/fastrestart/frs/offheap"
)

// Hash is the point index of one shard: an extendible hash table of references
// to cells. Find, Scan, Walk, Len, Bytes and Check may run concurrently with
// each other, under the shard's read lock; everything else needs its exclusive
// lock. A Hash is usable from NewHash on and holds no memory while it is empty
// and shrunk.
type Hash struct {
	arena *offheap.Arena
	// dir has an entry for each value of the upper TagBits-shift bits of a
	// tag. A page of smaller depth has several, next to each other.
	dir   []dirEntry
	shift uint8
	n     int
	bytes int64
	moves uint64
	// hashKey is HashKey, unless a test wants collisions. Only checks use it.
	hashKey func(key []byte) uint64
}

// dirEntry describes a page. It holds its address as a number: the garbage
// collector has nothing to look at.
type dirEntry struct {
	mem   uintptr // of the buckets; 0: the page has no memory
	ref   offheap.Ref
	count uint32 // entries; right in the first entry of a page only
	need  uint32 // scratch of GrowAll, likewise
	depth uint8
	bits  uint8
}

func (e *dirEntry) page() page {
	return page{mem: *(*unsafe.Pointer)(unsafe.Pointer(&e.mem)), depth: e.depth, bits: e.bits}
}

// NewHash returns an empty table with its pages and its cells in a.
func NewHash(a *offheap.Arena) *Hash {
	return &Hash{arena: a, dir: make([]dirEntry, 1), shift: TagBits, hashKey: HashKey}
}

// Len returns the number of entries.
func (h *Hash) Len() int { return h.n }

// Bytes returns the memory of the table in bytes, pages and directory, without
// the cells. The pages' part of it is in [offheap.Pool.Used].
func (h *Hash) Bytes() int64 {
	return h.bytes + int64(len(h.dir))*int64(unsafe.Sizeof(dirEntry{}))
}

// Moves returns a number that changes whenever slots moved, that is when a
// page grew, split or shrank.
func (h *Hash) Moves() uint64 { return h.moves }

// entry returns the directory entry of a tag.
func (h *Hash) entry(tag uint32) *dirEntry { return &h.dir[tag>>(h.shift&31)] }

// first returns the index of the first directory entry of a tag's page, where
// its count is kept, and the number of its entries.
func (h *Hash) first(tag uint32) (i, n int) {
	i = int(tag >> (h.shift & 31))
	n = 1 << (TagBits - h.shift - h.dir[i].depth)
	return i &^ (n - 1), n
}

// Find returns the cell with the key. It costs one cache line of the table and,
// for a hit, the cell; a miss looks at no cell but once in 2^24 tries.
func (h *Hash) Find(hash uint64, key []byte) (offheap.Ref, bool) {
	// Local variables instead of page's methods keep all this in registers.
	tag := Tag(hash)
	e := h.entry(tag)
	mem := *(*unsafe.Pointer)(unsafe.Pointer(&e.mem))
	if mem == nil {
		return 0, false
	}
	want := makeSlot(tag, 0)
	i, mask := homeBucket(tag, e.depth, e.bits), uint(1)<<(e.bits&63)-1
	for range mask + 1 {
		b := (*bucket)(unsafe.Add(mem, i*uint(bucketSize)))
		for m := match(b, want); m != 0; m &= m - 1 {
			ref := slotRef(b[bits.TrailingZeros32(m)&7])
			if string(At(h.arena, ref).Key()) == string(key) {
				return ref, true
			}
		}
		if b[overflow] == 0 {
			break
		}
		i = (i + 1) & mask
	}
	return 0, false
}

// HasTag reports whether an entry shares the tag of a hash: if not, no entry has
// the key. It looks at no cell, so a caller that has not touched its own cell's
// key need not do so.
func (h *Hash) HasTag(hash uint64) bool {
	tag := Tag(hash)
	p := h.entry(tag).page()
	if p.mem == nil {
		return false
	}
	want := makeSlot(tag, 0)
	i := p.home(tag)
	for range p.mask() + 1 {
		b := p.bucket(i)
		if match(b, want) != 0 {
			return true
		}
		if b[overflow] == 0 {
			break
		}
		i = (i + 1) & p.mask()
	}
	return false
}

// FindAt returns the cell of the entry at a position of the log: at op of a
// batch, or at a record of its own. No two keys are at one position, so it
// looks at no key.
func (h *Hash) FindAt(hash, lsn uint64, op uint32, inBatch bool) (offheap.Ref, bool) {
	tag := Tag(hash)
	p := h.entry(tag).page()
	if p.mem == nil {
		return 0, false
	}
	want := makeSlot(tag, 0)
	i := p.home(tag)
	for range p.mask() + 1 {
		b := p.bucket(i)
		for m := match(b, want); m != 0; m &= m - 1 {
			ref := slotRef(b[bits.TrailingZeros32(m)&7])
			c := At(h.arena, ref)
			if n, batched := c.Op(); c.LSN() == lsn && batched == inBatch && n == op {
				return ref, true
			}
		}
		if b[overflow] == 0 {
			break
		}
		i = (i + 1) & p.mask()
	}
	return 0, false
}

// Insert adds an entry for a key that is not in the table.
//
// REQUIRES: Grow(hash) or GrowAll with it returned nil, and the lock was not
// released since.
func (h *Hash) Insert(hash uint64, ref offheap.Ref) {
	tag := Tag(hash)
	i, _ := h.first(tag)
	e := &h.dir[i]
	if invariant.Enabled {
		invariant.Check(e.mem != 0 && e.count < bucketSlots<<e.bits, "index: Insert without Grow")
		key := At(h.arena, ref).Key()
		_, dup := h.Find(hash, key)
		invariant.Check(!dup && h.hashKey(key) == hash, "index: Insert of a key that is there, or with a wrong hash")
	}
	e.count++
	h.n++
	p := e.page()
	p.place(makeSlot(tag, ref))
}

// Replace puts new in the place of old, a cell with the same key, and reports
// whether old was there.
func (h *Hash) Replace(hash uint64, old, new offheap.Ref) bool {
	tag := Tag(hash)
	p := h.entry(tag).page()
	if p.mem == nil {
		return false
	}
	b, j := p.seek(makeSlot(tag, old))
	if b != nil {
		b[j] = makeSlot(tag, new)
	}
	return b != nil
}

// Remove removes an entry and reports whether it was there. It keeps the
// table's memory, and so all room that Grow made; see Shrink.
func (h *Hash) Remove(hash uint64, ref offheap.Ref) bool {
	tag := Tag(hash)
	p := h.entry(tag).page()
	if p.mem == nil || !p.remove(makeSlot(tag, ref)) {
		return false
	}
	i, _ := h.first(tag)
	h.dir[i].count--
	h.n--
	return true
}

// Reset removes all entries and frees the table's memory, but not the cells.
func (h *Hash) Reset() {
	for i := 0; i < len(h.dir); {
		e := &h.dir[i]
		i += 1 << (TagBits - h.shift - e.depth)
		h.freePage(e.ref, e.bits)
	}
	h.dir, h.shift, h.n = make([]dirEntry, 1), TagBits, 0
	h.moves++
}
