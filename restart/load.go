package restart

import (
	"context"
	"errors"
	"io"
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

// loadValues reads the log backwards by segments and brings values into
// memory that are not there.
func (st *Store) loadValues(ctx context.Context) error {
	segs := st.log.Segments()
	p := LoadInfo{Total: int64(st.recoveredEnd - st.log.First())}
	start := time.Now()
	for i := len(segs) - 1; i >= 0 && !st.memoryFull(); i-- {
		from, to := segs[i].Base, min(segs[i].End, st.recoveredEnd)
		if from >= to {
			continue
		}
		if err := st.loadSegment(ctx, from, to); err != nil {
			return err
		}
		p.Done += int64(to - from)
		p.Remaining = time.Duration(float64(time.Since(start)) / float64(p.Done) * float64(p.Total-p.Done))
		st.opts.Events.loadProgress(p)
	}
	return nil
}

func (st *Store) memoryFull() bool { return st.pool.Used() >= st.pool.Limit() }

func (st *Store) loadSegment(ctx context.Context, from, to LSN) error {
	s := st.log.Scan(from, to)
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
		err = st.eachOp(f, func(o op.Op, spec index.CellSpec) error {
			if o.Kind == op.KindPut {
				st.loadValue(position{lsn: f.LSN, inBatch: spec.InBatch, op: spec.Op, valueLen: len(o.Value)}, o)
			}
			return nil
		})
		if err != nil || st.memoryFull() {
			return err
		}
	}
	return ctx.Err()
}

// loadValue brings one value into memory if its entry is still the one at the
// position and memory has room.
func (st *Store) loadValue(at position, o op.Op) {
	r := st.catalog.find(o.Region)
	if r == nil || st.pool.Used()+int64(len(o.Value)) > st.pool.Limit() {
		return
	}
	r.fill(index.HashKey(o.Key), o.Key, o.Value, at)
}
