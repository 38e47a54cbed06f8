package restart_test

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fastrestart/frs/crashtest"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// crashRun is one workload and what its crashes may leave.
type crashRun struct {
	plan
	list    []step
	digests []uint64 // of the image after the first n steps

	mu  sync.Mutex
	fs  vfs.FS   // that of the workload
	ran *machine // the one that runs the workload

	checked, goneOn, compacted, crashedAgain atomic.Int64
	fromImage                                atomic.Int64
}

func newCrashRun(p plan, seed uint64) *crashRun {
	list := p.workload(seed)
	return &crashRun{plan: p, list: list, digests: digests(list)}
}

// digests returns those of the image after each number of steps.
func digests(list []step) []uint64 {
	want := newImage()
	sums := []uint64{want.digest()}
	for _, s := range list {
		want.apply(s)
		sums = append(sums, want.digest())
	}
	return sums
}

// digestsOf returns the digests for what was issued: a front of the list, or of
// a shrunk one.
func (r *crashRun) digestsOf(issued []step) []uint64 {
	if len(issued) > 0 && &issued[0] != &r.list[0] {
		return digests(issued)
	}
	return r.digests
}

func (r *crashRun) config(seed uint64) crashtest.Config[*machine, step] {
	c := crashtest.Config[*machine, step]{
		Ops:       r.list,
		Dir:       dir,
		Setup:     r.setup,
		Open:      r.open,
		Apply:     (*machine).apply,
		Close:     (*machine).close,
		Check:     r.check,
		Show:      show,
		Promise:   func(s step) crashtest.Promise { return s.promise },
		Seed:      seed,
		Random:    4,
		MaxStates: crashStates,
		Recovery:  crashRecoveries,
		Resume:    resumed,
		Shrink:    20,
	}
	if testing.Short() || r.fill > 0 { // much to read for each state
		c.Recovery = max(1, crashRecoveries/4)
	}
	c.Every = r.every()
	return c
}

// every n-th file operation is a crash point.
func (r *crashRun) every() int {
	switch {
	case testing.Short() && raceEnabled:
		return 31
	case testing.Short():
		return 7
	}
	return 1
}

func (r *crashRun) setup(fs vfs.FS, _ string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fs = fs
	return nil
}

// open opens the store in which the workload runs, or goes on after a crash.
func (r *crashRun) open(fs vfs.FS, _ string) (*machine, error) {
	m, err := startMachine(fs, r.o)
	r.mu.Lock()
	defer r.mu.Unlock()
	if fs == r.fs {
		r.ran = m
	}
	return m, err
}

// show returns what is there, which once it was synced must stay.
func show(m *machine) (string, error) {
	if err := m.st.Sync(); err != nil {
		return "", err
	}
	got, err := imageOf(m.st)
	return fmt.Sprint(got.digest()), err
}

// TestCrash stops the machine at every file operation of every workload, and
// in a part of the recoveries again. What is there must be the image after the
// first so many steps, the durable ones among them, and the store must go on.
func TestCrash(t *testing.T) {
	// Thousands of stores live for a millisecond each, beside a small heap.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	s := seed(t)
	var total crashtest.Report
	for i, p := range plans() {
		t.Run(p.name, func(t *testing.T) {
			r := newCrashRun(p, s+uint64(i))
			rep := crashtest.Run(t, r.config(s+uint64(i)))
			r.demandContent(t, rep)
			total.CrashPoints += rep.CrashPoints
			total.RecoveryPoints += rep.RecoveryPoints
			total.Distinct += rep.Distinct
			total.Acked += rep.Acked
		})
	}
	t.Logf("%d crash points, %d in recovery, %d states, %d acknowledged steps",
		total.CrashPoints, total.RecoveryPoints, total.Distinct, total.Acked)
	if total.RecoveryPoints == 0 || total.Acked == 0 {
		t.Error("the enumeration was vacuous")
	}
}

// demandContent makes sure that a workload had in it what it is there for.
func (r *crashRun) demandContent(t *testing.T, rep crashtest.Report) {
	t.Helper()
	m := r.ran
	t.Logf("%d steps, %d file operations; %d checked, %d gone on, %d of them with a compaction, %d with a crash; %d opened from an image; "+
		"workload: %d segments collected, %d records moved, %d values evicted, %d images, opens %v",
		m.steps, m.fs.(*memfs.FS).Ops(), r.checked.Load(), r.goneOn.Load(), r.compacted.Load(), r.crashedAgain.Load(), r.fromImage.Load(),
		m.compacted, m.moved, m.evicted, m.images, m.rungs)
	atLeast := func(what string, got, want int64) {
		if got < want {
			t.Errorf("%s: %d, want at least %d", what, got, want)
		}
	}
	atLeast("file operations", int64(m.fs.(*memfs.FS).Ops()), 200)
	atLeast("crash points", int64(rep.CrashPoints), 200/int64(r.every()))
	atLeast("states", int64(rep.Distinct), int64(rep.CrashPoints))
	atLeast("acknowledged", int64(rep.Acked), int64(len(r.list)))
	atLeast("checked", r.checked.Load(), int64(rep.Distinct))
	atLeast("gone on", r.goneOn.Load(), 1)
	atLeast("compacted after a crash", r.compacted.Load(), 1)
	atLeast("crashed after a crash", r.crashedAgain.Load(), 1)
	if r.o.Load != restart.Eager || r.o.Compression != 0 { // or it takes everything from the log
		atLeast("opened from an image", r.fromImage.Load(), 1)
	}
	atLeast("segments collected", m.compacted, 2)
	atLeast("records moved", m.moved, 1)
	atLeast("images", m.images, 1)
	for _, do := range []action{doClear, doDrop, doBatch, doDelete, doCheckpoint, doReopen} {
		atLeast(string(do), int64(count(r.list, do)), 1)
	}
	if r.o.MemoryLimit == 1<<20 {
		atLeast("evicted", m.evicted, 1)
	}
}

