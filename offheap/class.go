package offheap

import "math/bits"

// Size classes: 16, 32, ... 128, then eight per doubling up to 1 MiB. A
// power of two is always a class, and its cells are aligned to their size (up
// to the page size), because slabs are aligned to theirs and carry no header.
const (
	minClass   = 16
	linearMax  = 128
	maxClass   = 1 << 20
	numClasses = 8 + 8*(20-7)

	// largeUnit is the rounding of allocations above maxClass: a multiple
	// of every supported page size.
	largeUnit = 16 << 10
)

// sizeClass is what the allocator needs to know about one class.
type sizeClass struct {
	size  uint32 // bytes of a cell
	cells uint32 // cells of a slab
	order uint8  // a slab is 2^order units
}

var sizeClasses = buildClasses()

func buildClasses() (t [numClasses]sizeClass) {
	for i := range t {
		size := classBytes(i)
		order := 0
		for order < maxOrder && size<<4 > unitSize<<order {
			order++
		}
		t[i] = sizeClass{
			size:  uint32(size),
			cells: uint32((unitSize << order) / size),
			order: uint8(order),
		}
	}
	return t
}

// classBytes returns the cell size of class i.
func classBytes(i int) int {
	if i < 8 {
		return (i + 1) * minClass
	}
	k := 7 + (i-8)/8
	return 1<<k + ((i-8)%8+1)<<(k-3)
}

// classOf returns the class of n.
//
// REQUIRES: n <= maxClass
func classOf(n int) int {
	if n <= linearMax {
		if n <= minClass {
			return 0
		}
		return (n - 1) / minClass
	}
	k := bits.Len(uint(n-1)) - 1
	return 8 + (k-7)*8 + (n-1-1<<k)>>(k-3)
}

// ClassSize returns the bytes that an allocation of n bytes occupies and is
// accounted with: n rounded up to its size class, or to 16 KiB above 1 MiB.
// n below 1 counts as 1.
func ClassSize(n int) int {
	if n > maxClass {
		return (n + largeUnit - 1) &^ (largeUnit - 1)
	}
	return int(sizeClasses[classOf(n)].size)
}
