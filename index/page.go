package index

import (
	"unsafe"

	"github.com/fastrestart/frs/offheap"
)

// A page is 2^bits buckets of one cache line each. A bucket is seven slots,
// empty ones zero, and its overflow counter: the number of entries that found
// this bucket full on their way from their home bucket to where they are. A
// search goes on to the next bucket only while that is not zero.
//
//	slot   {tag 24 | reference 40}
//	bucket {slot, slot, slot, slot, slot, slot, slot, overflow}
//
// Entries never move inside a page, so a removal undoes exactly what its
// insertion counted.
type bucket [bucketSlots + 1]uint64

const (
	bucketSlots = 7
	overflow    = bucketSlots // index of the counter in a bucket
	bucketSize  = int(unsafe.Sizeof(bucket{}))

	refMask = 1<<offheap.RefBits - 1

	// maxPageBits is the size, 32 KiB, at which a page splits instead of
	// growing: the longest stop of an insert is the rehash of one page.
	maxPageBits = 9
)

// pageLimit is the number of entries at which a page of 2^bits buckets grows:
// 13/16 of its slots, except that a single bucket may be full.
func pageLimit(pageBits uint8) uint32 {
	if pageBits == 0 {
		return bucketSlots
	}
	return bucketSlots << pageBits * 13 / 16
}

// page is the geometry and the memory of a page.
type page struct {
	mem   unsafe.Pointer // nil: no entries
	depth uint8          // tag bits that choose the page
	bits  uint8
}

// home returns the bucket where the search for a tag begins: the tag bits
// behind depth. A page that was given more buckets than there are such bits
// leaves gaps between home buckets.
func (p *page) home(tag uint32) uint { return homeBucket(tag, p.depth, p.bits) }

func homeBucket(tag uint32, depth, pageBits uint8) uint {
	return uint(uint64(tag) << ((64 - TagBits + depth) & 63) >> 1 >> ((63 - pageBits) & 63))
}

func (p *page) mask() uint { return 1<<(p.bits&63) - 1 }

func (p *page) bucket(i uint) *bucket {
	return (*bucket)(unsafe.Add(p.mem, i*uint(bucketSize)))
}

// match returns a bit for each slot of b whose tag is that of want, which is a
// slot with reference 0. An empty slot never matches: x-1 is below refMask
// exactly if x has no tag left and has a reference. Almost always one bit is
// set or none, and which one cannot be predicted, so there is no branch here.
func match(b *bucket, want uint64) (m uint32) {
	if b[0]^want-1 < refMask {
		m |= 1 << 0
	}
	if b[1]^want-1 < refMask {
		m |= 1 << 1
	}
	if b[2]^want-1 < refMask {
		m |= 1 << 2
	}
	if b[3]^want-1 < refMask {
		m |= 1 << 3
	}
	if b[4]^want-1 < refMask {
		m |= 1 << 4
	}
	if b[5]^want-1 < refMask {
		m |= 1 << 5
	}
	if b[6]^want-1 < refMask {
		m |= 1 << 6
	}
	return m
}

// makeSlot returns the slot of an entry.
func makeSlot(tag uint32, ref offheap.Ref) uint64 {
	return uint64(tag)<<offheap.RefBits | uint64(ref)
}

func slotTag(s uint64) uint32      { return uint32(s >> offheap.RefBits) }
func slotRef(s uint64) offheap.Ref { return offheap.Ref(s & refMask) }

// place puts a slot into the first free place from its home bucket on.
//
// REQUIRES: the page has a free slot
func (p *page) place(slot uint64) {
	for i := p.home(slotTag(slot)); ; i = (i + 1) & p.mask() {
		b := p.bucket(i)
		for j := range bucketSlots {
			if b[j] == 0 {
				b[j] = slot
				return
			}
		}
		b[overflow]++
	}
}

// seek returns the bucket and the position of a slot, nil if it is not there.
func (p *page) seek(slot uint64) (*bucket, int) {
	i := p.home(slotTag(slot))
	for range p.mask() + 1 {
		b := p.bucket(i)
		for j := range bucketSlots {
			if b[j] == slot {
				return b, j
			}
		}
		if b[overflow] == 0 {
			break
		}
		i = (i + 1) & p.mask()
	}
	return nil, 0
}

// remove empties the place of a slot and reports whether it was there.
func (p *page) remove(slot uint64) bool {
	target, j := p.seek(slot)
	if target == nil {
		return false
	}
	target[j] = 0
	for i := p.home(slotTag(slot)); ; i = (i + 1) & p.mask() {
		b := p.bucket(i)
		if b == target {
			return true
		}
		b[overflow]--
	}
}

// span returns the geometry of home buckets: homes of them, stride buckets
// apart, each covering width tags from start on.
func (p *page) span(tag uint32) (start uint32, homes, stride uint, width uint32) {
	avail := TagBits - p.depth
	start = tag >> avail << avail
	if p.bits > avail {
		return start, 1 << avail, 1 << (p.bits - avail), 1
	}
	return start, 1 << p.bits, 1, 1 << (avail - p.bits)
}
