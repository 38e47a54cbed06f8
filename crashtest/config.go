package crashtest

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/fastrestart/frs/vfs"
)

// Promise is what a system says when it acknowledges an operation.
type Promise uint8

const (
	// DurableSelf promises that the operation survives a power failure.
	DurableSelf Promise = iota
	// DurableNothing promises that the operation is visible, no more: a write
	// of a store that syncs in the background.
	DurableNothing
	// DurableAll promises that the operation and every one that had been
	// acknowledged when it was issued survive: a call of Sync.
	DurableAll
)

// Config describes a workload, the system that it runs on, and how much to
// try. Ops, Open, Apply, Close and Check are required; the zero value of
// everything else is a sensible default. It is never changed.
//
// S is the system, Op the user's type of operation: a string to append, a key
// and a value, a struct with a kind. It should print well with %+v.
type Config[S, Op any] struct {
	// Ops is the workload.
	Ops []Op

	// Open opens or creates the system in a directory, which exists. It runs
	// recovery. An error means that nothing is open.
	Open func(fs vfs.FS, dir string) (S, error)

	// Apply does one operation and returns nil once it is acknowledged. An
	// error means that it may or may not have happened; without an injected
	// fault it fails the run, so expected errors (a key that is not there) are
	// for Apply to swallow. Called concurrently if Clients is above 1.
	Apply func(s S, op Op) error

	// Close ends the system and everything it runs in the background. Without
	// an injected fault it must return nil and leave no file open.
	Close func(s S) error

	// Check opens what a crash has left, usually by Open, compares it with
	// what the crash says had been issued and acknowledged, closes it and
	// returns an error if anything is wrong. It may change the file system,
	// which is its own. It is called concurrently, so it must not share state
	// between calls; it must not end its goroutine (testing.T.FailNow).
	Check func(fs vfs.FS, dir string, c Crash[Op]) error

	// Promise says what the acknowledgement of an operation promises. Nil:
	// [DurableSelf] for all.
	Promise func(op Op) Promise

	// Show returns what the system holds, as its users see it, in any form that
	// is equal for equal contents. If it is set, then what a recovery has shown
	// must be shown again by the recovery from the next crash, as long as no
	// operation was issued in between. A system that makes the remains of a
	// crash durable only when asked to must do so in Show.
	Show func(s S) (string, error)

	// Setup prepares the directory before the first crash point. What it does
	// not sync may be lost as everything else.
	Setup func(fs vfs.FS, dir string) error

	// Dir is the directory. Empty: "/db". It exists and is durable.
	Dir string

	// Clients is how many goroutines take operations off the list, each the
	// next one in the list's order. 0: 1.
	Clients int

	// Seed determines everything that is random. 0: 1.
	Seed uint64

	// Random is the number of random states for each crash point. 0: 8;
	// negative: none.
	Random int

	// MaxStates bounds the crash states of one crash point. If the rules give
	// more, that many are drawn from them; nothing and everything always stay.
	// 0: 200.
	MaxStates int

	// Every makes only each n-th file operation a crash point. 0: 1.
	Every int

	// Recovery is the number of crash states, in 1000, that live on: they are
	// opened, go on with the next Resume operations of the list, and are
	// closed, and at each file operation of that the machine crashes again. The
	// same number of crash points live on as after the death of the process
	// alone, unsynced operations and all. 0: 100; negative: none.
	Recovery int

	// Resume is the number of operations that follow a recovery, and of those
	// kept for the time after a fault and the reopening. 0: none. Apply must
	// then be able to go on with a system that has been opened anew, whether
	// or not the operation that was in doubt has happened.
	Resume int

	// Workers is the number of goroutines that check crash states. 0:
	// runtime.GOMAXPROCS(0). At most 2 x Workers + 1 crash points are kept in
	// memory; the workload waits for the checks.
	Workers int

	// Faults are the failures to inject, each schedule in runs of its own. Nil:
	// none. See [AllFaults].
	Faults []Schedule

	// Only, if not empty, checks only the state of that [Failure.ID].
	Only string

	// Shrink is the number of runs that [Run] may spend on shrinking a failing
	// list of operations. 0: 200; negative: none.
	Shrink int
}

// withDefaults returns c with zero values replaced.
func (c Config[S, Op]) withDefaults() Config[S, Op] {
	fill := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
		*v = max(*v, 0)
	}
	fill(&c.Clients, 1)
	fill(&c.Random, 8)
	fill(&c.MaxStates, 200)
	fill(&c.Every, 1)
	fill(&c.Recovery, 100)
	fill(&c.Shrink, 200)
	fill(&c.Workers, runtime.GOMAXPROCS(0))
	if c.Seed == 0 {
		c.Seed = 1
	}
	if c.Dir == "" {
		c.Dir = "/db"
	}
	if c.Promise == nil {
		c.Promise = func(Op) Promise { return DurableSelf }
	}
	return c
}

// validate names everything that is wrong with c.
func (c *Config[S, Op]) validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, fmt.Errorf("crashtest: Config.%s", what))
		}
	}
	need(c.Open != nil, "Open is nil")
	need(c.Apply != nil, "Apply is nil")
	need(c.Close != nil, "Close is nil")
	need(c.Check != nil, "Check is nil")
	need(c.Clients >= 0, "Clients is negative")
	need(c.MaxStates >= 0, "MaxStates is negative")
	need(c.Every >= 0, "Every is negative")
	need(c.Resume >= 0, "Resume is negative")
	need(c.Workers >= 0, "Workers is negative")
	need(c.Recovery <= 1000, "Recovery is above 1000")
	for i, s := range c.Faults {
		need(s.Name != "" && !strings.ContainsAny(s.Name, "/#"), fmt.Sprintf("Faults[%d].Name is empty or has a / or #", i))
		need(s.Max >= 0 && s.Space >= 0, fmt.Sprintf("Faults[%d] has a negative number", i))
	}
	return errors.Join(errs...)
}
