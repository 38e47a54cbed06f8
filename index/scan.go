package index

import "github.com/fastrestart/frs/offheap"

// Scan appends to dst the references of entries in the order of their tags,
// beginning with the tag from, at least max of them if there are so many, and
// returns the tag at which to go on: EndTag when nothing is left. Entries of
// equal tag are never divided between two calls.
//
// The table may change between the calls of one scan, and grow, split or
// shrink: every key that is there all the time is returned once, no key twice,
// and a key that was added or removed meanwhile once or not at all. (A replaced
// cell counts as the same key.)
func (h *Hash) Scan(from uint32, max int, dst []offheap.Ref) (refs []offheap.Ref, next uint32) {
	return h.ScanTo(from, EndTag, max, dst)
}

// ScanTo is Scan of the entries with tags below to; it returns to when nothing
// below it is left.
func (h *Hash) ScanTo(from, to uint32, max int, dst []offheap.Ref) (refs []offheap.Ref, next uint32) {
	enough := len(dst) + max
	for next = from; next < to; {
		p := h.entry(next).page()
		start, homes, stride, width := p.span(next)
		if p.mem == nil {
			next = start + uint32(homes)*width
			continue
		}
		for j := uint(next-start) / uint(width); j < homes && next < to; j++ {
			dst = p.homed(j*stride, next, to, dst)
			next = start + uint32(j+1)*width
			if len(dst) >= enough {
				return dst, min(next, to)
			}
		}
	}
	return dst, to
}

// homed appends, in tag order, the entries whose home bucket is i and whose tag
// is at least from and below to.
func (p *page) homed(i uint, from, to uint32, dst []offheap.Ref) []offheap.Ref {
	begin, home := len(dst), i
	for range p.mask() + 1 {
		b := p.bucket(i)
		for _, slot := range b[:bucketSlots] {
			if slot != 0 && slotTag(slot) >= from && slotTag(slot) < to && p.home(slotTag(slot)) == home {
				dst = append(dst, offheap.Ref(slot))
			}
		}
		if b[overflow] == 0 {
			break
		}
		i = (i + 1) & p.mask()
	}
	// Insertion sort of whole slots: there are about five.
	group := dst[begin:]
	for k := range group {
		for ; k > 0 && group[k-1] > group[k]; k-- {
			group[k-1], group[k] = group[k], group[k-1]
		}
	}
	for k := range group {
		group[k] &= refMask
	}
	return dst
}

// Walk appends to dst the references in the buckets from the position cursor
// on, at least n of them if there are so many before the end, and returns the
// position to go on at, EndTag at the end. It is the cheapest way to step over
// all entries, meant for eviction, sweeping and evacuation: while the table
// does not change a pass sees every entry once; when it changes meanwhile an
// entry may be missed or seen again.
func (h *Hash) Walk(cursor uint32, n int, dst []offheap.Ref) (refs []offheap.Ref, next uint32) {
	enough := len(dst) + n
	for next = cursor; next < EndTag; {
		p := h.entry(next).page()
		start, homes, stride, width := p.span(next)
		if p.mem == nil {
			next = start + uint32(homes)*width
			continue
		}
		for j := uint(next-start) / uint(width); j < homes; j++ {
			for i := j * stride; i < (j+1)*stride; i++ {
				for _, slot := range p.bucket(i)[:bucketSlots] {
					if slot != 0 {
						dst = append(dst, offheap.Ref(slot&refMask))
					}
				}
			}
			next = start + uint32(j+1)*width
			if len(dst) >= enough {
				return dst, next
			}
		}
	}
	return dst, next
}
