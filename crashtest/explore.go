package crashtest

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/fastrestart/frs/vfs/memfs"
)

// stateKey says when two crash states need only one check: the files are the
// same and so is what was issued, acknowledged and shown.
type stateKey struct{ files, known uint64 }

var keySeed = maphash.MakeSeed()

// known hashes what is known about a crash.
func known[Op any](c *Crash[Op]) uint64 {
	b := make([]byte, len(c.Status), len(c.Status)+len(c.Shown)+1)
	for i, st := range c.Status {
		b[i] = byte(st)
	}
	if c.shown == len(c.Status) {
		b = append(append(b, 0xff), c.Shown...)
	}
	return maphash.Bytes(keySeed, b)
}

// explorer checks the crash states of one run of the workload.
type explorer[S, Op any] struct {
	c     *Config[S, Op]
	t     *tally
	run   int
	fault string // "" without
}

// Depth 2 and runs with a fault are many, so each of their crash points gets
// few states.
const (
	fewRandom = 2
	fewStates = 16
)

// explore checks the states of a crash point.
func (e *explorer[S, Op]) explore(p point[Op]) {
	pending := p.fs.Pending()
	random, limit := e.c.Random, e.c.MaxStates
	if p.crash.Depth > 1 || e.fault != "" {
		random, limit = min(random, fewRandom), min(limit, fewStates)
	}
	states := chooseStates(pending, random, limit, mix(e.c.Seed+uint64(p.n)))
	e.t.point(p.crash.Depth, pending, len(states))
	what := known(&p.crash)
	for k, s := range states {
		if e.t.done(order{e.run, p.order}) {
			return
		}
		c := p.crash
		c.ID = fmt.Sprintf("%s/%d", p.id, k)
		if !e.leads(c.ID) {
			continue
		}
		fs := p.fs.CrashClone(s.crash())
		key := stateKey{files: fs.Fingerprint(), known: what}
		if !e.t.first(key, order{e.run, p.order}, c.Acked == 0) && e.c.Only == "" {
			continue
		}
		c.Kept = s.describe(pending)
		e.check(fs, c, p.order, e.livesOn(key.files, c))
	}
	if p.crash.Depth == 1 && len(pending) > 0 {
		e.kill(p, pending, what)
	}
}

// kill checks what the death of the process alone leaves.
func (e *explorer[S, Op]) kill(p point[Op], pending []memfs.Op, what uint64) {
	c := p.crash
	c.ID = p.id + "/kill"
	again := e.livesOn(uint64(p.n), c)
	if !e.leads(c.ID) || e.t.done(order{e.run, p.order}) {
		return
	}
	first := e.t.first(stateKey{files: p.fs.Fingerprint(), known: what}, order{e.run, p.order}, c.Acked == 0)
	if !first && !again && e.c.Only == "" {
		return
	}
	for _, op := range pending {
		c.Kept = append(c.Kept, fmt.Sprintf("%v: unsynced; the process died, the machine did not", op))
	}
	e.check(p.fs, c, p.order, again)
}

// livesOn draws the states that crash again in what follows their recovery.
func (e *explorer[S, Op]) livesOn(salt uint64, c Crash[Op]) bool {
	if e.c.Only != "" {
		return strings.HasPrefix(e.c.Only, c.ID+"/")
	}
	return c.Depth == 1 && int(mix(salt^e.c.Seed)%1000) < e.c.Recovery
}

// leads reports whether a state, or one below it, is wanted.
func (e *explorer[S, Op]) leads(id string) bool {
	only := e.c.Only
	return only == "" || only == id || strings.HasPrefix(only, id+"/")
}

// leadsTo reports whether a state of the point is wanted.
func (e *explorer[S, Op]) leadsTo(point string) bool {
	return e.c.Only == "" || strings.HasPrefix(e.c.Only, point+"/")
}

// check has the user check a state, and has it live on if again is set.
func (e *explorer[S, Op]) check(fs *memfs.FS, c Crash[Op], at int, again bool) {
	twins := [2]*memfs.FS{}
	if again {
		twins[0] = fs.KillClone()
	}
	if c.shown == len(c.Issued) {
		twins[1] = fs.KillClone()
	}
	err := e.verdict(fs, c)
	if err == nil && twins[1] != nil {
		err = e.showAgain(twins[1], c)
	}
	if err == nil && again {
		err = e.liveOn(twins[0], c, at)
	}
	if err != nil {
		e.t.fail(e.failure(c, err, at))
	}
}

// verdict is what the user's Check says, and whether it left files open.
func (e *explorer[S, Op]) verdict(fs *memfs.FS, c Crash[Op]) error {
	if err := guard(func() error { return e.c.Check(fs, e.c.Dir, c) }); err != nil {
		return err
	}
	return leaks("Check", fs.OpenFiles())
}

// showAgain compares what recovery shows with what the one before had shown.
func (e *explorer[S, Op]) showAgain(fs *memfs.FS, c Crash[Op]) error {
	var shown string
	l := life[S, Op]{c: e.c, fs: fs, j: &journal[Op]{}}
	l.opened = func(s S) (err error) { shown, err = e.c.Show(s); return err }
	if err := l.run().err(); err != nil {
		return fmt.Errorf("recovery from a crash in recovery: %w", err)
	}
	if shown != c.Shown {
		return fmt.Errorf("one recovery showed %s, the next one shows %s", brief(c.Shown), brief(shown))
	}
	return nil
}

// liveOn recovers, goes on with the workload, closes, and crashes at each file
// operation of that. Whatever was promised before the first crash holds after
// the second.
func (e *explorer[S, Op]) liveOn(fs *memfs.FS, c Crash[Op], at int) error {
	j := &journal[Op]{ops: e.c.Ops, promise: e.c.Promise, status: slices.Clone(c.Status), spans: slices.Clone(c.spans)}
	j.reopen(e.c.Resume)
	r := &recorder[Op]{fs: fs, j: j, every: 1, order: at, prefix: c.ID + "/"}
	r.about = Crash[Op]{Depth: c.Depth + 1, Before: c.String(), Fault: c.Fault, shown: -1}
	r.sink = func(p point[Op]) {
		if e.leadsTo(p.id) {
			e.explore(p)
		}
	}
	l := life[S, Op]{c: e.c, fs: fs, j: j}
	if e.c.Show != nil {
		l.opened = func(s S) error {
			shown, err := e.c.Show(s)
			r.change(func() { r.about.Shown, r.about.shown = shown, j.issued() })
			return err
		}
	}
	r.start()
	o := l.run()
	r.stop()
	if o.open != nil && o.panicked() == nil {
		return nil // Check has seen the same
	}
	if err := o.err(); err != nil {
		return fmt.Errorf("after the recovery: %w", err)
	}
	return leaks("Close", fs.OpenFiles())
}

// failure describes what went wrong.
func (e *explorer[S, Op]) failure(c Crash[Op], err error, at int) *Failure {
	f := &Failure{Seed: e.c.Seed, ID: c.ID, Fault: c.Fault, Crash: c.String(), Err: err, order: order{e.run, at}}
	for i, op := range c.Issued {
		f.Ops = append(f.Ops, fmt.Sprintf("%s (%v)", brief(op), c.Status[i]))
	}
	return f
}
