package restart_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/fastrestart/frs/crashtest"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// ledger is what a single writer was told about its steps, on files that fail.
// A step that was refused left nothing. One that was acknowledged, or is in
// doubt, has its place in the log: both are visible, and what survives is a
// front of them that contains all that are durable.
type ledger struct {
	cause   error  // of the injected failures
	log     []step // acknowledged or in doubt
	durable int    // that many of them survive
	now     image  // after all of them

	dead                     error // the error that poisoned the store
	acked, refused, inDoubt  int
	poisoned, reopened, full int
}

func newLedger(cause error) ledger { return ledger{cause: cause, now: newImage()} }

// enter adds a step that has its place in the log.
func (l *ledger) enter(s step) {
	l.log = append(l.log, s)
	l.now.apply(s)
}

// image returns what is there after the first n steps.
func (l *ledger) image(n int) image {
	if n == len(l.log) {
		return l.now
	}

	m := newImage()
	for _, s := range l.log[:n] {
		m.apply(s)
	}
	return m
}

// take notes what a step returned, and says what is wrong with that.
func (l *ledger) take(s step, err error) error {
	writes := l.writes(s)
	switch {
	case err == nil:
		if l.dead != nil && writes {
			return fmt.Errorf("%v succeeded after %w", s, l.dead)
		}
		l.acked++
		l.enter(s)
		if s.promise == crashtest.DurableAll && (writes || s.do != doRegion) {
			l.durable = len(l.log)
		}
		return nil
	case errors.Is(err, restart.ErrInDoubt):
		l.inDoubt++
		l.enter(s)
	default:
		l.refused++
	}
	if !l.documented(err) {
		return fmt.Errorf("%v: %w: not a documented error", s, err)
	}
	if errors.Is(err, restart.ErrFull) {
		l.full++
	}
	if l.dead == nil && errors.Is(err, restart.ErrPoisoned) {
		l.dead = err
		l.poisoned++
	}
	if l.dead != nil && writes && !errors.Is(err, restart.ErrPoisoned) && !errors.Is(err, restart.ErrConflict) {
		return fmt.Errorf("%v after poison: %w", s, err)
	}
	return nil
}

// writes reports whether a step has a record: not if its region was lost.
func (l *ledger) writes(s step) bool {
	switch s.do {
	case doGet, doCompact, doCheckpoint, doReopen:
		return false
	case doSync:
		return true
	case doRegion:
		next := image{contents{s.region: {}}, maps.Clone(l.now.opts)}
		next.apply(s)
		return next.opts[s.region] != l.now.opts[s.region]
	case doBatch:
		return slices.ContainsFunc(s.batch, func(b step) bool { return l.now.entries[b.region] != nil })
	}
	return l.now.entries[s.region] != nil
}

// documented reports whether an error is one that failing files may lead to:
// one of the store's, or, for what is done without the log, the file's.
func (l *ledger) documented(err error) bool {
	// ErrConflict: a drop failed, and the region that the workload means to make
	// anew is still there with its options.
	for _, is := range []error{restart.ErrInDoubt, restart.ErrPoisoned, restart.ErrFull, restart.ErrConflict, l.cause} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// visible checks that a store shows every step in the ledger and no other.
func (l *ledger) visible(st *restart.Store) error {
	got, err := imageOf(st)
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	if d := got.diff(l.image(len(l.log))); d != "" {
		return fmt.Errorf("visible while open: %s", d)
	}
	return nil
}

// settle checks what an open found, and goes on with that. What is there need
// not be durable yet.
func (l *ledger) settle(st *restart.Store) error {
	n, err := l.survived(st)
	if err != nil {
		return err
	}
	l.now, l.dead = l.image(n), nil
	l.log = l.log[:n]
	l.reopened++
	return nil
}

// survived returns how many steps are there.
func (l *ledger) survived(st *restart.Store) (int, error) {
	got, err := imageOf(st)
	if err != nil {
		return 0, err
	}
	d := got.digest()
	for n := len(l.log); n >= 0; n-- {
		if l.image(n).digest() != d {
			continue
		}
		if n < l.durable {
			err = fmt.Errorf("%d steps are there of %d, %d were durable; the first lost one is %v", n, len(l.log), l.durable, l.log[n])
		}
		return n, err
	}
	return 0, fmt.Errorf("not a front of the %d steps: against the %d durable ones: %s; against all: %s",
		len(l.log), l.durable, got.diff(l.image(l.durable)), got.diff(l.image(len(l.log))))
}

// afterwards opens what the end of the process and a power failure may leave,
// and checks that the store goes on from there.
func (l *ledger) afterwards(fs *memfs.FS, o restart.Options, seed uint64) error {
	for name, left := range map[string]*memfs.FS{
		"the process died":     fs.KillClone(),
		"nothing unsynced":     fs.CrashClone(memfs.Nothing()),
		"everything unsynced":  fs.CrashClone(memfs.Everything()),
		"a part of it":         fs.CrashClone(memfs.Random(seed)),
		"died, then a failure": nil,
	} {
		if left == nil {
			// What the next process recovers from the page cache is not durable
			// until it says so.
			left = fs.KillClone()
			left.SetCapacity(0)
			if err := l.lookIn(left, o); err != nil {
				return fmt.Errorf("the process died: %w", err)
			}
			left = left.CrashClone(memfs.Random(seed))
		}
		left.SetCapacity(0)
		if err := l.lookIn(left, o); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (l *ledger) lookIn(fs vfs.FS, o restart.Options) error {
	o.FS = fs
	st, err := restart.Open(dir, o)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if _, err = l.survived(st); err == nil {
		err = putSync(st)
	}
	return errors.Join(err, st.Close())
}

// putSync puts a durable value, and takes it away again.
func putSync(st *restart.Store) error {
	r, err := st.Region(after, restart.RegionOptions{})
	if err != nil {
		return err
	}
	if _, err := r.PutWith([]byte("key"), []byte("value"), restart.WriteOptions{Durability: restart.Sync}); err != nil {
		return err
	}
	return st.DropRegion(after)
}
