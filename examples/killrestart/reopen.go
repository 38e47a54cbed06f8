package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/fastrestart/frs/restart"
)

// opening is one open of the store, with times from the call of Open.
type opening struct {
	restart.RecoveryReport
	opened    time.Duration // to the return of Open
	firstRead time.Duration // to the return of the first Get
	loaded    time.Duration // until everything is in memory that fits
}

func (o opening) String() string {
	reason := ""
	if o.Reason != "" {
		reason = " (" + o.Reason + ")"
	}
	return fmt.Sprintf("%s%s, %.1f MB of %.1f MB log replayed, open %.1f ms, first read %.1f ms, loaded %.1f ms",
		o.Rung, reason, float64(o.Bytes)/1e6, float64(o.End-o.First)/1e6, milliseconds(o.opened), milliseconds(o.firstRead), milliseconds(o.loaded))
}

type openings []opening

func (os openings) open() []time.Duration {
	return os.times(func(o opening) time.Duration { return o.opened })
}
func (os openings) firstRead() []time.Duration {
	return os.times(func(o opening) time.Duration { return o.firstRead })
}
func (os openings) loaded() []time.Duration {
	return os.times(func(o opening) time.Duration { return o.loaded })
}

func (os openings) times(f func(opening) time.Duration) (list []time.Duration) {
	for _, o := range os {
		list = append(list, f(o))
	}
	return list
}

// loadLimit is how long the background may take to load the store.
const loadLimit = 10 * time.Minute

// reopen opens the store, reads one key of it, and waits until it is fully
// loaded. What the key holds is judged later, with all others.
func (r *runner) reopen(ctx context.Context) (st *restart.Store, rs regions, o opening, err error) {
	key := r.anyKey()
	if r.cold {
		if err := dropCache(); err != nil {
			return nil, rs, o, err
		}
	}
	loaded := make(chan time.Duration, 1)
	start := time.Now()
	options := options()
	options.Events.Loaded = func(restart.RecoveryReport) { loaded <- time.Since(start) }
	if st, err = restart.Open(r.dir, options); err != nil {
		return nil, rs, o, err
	}
	o.opened = time.Since(start)
	if rs, err = openRegions(st); err != nil {
		return nil, rs, o, errors.Join(err, st.Close())
	}
	if r.entries != nil {
		_, _ = rs.entries.Get(key)
	} else {
		_, _ = rs.files.Get(key)
	}
	o.firstRead = time.Since(start)
	select {
	case o.loaded = <-loaded:
		o.RecoveryReport = st.Recovery()
		r.opens = o.opened
		return st, rs, o, nil
	case <-time.After(loadLimit):
		err = fmt.Errorf("the store is not loaded after %v", loadLimit)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, rs, o, errors.Join(err, st.Close())
}

// anyKey returns one key that was loaded.
func (r *runner) anyKey() []byte {
	if r.entries != nil {
		return entryKey(nil, r.rng.IntN(r.entries.n))
	}
	for p := range r.tree {
		return []byte(p)
	}
	return nil
}

// reopenClean opens the store after a clean close. The last time everything is
// compared.
func (r *runner) reopenClean(ctx context.Context, n int) (err error) {
	st, rs, o, err := r.reopen(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	r.result.clean = append(r.result.clean, o)
	f := &findings{out: r.out}
	if n == r.rounds-1 {
		r.check(rs, f, progress{})
	}
	r.result.add(f)
	fmt.Fprintf(r.out, "clean %d: %v\n", n+1, o)
	return nil
}

// checkStore opens what a kill left, times it, and compares everything.
func (r *runner) checkStore(ctx context.Context, f *findings, said progress) (o opening, err error) {
	st, rs, o, err := r.reopen(ctx)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	r.result.killed = append(r.result.killed, o)
	r.result.predicted = append(r.result.predicted, said.predicted)
	if o.firstRead > restart.DefaultRestartBudget {
		r.result.OverBudget++
		if said.predicted <= restart.DefaultRestartBudget {
			r.result.Unpredicted++
		}
	}
	r.result.Recovery = o.RecoveryReport
	r.result.TornBytes += o.TornBytes
	r.check(rs, f, said)
	return o, nil
}

// check compares everything with what must be there.
func (r *runner) check(rs regions, f *findings, said progress) {
	if r.entries != nil {
		r.entries.check(rs.entries, f, said.durable)
	} else {
		r.tree.check(rs.files, f)
	}
	r.ledger.check(rs, f)
}

// dropCache makes the system forget what it has read of any file.
func dropCache() error {
	if runtime.GOOS != "linux" {
		return errors.New("--cold works on Linux only")
	}
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0); err != nil {
		return fmt.Errorf("--cold needs root: %w", err)
	}
	return nil
}
