package restart

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// load looks at the segments that Open did not look at, and brings into memory
// what has room there: everything by one look at the log, or what is still in the
// image, a part after the other, and then values, newest first. It runs in the
// background, or within Open when that is asked for.
func (st *Store) load(ctx context.Context) error {
	if st.opts.Load != Eager {
		pauseFor(ctx, loadDelay)
	}
	if err := st.log.CheckHeaders(ctx); ctx.Err() == nil {
		st.loadFailed(err)
	}
	if st.loadsWhole() {
		st.loadFailed(st.loadWhole(ctx)) // what is not loaded, the rest finds
		if st.pool.Used() > st.pool.Limit() {
			_ = st.makeRoom(0) // the next put's error
		}
	}
	if err := st.loadParts(ctx); err != nil {
		return err
	}
	if err := st.orderRegions(ctx); err != nil {
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
	took := time.Since(st.begun)
	st.report.change(func(r *RecoveryReport) { r.Loaded = took })
	st.opts.Events.loaded(st.Recovery())
	return nil
}

// loading is what brings values into memory. Cells that are in no table yet are
// memory that no eviction finds.
type loading struct {
	// end ends it, for whoever needs memory that eviction alone did not find. It
	// returns when the cells can leave memory, or over is 0 or less.
	end func(over func() int64)
}

// loadFailed tells what the loading in the background could not read, once.
func (st *Store) loadFailed(err error) {
	if err == nil {
		return
	}
	known := false
	st.report.change(func(r *RecoveryReport) { known, r.LoadFailed = r.LoadFailed != "", cmp.Or(r.LoadFailed, err.Error()) })
	if f := st.opts.Events.LoadFailed; f != nil && !known {
		f(err)
	}
}

// loadDelay leaves the processors to whoever opened the store to read
// something at once.
const loadDelay = 10 * time.Millisecond

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
func (st *Store) loadParts(ctx context.Context) error {
	for _, r := range st.catalog.all() {
		if err := r.loadAll(ctx); err != nil && !errors.Is(err, ErrDropped) {
			return err
		}
	}
	st.keysLoaded.Store(true)
	return nil
}

// orderRegions builds the order of the regions that are kept in order.
func (st *Store) orderRegions(ctx context.Context) error {
	for _, r := range st.catalog.all() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !r.Options().Ordered {
			continue
		}
		if err := r.order.ensure(r); err != nil && !errors.Is(err, ErrDropped) {
			return err
		}
	}
	return nil
}
