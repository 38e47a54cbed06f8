package index

import (
	"fmt"
	"math/bits"

	"github.com/fastrestart/frs/offheap"
)

// Check verifies the whole table: directory, counts, overflow counters, that
// every slot is found from its home bucket and carries the tag of its key, and
// that no key is there twice. It takes a multiple of the time of a scan and is
// meant for tests and for builds with the invariants tag.
func (h *Hash) Check() error {
	if len(h.dir) != 1<<(TagBits-h.shift) {
		return fmt.Errorf("index: directory of %d entries for %d tag bits", len(h.dir), TagBits-h.shift)
	}
	n, bytes := 0, int64(0)
	for i := 0; i < len(h.dir); {
		e := &h.dir[i]
		span := 1 << (TagBits - h.shift - e.depth)
		if i%span != 0 {
			return fmt.Errorf("index: page of depth %d begins at directory entry %d", e.depth, i)
		}
		for j := i; j < i+span; j++ {
			if d := &h.dir[j]; d.mem != e.mem || d.ref != e.ref || d.depth != e.depth || d.bits != e.bits {
				return fmt.Errorf("index: directory entries %d and %d differ", i, j)
			}
		}
		if err := h.checkPage(uint32(i)<<h.shift, e); err != nil {
			return fmt.Errorf("index: page at directory entry %d: %w", i, err)
		}
		if e.ref != 0 {
			bytes += int64(offheap.ClassSize(bucketSize << e.bits))
		}
		n += int(e.count)
		i += span
	}
	if n != h.n || bytes != h.bytes {
		return fmt.Errorf("index: %d entries and %d bytes in pages, the table says %d and %d", n, bytes, h.n, h.bytes)
	}
	return nil
}

// checkPage verifies one page; start is the first tag that belongs to it.
func (h *Hash) checkPage(start uint32, e *dirEntry) error {
	p := e.page()
	if p.mem == nil {
		if e.count != 0 || e.ref != 0 || e.bits != 0 {
			return fmt.Errorf("no memory but %d entries", e.count)
		}
		return nil
	}
	if h.arena.Ptr(e.ref) != p.mem {
		return fmt.Errorf("address and reference differ")
	}
	passed := make([]uint64, p.mask()+1)
	seen := map[string]bool{}
	var count uint32
	for i := range p.mask() + 1 {
		for _, slot := range p.bucket(i)[:bucketSlots] {
			if slot == 0 {
				continue
			}
			count++
			if err := h.checkSlot(start, &p, slot, seen); err != nil {
				return fmt.Errorf("bucket %d: %w", i, err)
			}
			for j := p.home(slotTag(slot)); j != i; j = (j + 1) & p.mask() {
				passed[j]++
			}
		}
	}
	for i, n := range passed {
		if got := p.bucket(uint(i))[overflow]; got != n {
			return fmt.Errorf("bucket %d: overflow counter %d, want %d", i, got, n)
		}
	}
	if count != e.count {
		return fmt.Errorf("%d entries, the directory says %d", count, e.count)
	}
	return nil
}

// checkSlot verifies one slot and notes its key.
func (h *Hash) checkSlot(start uint32, p *page, slot uint64, seen map[string]bool) error {
	tag, key := slotTag(slot), string(At(h.arena, slotRef(slot)).Key())
	if bits.Len32(tag^start) > TagBits-int(p.depth) {
		return fmt.Errorf("tag %06x in the page of %06x", tag, start)
	}
	if Tag(h.hashKey([]byte(key))) != tag {
		return fmt.Errorf("tag %06x of key %.40q is wrong", tag, key)
	}
	if seen[key] {
		return fmt.Errorf("key %.40q twice", key)
	}
	seen[key] = true
	if b, _ := p.seek(slot); b == nil {
		return fmt.Errorf("key %.40q is not found from its home bucket", key)
	}
	return nil
}
