package restart

import (
	"context"
	"errors"
	"io"
	"runtime"
	"time"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/wal"
)

// load reads the parts that are still in the image, and then values, newest
// first, as far as memory has room. It runs in the background, or within Open
// when that is asked for.
func (st *Store) load(ctx context.Context) error {
	start := time.Now()
	if st.opts.Load != Eager {
		pauseFor(ctx, loadDelay)
	}
	if err := st.loadParts(); err != nil {
		return err
	}
	if err := st.orderRegions(); err != nil {
		return err
	}
	if st.opts.Load != KeysOnly && st.Recovery().Rung != RungFullScan {
		if err := st.loadValues(ctx); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	st.report.loaded(time.Since(start))
	st.opts.Events.loaded(st.Recovery())
	return nil
}

// loadDelay leaves the processors to whoever opened the store to read
// something at once.
const loadDelay = 20 * time.Millisecond

// pauseFor returns after d, or when the context ends.
func pauseFor(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// loadParts loads every part of every region.
func (st *Store) loadParts() error {
	for _, r := range st.catalog.all() {
		if err := r.loadAll(); err != nil && !errors.Is(err, ErrDropped) {
			return err
		}
	}
	st.keysLoaded.Store(true)
	return nil
}

// orderRegions builds the order of the regions that are kept in order.
func (st *Store) orderRegions() error {
	for _, r := range st.catalog.all() {
		if !r.Options().Ordered {
			continue
		}
		if err := r.order.ensure(r); err != nil && !errors.Is(err, ErrDropped) {
			return err
		}
	}
	return nil
}

// loadValues reads the log backwards, a segment for each processor at a time,
// and brings values into memory that are not there.
func (st *Store) loadValues(ctx context.Context) error {
	l := loader{st: st, regions: make(map[uint32]*Region)}
	for _, r := range st.catalog.all() {
		l.regions[r.id] = r
	}
	segs := st.log.Segments()
	p := LoadInfo{Total: int64(st.recoveredEnd - st.log.First())}
	start := time.Now()
	for width := runtime.GOMAXPROCS(0); len(segs) > 0 && !st.memoryFull() && l.absent() > 0; {
		group := segs[max(0, len(segs)-width):]
		segs = segs[:len(segs)-len(group)]
		err := parallel(len(group), func(i int) error {
			return l.segment(ctx, group[i].Base, min(group[i].End, st.recoveredEnd))
		})
		if err != nil {
			return err
		}
		p.Done += int64(min(group[len(group)-1].End, st.recoveredEnd) - min(group[0].Base, st.recoveredEnd))
		if p.Done > 0 {
			p.Remaining = time.Duration(float64(time.Since(start)) / float64(p.Done) * float64(p.Total-p.Done))
		}
		st.opts.Events.loadProgress(p)
	}
	return nil
}

func (st *Store) memoryFull() bool { return st.pool.Used() >= st.pool.Limit() }

// loader loads values.
type loader struct {
	st      *Store
	regions map[uint32]*Region // as of the open
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

func (l *loader) segment(ctx context.Context, from, to LSN) error {
	if from >= to {
		return nil
	}
	s := l.st.log.Scan(from, to)
	defer s.Close()
	for ctx.Err() == nil {
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
		err = l.st.eachOp(f, func(o op.Op, spec index.CellSpec) error {
			if o.Kind == op.KindPut {
				l.value(position{lsn: f.LSN, inBatch: spec.InBatch, op: spec.Op, valueLen: len(o.Value)}, o)
			}
			return nil
		})
		if err != nil || l.st.memoryFull() {
			return err
		}
	}
	return ctx.Err()
}

// value brings one value into memory if its entry is still the one at the
// position and memory has room.
func (l *loader) value(at position, o op.Op) {
	if r := l.regions[o.Region]; r != nil && l.st.pool.Used()+int64(len(o.Value)) <= l.st.pool.Limit() {
		r.fill(index.HashKey(o.Key), o.Key, o.Value, at)
	}
}
