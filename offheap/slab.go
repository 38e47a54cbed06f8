package offheap

import (
	"sync/atomic"
	"unsafe"
)

// slabID names a slab by its first unit: chunk number * chunkUnits + unit.
// 0 is no slab, because chunk 0 does not exist.
type slabID uint32

func makeSlabID(chunk, unit int) slabID { return slabID(chunk*chunkUnits + unit) }

func (id slabID) chunk() int { return int(id / chunkUnits) }
func (id slabID) unit() int  { return int(id % chunkUnits) }

// ref returns the reference of the byte offset off of the slab.
func (id slabID) ref(off uint32) Ref {
	return Ref(id)<<(unitShift-refShift) + Ref(off>>refShift)
}

// slab is the header of one slab. It lives off-heap, apart from its cells, so
// that cells of power-of-two classes are aligned. Every unit has room for one;
// that of a slab's first unit is used, the others only say where that is.
type slab struct {
	live  uint32 // cells allocated
	fresh uint32 // cells handed out at least once; those behind never were
	free  uint32 // first freed cell: its offset / 8 + 1; 0: none. Chained through the cells
	next  slabID // in the list that it is on
	prev  slabID
	owner uint32 // Arena.id
	class uint8
	first uint8 // unit of the slab's first unit in the chunk
	list  uint8 // which list it is on
	_     uint8
	// evacuate is 1 on the evacuating list. Read without a lock.
	evacuate atomic.Uint32
}

// A slab is always on exactly one list of its size class.
const (
	listPartial    = iota // has room
	listFull              // has none
	listEvacuating        // takes no new cells
	numLists
)

// full reports whether the slab has no room.
func (s *slab) full(k *sizeClass) bool { return s.free == 0 && s.fresh == k.cells }

// slab returns the header of a slab.
func (a *Arena) slab(id slabID) *slab {
	return (*slab)(unsafe.Add(a.metas(id.chunk()), uintptr(id.unit())*unsafe.Sizeof(slab{})))
}

// metas returns the slab headers of a chunk, nil for a large allocation.
func (a *Arena) metas(chunk int) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Add(a.table, uintptr(chunk)*entrySize+unsafe.Offsetof(chunkEntry{}.meta)))
}

// slabOf returns the slab that a reference points into.
//
// REQUIRES: ref is no large allocation
func (a *Arena) slabOf(ref Ref) (slabID, *slab) {
	id := slabID(ref >> (unitShift - refShift))
	first := a.slab(id).first
	id = makeSlabID(id.chunk(), int(first))
	return id, a.slab(id)
}

// push puts a slab, which is on no list, on one.
func (a *Arena) push(c *class, list uint8, id slabID, s *slab) {
	s.list, s.prev, s.next = list, 0, c.lists[list]
	if s.next != 0 {
		a.slab(s.next).prev = id
	}
	c.lists[list] = id
}

// unlink takes a slab off its list.
func (a *Arena) unlink(c *class, s *slab) {
	if s.next != 0 {
		a.slab(s.next).prev = s.prev
	}
	if s.prev != 0 {
		a.slab(s.prev).next = s.next
	} else {
		c.lists[s.list] = s.next
	}
}

// move changes the list of a slab.
func (a *Arena) move(c *class, list uint8, id slabID, s *slab) {
	a.unlink(c, s)
	a.push(c, list, id, s)
}
