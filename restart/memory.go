package restart

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/offheap"
	"github.com/fastrestart/frs/overflow"
)

// Values leave memory when the store is over its limit: one whose record is
// in the log's file is dropped from its cell and read back from there when it
// is asked for. Nothing is written for it. Keys stay.

// evictor is the hand of the store-wide clock.
type evictor struct {
	mu     sync.Mutex
	region uint32 // id; the hand is at the first region with at least this id
	shard  int
	cursor uint32
}

// pageEntries is how many entries are looked at under one shard lock.
const pageEntries = 512

// makeRoom frees memory until n more bytes are within the limit.
func (st *Store) makeRoom(n int) error {
	if st.pool.Used()+int64(n) <= st.pool.Limit() {
		return nil
	}
	return st.evict(int64(n))
}

// tryRoom is makeRoom for a value that was read and need not stay: it looks at a
// few pages and never waits, so that a read costs the same when there is
// nothing left that could leave memory.
func (st *Store) tryRoom(n int) bool {
	over := func() int64 { return st.pool.Used() + int64(n) - st.pool.Limit() }
	if over() <= 0 {
		return true
	}
	if !st.evictor.mu.TryLock() {
		return false
	}
	defer st.evictor.mu.Unlock()
	st.evictRound(over, readPages)
	return over() <= 0
}

// readPages is how many pages the hand may pass for a read.
const readPages = 16

// evict frees memory until n more bytes are within the limit, or nothing can
// leave any more. What is not written yet is written first.
func (st *Store) evict(n int64) error {
	st.evictor.mu.Lock()
	defer st.evictor.mu.Unlock()
	over := func() int64 { return st.pool.Used() + n - st.pool.Limit() }
	for round := 0; over() > 0; round++ {
		// Two rounds clear every recency bit; a third finds what was unwritten
		// at first.
		if round == 3 {
			return fmt.Errorf("%w: %d bytes of keys and index in memory, %d more asked for, limit %d",
				ErrMemoryFull, st.pool.Used(), n, st.pool.Limit())
		}
		if round > 0 {
			if err := st.log.WaitWritten(context.Background(), st.log.End()); err != nil {
				return st.logError(err)
			}
			if l := st.loader.Load(); l != nil {
				l.end(over)
			}
			// Records that wait for their part are in no table yet. A part
			// that cannot be loaded is the error of whoever looks at it.
			if over() > 0 {
				_ = st.loadParts(context.Background())
			}
		}
		st.evictRound(over, math.MaxInt)
	}
	return nil
}

// evictRound moves the hand once around the store, or until over is done or it
// passed that many pages.
func (st *Store) evictRound(over func() int64, pages int) {
	regions := st.catalog.all()
	if len(regions) == 0 {
		return
	}
	first := 0
	for first < len(regions)-1 && regions[first].id < st.evictor.region {
		first++
	}
	for i := range len(regions) + 1 { // the first one again for its first shards
		r := regions[(first+i)%len(regions)]
		if r.id != st.evictor.region {
			st.evictor.region, st.evictor.shard, st.evictor.cursor = r.id, 0, 0
		}
		for ; st.evictor.shard < len(r.shards); st.evictor.shard++ {
			for st.evictor.cursor < index.EndTag {
				need := over()
				if need <= 0 || pages == 0 {
					return
				}
				pages--
				st.evictor.cursor = st.evictPage(r, st.evictor.shard, st.evictor.cursor, need)
			}
			st.evictor.cursor = 0
		}
		st.evictor.region, st.evictor.shard = r.id+1, 0
	}
}

// evictPage runs the clock over some entries of a shard's table and returns
// where to go on, index.EndTag at the end.
func (st *Store) evictPage(r *Region, n int, cursor uint32, need int64) (next uint32) {
	sh := &r.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if r.usable() != nil {
		return index.EndTag
	}
	ring := pageRing{r: r, sh: sh, written: uint64(st.log.Written())}
	ring.refs, next = sh.hash.Walk(cursor, pageEntries, nil)
	s := overflow.Clock[offheap.Ref](&ring, need, len(ring.refs))
	st.metrics.evictions.Add(int64(s.Evicted))
	return next
}

// pageRing is one page of entries as the clock sees it.
// REQUIRES: sh.mu is held.
type pageRing struct {
	r       *Region
	sh      *shard
	refs    []offheap.Ref
	at      int
	written uint64
}

func (p *pageRing) Next() (offheap.Ref, bool) {
	if p.at == len(p.refs) {
		return 0, false
	}
	p.at++
	return p.refs[p.at-1], true
}

func (p *pageRing) Touched(ref offheap.Ref) bool {
	c := p.r.cell(ref)
	if !c.Has(index.FlagRecent) {
		return false
	}
	c.Clear(index.FlagRecent)
	return true
}

func (p *pageRing) Evict(ref offheap.Ref) int64 {
	c := p.r.cell(ref)
	if !c.Resident() || c.LSN() >= p.written {
		return 0
	}
	spec := specOf(c)
	spec.Value, spec.NoValue = nil, true
	freed := offheap.ClassSize(c.Size()) - offheap.ClassSize(spec.Size())
	if freed <= 0 {
		return 0 // the hash that stays is no smaller than the value
	}
	if !p.r.swapCell(p.sh, index.HashKey(c.Key()), ref, spec) {
		return 0
	}
	return int64(freed)
}

// discard frees the tables of a region that was cleared or dropped, in the
// background.
// REQUIRES: every shard lock of the region is held, so that Close, which takes
// them before it waits for the background, cannot miss this.
func (st *Store) discard(r *Region, tables []*index.Hash) {
	st.background.Go(func() {
		r.order.quiesce()
		for _, t := range tables {
			freeTable(r, t)
		}
	})
}

// A class of cells is worth emptying below this share of live cells.
const sparseShare = 0.5

// sweep takes expired entries out of memory, and empties slabs that hold
// little.
func (st *Store) sweep(ctx context.Context) {
	for _, r := range st.catalog.all() {
		r.sweep(ctx)
	}
}

// sweep visits the pages of a region that have expired entries, or cells in
// sparse slabs.
func (r *Region) sweep(ctx context.Context) {
	sparse := r.arena.MarkSparse(sparseShare) > 0
	for n := range r.shards {
		sh := &r.shards[n]
		sh.mu.RLock()
		due := sh.expiring > 0 || sparse
		sh.mu.RUnlock()
		if !due || ctx.Err() != nil {
			continue
		}
		for cursor := uint32(0); cursor < index.EndTag; {
			cursor = r.sweepPage(sh, cursor)
		}
	}
}

func (r *Region) sweepPage(sh *shard, cursor uint32) (next uint32) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if r.usable() != nil {
		return index.EndTag
	}
	refs, next := sh.hash.Walk(cursor, pageEntries, nil)
	now := r.st.now()
	for _, ref := range refs {
		c := r.cell(ref)
		switch {
		case c.Has(index.FlagExpiry) && c.Expiry() <= now:
			r.forget(sh, index.HashKey(c.Key()), ref)
			r.st.metrics.expired.Add(1)
		case r.arena.Evacuating(ref):
			r.swapCell(sh, index.HashKey(c.Key()), ref, specOf(c))
		}
	}
	return next
}
