package index

// SetHash makes checks expect another hash function.
func (h *Hash) SetHash(f func(key []byte) uint64) { h.hashKey = f }

// PageBits returns the size of the page of a hash, as the binary logarithm of
// its buckets, and its depth.
func (h *Hash) PageBits(hash uint64) (bits, depth int) {
	e := h.entry(Tag(hash))
	return int(e.bits), int(e.depth)
}

// Common returns the length of the common prefix in use.
func (o *Ordered) Common() int { return len(o.common) }
