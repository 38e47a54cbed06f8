package crashtest

import (
	"errors"
	"fmt"
	"hash/maphash"
	"runtime/debug"
	"strings"

	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// stateKey says when two crash states need only one check: the files are the
// same and so is what was issued and acknowledged.
type stateKey struct {
	files, status uint64
}

var statusSeed = maphash.MakeSeed()

// explorer checks the crash states of one run of the workload.
type explorer[S, Op any] struct {
	c     *Config[S, Op]
	t     *tally
	run   int
	fault string
}

// explore checks the states of a crash point.
func (e *explorer[S, Op]) explore(p point[Op], depth int) {
	pending := p.fs.Pending()
	random, limit := e.c.Random, e.c.MaxStates
	if depth > 1 {
		random, limit = min(random, 2), min(limit, 16)
	}
	states := chooseStates(pending, random, limit, mix(e.c.Seed+uint64(p.n)))
	e.t.count(func(r *Report) {
		if depth > 1 {
			r.RecoveryPoints++
		} else {
			r.CrashPoints++
		}
		bits := possibleBits(pending)
		if r.CrashPoints+r.RecoveryPoints == 1 {
			r.PossibleBits = bits
		} else {
			r.PossibleBits = addBits(r.PossibleBits, bits)
		}
		r.MaxPossibleBits = max(r.MaxPossibleBits, bits)
		r.MaxPending = max(r.MaxPending, len(pending))
		r.Chosen += len(states)
	})
	status := statusHash(&p.crash)
	for k, s := range states {
		if e.t.done(order{e.run, p.order}) {
			return
		}
		c := p.crash
		c.ID = fmt.Sprintf("%s/%d", p.id, k)
		c.Depth, c.Fault = depth, e.fault
		if !e.leads(c.ID) {
			continue
		}
		fs := p.fs.CrashClone(s.crash())
		key := stateKey{files: fs.Fingerprint(), status: status}
		if !e.t.first(key) && e.c.Only == "" {
			continue
		}
		c.Kept = s.describe(pending)
		e.check(fs, c, p.order, key)
	}
}

// leads reports whether a state or one below it is wanted.
func (e *explorer[S, Op]) leads(id string) bool {
	only := e.c.Only
	return only == "" || only == id || strings.HasPrefix(only, id+"/")
}

// leadsTo reports whether a state of the point is wanted.
func (e *explorer[S, Op]) leadsTo(point string) bool {
	return e.c.Only == "" || strings.HasPrefix(e.c.Only, point+"/")
}

// check has the user check a state, and crashes again in its recovery if the
// state is among those drawn for it.
func (e *explorer[S, Op]) check(fs *memfs.FS, c Crash[Op], at int, key stateKey) {
	again := c.Depth == 1 && (int(mix(key.files^e.c.Seed)%1000) < e.c.Recovery || e.c.Only != "" && e.c.Only != c.ID)
	var twin *memfs.FS
	if again {
		twin = fs.KillClone()
	}
	e.t.count(func(r *Report) {
		r.Distinct++
		if c.Acked == 0 {
			r.Vacuous++
		}
	})
	if err := e.verdict(fs, c); err != nil {
		e.t.fail(e.failure(c, err, at))
		return
	}
	if again {
		e.recoverAgain(twin, c, at)
	}
}

// verdict is what the user's Check says, and whether it left files open.
func (e *explorer[S, Op]) verdict(fs *memfs.FS, c Crash[Op]) error {
	err := guard(func() error { return e.c.Check(fs, e.c.Dir, c) })
	if open := fs.OpenFiles(); err == nil && len(open) > 0 {
		err = fmt.Errorf("left open by Check: %s", strings.Join(open, ", "))
	}
	return err
}

// recoverAgain crashes at each file operation of a recovery. Whatever was
// promised before the first crash holds after the second.
func (e *explorer[S, Op]) recoverAgain(fs *memfs.FS, c Crash[Op], at int) {
	r := &recorder[Op]{fs: fs, every: 1, order: at, prefix: c.ID + "/"}
	r.crash = func(clone func()) Crash[Op] { clone(); return c }
	r.sink = func(p point[Op]) { e.explore(p, c.Depth+1) }
	r.start()
	guard(func() error { // Check has said what there is to say about errors
		s, err := e.c.Open(fs, e.c.Dir)
		if err != nil {
			return err
		}
		return e.c.Close(s)
	})
	r.stop()
}

func (e *explorer[S, Op]) failure(c Crash[Op], err error, at int) *Failure {
	f := &Failure{Seed: e.c.Seed, ID: c.ID, Crash: c.String(), Err: err, order: order{e.run, at}}
	for i, op := range c.Issued {
		f.Ops = append(f.Ops, fmt.Sprintf("%s (%v)", brief(op), c.Status[i]))
	}
	return f
}

// work runs the workload once. Errors of Apply are in the journal.
func (c *Config[S, Op]) work(fs vfs.FS, j *journal[Op]) error {
	var s S
	err := guard(func() (err error) {
		s, err = c.Open(fs, c.Dir)
		return err
	})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	errs := make(chan error, c.Clients)
	for range c.Clients {
		go func() { errs <- c.client(s, j) }()
	}
	for range c.Clients {
		err = errors.Join(err, <-errs)
	}
	if cerr := guard(func() error { return c.Close(s) }); cerr != nil {
		err = errors.Join(err, fmt.Errorf("close: %w", cerr))
	}
	return err
}

// client issues operations until none is left. It returns the first error.
func (c *Config[S, Op]) client(s S, j *journal[Op]) (first error) {
	for i := j.issue(); i >= 0; i = j.issue() {
		err := guard(func() error { return c.Apply(s, j.ops[i]) })
		j.answer(i, err)
		if err != nil && first == nil {
			first = fmt.Errorf("operation %d (%s): %w", i, brief(j.ops[i]), err)
		}
	}
	return first
}

// guard turns a panic of fn into an error.
func guard(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: string(debug.Stack())}
		}
	}()
	return fn()
}

// PanicError is what a panic of the system under test or its checker becomes.
type PanicError struct {
	Value any
	Stack string
}

// Error includes the stack.
func (p *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", p.Value, p.Stack) }

func statusHash[Op any](c *Crash[Op]) uint64 {
	b := make([]byte, len(c.Status))
	for i, st := range c.Status {
		b[i] = byte(st)
	}
	return maphash.Bytes(statusSeed, b)
}

// brief prints an operation, its middle left out if it is long.
func brief(op any) string {
	const limit = 160
	s := fmt.Sprintf("%+v", op)
	if len(s) > limit {
		s = fmt.Sprintf("%s...(%d bytes)...%s", s[:limit/2], len(s)-limit, s[len(s)-limit/2:])
	}
	return s
}
