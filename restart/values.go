package restart

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/offheap"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/wal"
)

// loader brings values into memory that are not there, newest segments first.
// A worker reads its segment in pieces. Each put of a piece gets a cell with
// its value at once, while its bytes are in the processor's cache, and goes to
// a list per shard; then the cells of a list take the places of the entries'
// own that are still at the same position of the log.
type loader struct {
	st      *Store
	regions map[uint32]*Region // as of the open
	piece   int64              // bytes of values read before they are given to their entries
	start   time.Time

	// ended: somebody needed room that eviction alone did not find.
	ended atomic.Bool

	mu     sync.Mutex
	info   LoadInfo
	pieces map[*piece]bool // of the workers
}

// Cells that are in no table yet are memory that no eviction finds: a worker
// holds at most maxPiece of them, and all together a share of the limit. Whoever
// needs that share ends the loading.
const (
	maxPiece   = 16 << 20
	pieceShare = 16
)

// loadValues reads the log backwards, several segments at a time, as far as
// memory has room.
func (st *Store) loadValues(ctx context.Context) error {
	l := &loader{st: st, regions: make(map[uint32]*Region), start: time.Now(), pieces: make(map[*piece]bool)}
	st.loader.Store(&loading{l.end})
	defer st.loader.Store(nil)
	for _, r := range st.catalog.all() {
		l.regions[r.id] = r
	}
	l.piece = min(maxPiece, st.pool.Limit()/int64(pieceShare*workers()))
	l.info.Total = int64(st.recoveredEnd - st.log.First())
	segs := st.log.Segments()
	slices.Reverse(segs)
	return parallel(len(segs), func(i int) error {
		s := segs[i]
		s.End = min(s.End, st.recoveredEnd)
		if s.Base >= s.End || l.full() || l.absent() == 0 {
			return nil
		}
		st.prefetch(segs, i)
		if err := l.segment(ctx, s.Base, s.End); err != nil {
			return err
		}
		l.progress(int64(s.End - s.Base))
		return nil
	})
}

// progress tells how far the loading has come.
func (l *loader) progress(n int64) {
	l.mu.Lock()
	l.info.advance(n, time.Since(l.start))
	info := l.info
	l.mu.Unlock()
	l.st.opts.Events.loadProgress(info)
}

func (l *loader) full() bool { return l.ended.Load() || l.st.pool.Used() >= l.st.pool.Limit() }

// end gives the loader's cells to the entries now, so that they can leave memory.
func (l *loader) end(func() int64) {
	l.ended.Store(true)
	l.mu.Lock()
	pieces := slices.Collect(maps.Keys(l.pieces))
	l.mu.Unlock()
	for _, p := range pieces {
		p.close()
	}
}

// absent returns the number of entries whose values are not in memory.
func (l *loader) absent() (n int64) {
	for _, r := range l.regions {
		for i := range r.shards {
			sh := &r.shards[i]
			sh.mu.RLock()
			n += sh.absent
			sh.mu.RUnlock()
		}
	}
	return n
}

// value is a cell that an entry may get for the one that it has.
type value struct {
	hash    uint64
	lsn     LSN
	ref     offheap.Ref
	op      uint32
	inBatch bool
}

// piece is what a worker has read and not given to the entries yet.
type piece struct {
	mu      sync.Mutex // above the shards' locks; not held while the log is read
	size    int64
	regions map[*Region]*regionPiece
}

type regionPiece struct {
	*builder
	shards [numShards][]value
}

func (p *piece) of(r *Region) *regionPiece {
	rp := p.regions[r]
	if rp == nil {
		rp = &regionPiece{builder: r.builder()}
		p.regions[r] = rp
	}
	return rp
}

// newPiece makes a worker's piece, which end can reach until it is left.
func (l *loader) newPiece() *piece {
	p := &piece{regions: make(map[*Region]*regionPiece)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pieces[p] = true
	return p
}

func (l *loader) leave(p *piece) {
	p.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pieces, p)
}

// close gives the cells to the entries, and those that were not needed back.
func (p *piece) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.installLocked()
	for _, rp := range p.regions {
		rp.close()
	}
}

func (l *loader) segment(ctx context.Context, from, to LSN) error {
	s := l.st.log.Scan(from, to)
	defer s.Close()
	p := l.newPiece()
	defer l.leave(p)
	var x operation
	for ctx.Err() == nil && !l.full() {
		f, err := s.Next()
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, wal.ErrReleased):
			return nil // released meanwhile: what was live moved on
		case err != nil:
			return err
		case f.Kind != segment.Data:
			continue
		}
		if err := l.frame(p, f, &x); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// frame takes in one frame.
func (l *loader) frame(p *piece, f *segment.Frame, x *operation) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := l.st.eachOp(f, x, func() error { return l.takeLocked(p, x) })
	if p.size >= l.piece {
		p.installLocked()
	}
	return err
}

// takeLocked makes a cell for a put, if memory has room.
func (l *loader) takeLocked(p *piece, x *operation) error {
	r := l.regions[x.Region]
	if x.Kind != op.KindPut || r == nil {
		return nil
	}
	spec := &x.cell
	spec.Key, spec.Value, spec.Expiry = x.Key, x.Value, x.Expiry
	size := offheap.ClassSize(spec.Size())
	if l.ended.Load() || l.st.pool.Used()+int64(size) > l.st.pool.Limit() {
		return nil
	}
	rp := p.of(r)
	ref, err := rp.stash.Alloc(spec.Size())
	if err != nil {
		return err
	}
	index.FillCell(r.arena, ref, spec)
	h := index.HashKey(x.Key)
	n := shardOf(h)
	rp.shards[n] = append(rp.shards[n], value{hash: h, lsn: LSN(spec.LSN), ref: ref, op: spec.Op, inBatch: spec.InBatch})
	p.size += int64(size)
	return nil
}

// installLocked gives the values to their entries.
func (p *piece) installLocked() {
	for r, rp := range p.regions {
		for n := range rp.shards {
			for list := rp.shards[n]; len(list) > 0; {
				k := min(len(list), pageEntries)
				r.installValues(&r.shards[n], list[:k])
				list = list[k:]
			}
			rp.shards[n] = rp.shards[n][:0]
		}
	}
	p.size = 0
}

// installValues gives values to the entries of a shard that are still at the
// values' positions and have none, and frees the others.
func (r *Region) installValues(sh *shard, list []value) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if r.usable() != nil {
		for i := range list {
			index.FreeCell(r.arena, list[i].ref)
		}
		return
	}
	// All are looked up first: the processor then waits for several cells at
	// a time, none of which is in its cache.
	var old [pageEntries]offheap.Ref
	for i := range list {
		v := &list[i]
		if ref, ok := sh.hash.FindAt(v.hash, uint64(v.lsn), v.op, v.inBatch); ok && !r.cell(ref).Resident() {
			old[i] = ref
		}
	}
	for i := range list {
		v := &list[i]
		if old[i] == 0 {
			index.FreeCell(r.arena, v.ref)
			continue
		}
		sh.absent--
		sh.hash.Replace(v.hash, old[i], v.ref)
		r.order.replace(r, old[i], v.ref)
	}
}
