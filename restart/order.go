package restart

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/offheap"
)

// order keeps a region's keys sorted, once somebody asked for that.
//
// The tree compares keys by reading cells of any shard, whose lock the caller
// does not hold. So a cell may be freed only after it has left the tree and
// under the tree's lock; order owns that rule: whoever takes an entry's old
// cell out of the table hands it to order, which frees it when it is safe.
//
// While the order is being built, changes are queued and cells are kept, so
// that writers never wait for the build.
type order struct {
	// phase is read by writers under their shard lock. It leaves off while
	// every shard lock is held, so a writer sees it either before its shard
	// was collected or with its changes queued.
	phase atomic.Uint32

	// building is held through a build.
	building sync.Mutex

	mu         sync.Mutex
	generation uint64 // counts resets
	tree       *index.Ordered
	queue      []change      // while building
	retired    []offheap.Ref // cells that a build may still read
}

const (
	orderOff = iota
	orderBuilding
	orderOn
)

// change of an entry's cell: insert (old zero), remove (new zero) or replace.
type change struct{ old, new offheap.Ref }

func (o *order) insert(r *Region, ref offheap.Ref) { o.change(r, change{new: ref}) }

func (o *order) replace(r *Region, old, ref offheap.Ref) { o.change(r, change{old: old, new: ref}) }

func (o *order) remove(r *Region, ref offheap.Ref) { o.change(r, change{old: ref}) }

// change records one change and frees the old cell as soon as nothing can
// read it.
// REQUIRES: the entry's shard lock is held.
func (o *order) change(r *Region, c change) {
	if o.phase.Load() == orderOff {
		if c.old != 0 {
			index.FreeCell(r.arena, c.old)
		}
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.phase.Load() == orderBuilding {
		o.queue = append(o.queue, c)
		if c.old != 0 {
			o.retired = append(o.retired, c.old)
		}
		return
	}
	apply(o.tree, c)
	if c.old != 0 {
		index.FreeCell(r.arena, c.old)
	}
}

func apply(tree *index.Ordered, c change) {
	switch {
	case c.old == 0:
		tree.Insert(c.new)
	case c.new == 0:
		tree.Delete(c.old)
	default:
		tree.Replace(c.old, c.new)
	}
}

// reset forgets the order of a region that was emptied. The emptied tables'
// cells must not be freed before quiesce.
// REQUIRES: every shard lock of the region is held.
func (o *order) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.generation++
	o.tree, o.queue = nil, nil
	o.phase.Store(orderOff)
}

// quiesce waits until no build reads cells that were collected before a reset.
func (o *order) quiesce() {
	o.building.Lock()
	//lint:ignore SA2001 passing through is the point
	o.building.Unlock()
}

// ensure builds the order if there is none.
func (o *order) ensure(r *Region) error {
	if o.phase.Load() == orderOn {
		return nil
	}
	o.building.Lock()
	defer o.building.Unlock()
	for o.phase.Load() != orderOn {
		if err := o.build(r); err != nil {
			return err
		}
	}
	return nil
}

// build collects, sorts and loads the keys while writers go on, then catches
// up with what they queued. It returns without an order when the region was
// emptied meanwhile.
// REQUIRES: o.building is held.
func (o *order) build(r *Region) error {
	if err := r.loadAll(context.Background()); err != nil {
		return err
	}
	r.lockAll()
	if err := r.usable(); err != nil {
		r.unlockAll()
		return err
	}
	o.mu.Lock()
	gen := o.generation
	o.mu.Unlock()
	o.phase.Store(orderBuilding)
	r.unlockAll()

	if refs, ok := o.collect(r, gen); ok {
		tree := index.NewOrdered(r.arena)
		tree.BulkLoad(refs)
		o.catchUp(gen, tree)
	}
	o.mu.Lock()
	retired := o.retired
	o.retired = nil
	o.mu.Unlock()
	for _, ref := range retired {
		index.FreeCell(r.arena, ref)
	}
	return nil
}

// collect returns the cells of all entries; false when the region was emptied
// since gen.
func (o *order) collect(r *Region, gen uint64) ([]offheap.Ref, bool) {
	refs := make([]offheap.Ref, 0, r.Len())
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.RLock()
		if !o.current(gen) {
			sh.mu.RUnlock()
			return nil, false
		}
		refs, _ = sh.hash.Walk(0, sh.hash.Len(), refs)
		sh.mu.RUnlock()
	}
	return refs, true
}

func (o *order) current(gen uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.generation == gen
}

// catchUp applies what was queued, in rounds, the last one under the lock, and
// puts the tree in force, unless the region was emptied since gen. Replaying a
// change that the collection already saw is harmless: changes name cells, and
// the last one of a key is in the queue.
func (o *order) catchUp(gen uint64, tree *index.Ordered) {
	// The last round is short, or comes when writers are as fast as this.
	const short, rounds = 256, 16
	for round := 1; ; round++ {
		o.mu.Lock()
		if o.generation != gen {
			o.mu.Unlock()
			return
		}
		queue := o.queue
		o.queue = nil
		if len(queue) <= short || round == rounds {
			o.tree = tree
			for _, c := range queue {
				apply(tree, c)
			}
			o.phase.Store(orderOn)
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
		for _, c := range queue {
			apply(tree, c)
		}
	}
}