// check opens what a crash left, compares it, and goes on from there.
func (r *crashRun) check(fs vfs.FS, _ string, c crashtest.Crash[step]) error {
	o := r.o
	o.FS = fs
	st, err := restart.Open(dir, o)
	if err != nil {
		return err
	}
	if st.Recovery().Image != "" {
		r.fromImage.Add(1)
	}
	d, err := r.survived(st, c)
	if err != nil {
		return errors.Join(fmt.Errorf("%w\n  opened by %v", err, st.Recovery()), st.Close())
	}
	again, err := r.goOn(st, fs.(*memfs.FS), r.checked.Add(1))
	if err != nil {
		return err
	}
	o.FS = again
	if err := r.checkAgain(o, d); err != nil {
		return fmt.Errorf("after the crash, a put and a second open: %w", err)
	}
	r.goneOn.Add(1)
	return nil
}

// survived returns the digest of what is there, or why that cannot be.
func (r *crashRun) survived(st *restart.Store, c crashtest.Crash[step]) (uint64, error) {
	got, err := imageOf(st)
	if err != nil {
		return 0, err
	}
	d, sums := got.digest(), r.digestsOf(c.Issued)
	if slices.Contains(sums[c.Durable:len(c.Issued)+1], d) || c.Depth > 1 && survivedTwice(d, c) {
		return d, nil
	}
	return 0, explain(got, d, c, sums)
}

// resumed is how many steps follow a recovery before the next crash.
const resumed = 3

// survivedTwice reports whether a digest is that of a front of the steps before
// the first crash and a front of those after it. How many those were is not
// known, except that it was at most resumed.
func survivedTwice(d uint64, c crashtest.Crash[step]) bool {
	mayGo := func(from, to int) bool { return !slices.Contains(c.Status[from:to], crashtest.Durable) }
	n := len(c.Issued)
	for second := max(0, n-resumed); second < n; second++ {
		for first := second; first >= 0 && mayGo(first, second); first-- {
			for end := n; end >= second && mayGo(end, n); end-- {
				list := slices.Concat(c.Issued[:first], c.Issued[second:end])
				if digests(list)[len(list)] == d {
					return true
				}
			}
		}
	}
	return false
}

// explain describes an image that no crash may leave.
func explain(got image, d uint64, c crashtest.Crash[step], sums []uint64) error {
	for n := range sums {
		if sums[n] == d {
			return fmt.Errorf("%d steps survived of %d issued, %d durable", n, len(c.Issued), c.Durable)
		}
	}
	durable, all := newImage(), newImage()
	for i, s := range c.Issued {
		all.apply(s)
		if i < c.Durable {
			durable.apply(s)
		}
	}
	return fmt.Errorf("not the image after any number of steps: against the %d durable ones: %s; against all %d: %s",
		c.Durable, got.diff(durable), len(c.Issued), got.diff(all))
}

// after is the region of what is written after a crash.
const after = "after"

// goOn puts, durably, collects garbage in one of four cases, and closes or
// crashes once more. It returns what the next open will find.
func (r *crashRun) goOn(st *restart.Store, fs *memfs.FS, turn int64) (*memfs.FS, error) {
	err := func() error {
		region, err := st.Region(after, restart.RegionOptions{})
		if err != nil {
			return err
		}
		if _, err := region.PutWith([]byte("key"), []byte("value"), restart.WriteOptions{Durability: restart.Sync}); err != nil {
			return err
		}
		if turn%4 == 0 {
			r.compacted.Add(1)
			return st.Compact(context.Background())
		}
		return nil
	}()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("after the crash: %w", err), st.Close())
	}
	if turn%3 != 0 {
		return fs, st.Close()
	}
	r.crashedAgain.Add(1)
	fs = fs.CrashClone(memfs.Random(uint64(turn)))
	return fs, st.Close()
}

func (r *crashRun) checkAgain(o restart.Options, digest uint64) error {
	st, err := restart.Open(dir, o)
	if err != nil {
		return err
	}
	got, err := imageOf(st)
	if err != nil {
		return errors.Join(err, st.Close())
	}
	if v := got.entries[after]["key"]; v != "value" {
		err = fmt.Errorf("the durable put reads %q", v)
	}
	delete(got.entries, after)
	delete(got.opts, after)
	if d := got.digest(); err == nil && d != digest {
		err = errors.New("the entries are not those found before")
	}
	if err != nil {
		err = fmt.Errorf("%w\n  opened by %v", err, st.Recovery())
	}
	return errors.Join(err, st.Close())
}
