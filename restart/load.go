package restart

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// load looks at the segments that Open did not look at, reads the parts that are
// still in the image, and then values, newest first, as far as memory has room.
// It runs in the background, or within Open when that is asked for.
func (st *Store) load(ctx context.Context) error {
	if st.opts.Load != Eager {
		pauseFor(ctx, loadDelay)
	}
	if err := st.log.CheckHeaders(ctx); ctx.Err() == nil {
		st.loadFailed(err)
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
