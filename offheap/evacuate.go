package offheap

// MarkSparse picks slabs worth emptying: those with less than maxLive (0 to 1)
// of their cells allocated, in every size class in which moving their cells
// makes at least one slab free. It replaces the choice of the call before, so
// MarkSparse(0) ends an evacuation. It returns the number of slabs marked. No
// new cells go to a marked slab, and when its last cell is freed it goes back
// to the pool; the owner of the cells moves those that Evacuating names.
func (a *Arena) MarkSparse(maxLive float64) int {
	marked := 0
	for i := range a.classes {
		c := &a.classes[i]
		c.mu.Lock()
		a.unmark(c, &sizeClasses[i])
		marked += a.mark(c, &sizeClasses[i], maxLive)
		c.mu.Unlock()
	}
	return marked
}

// unmark ends the evacuation of a class.
func (a *Arena) unmark(c *class, k *sizeClass) {
	for id := c.lists[listEvacuating]; id != 0; id = c.lists[listEvacuating] {
		s := a.slab(id)
		s.evacuate.Store(0)
		list := uint8(listPartial)
		if s.full(k) {
			list = listFull
		}
		a.move(c, list, id, s)
	}
}

// mark begins the evacuation of a class and returns the number of its slabs.
func (a *Arena) mark(c *class, k *sizeClass, maxLive float64) int {
	limit := maxLive * float64(k.cells)
	sparse, moving, room := 0, 0, 0
	for id := c.lists[listPartial]; id != 0; id = a.slab(id).next {
		if s := a.slab(id); float64(s.live) < limit {
			sparse++
			moving += int(s.live)
		} else {
			room += int(k.cells - s.live)
		}
	}
	// The cells go to the room in the other slabs, then to new slabs.
	fresh := (max(moving-room, 0) + int(k.cells) - 1) / int(k.cells)
	if fresh >= sparse {
		return 0
	}
	for id := c.lists[listPartial]; id != 0; {
		s := a.slab(id)
		next := s.next
		if float64(s.live) < limit {
			s.evacuate.Store(1)
			a.move(c, listEvacuating, id, s)
		}
		id = next
	}
	return sparse
}

// Evacuating reports whether a live allocation lies in a slab that MarkSparse
// marked, so that it should be moved. It takes no lock.
func (a *Arena) Evacuating(ref Ref) bool {
	if a.metas(int(ref>>refChunk)) == nil {
		return false
	}
	_, s := a.slabOf(ref)
	return s.evacuate.Load() != 0
}
