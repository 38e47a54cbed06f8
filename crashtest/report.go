package crashtest

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fastrestart/frs/vfs/memfs"
)

// Report counts what was tried. A test of a test: look at it once.
type Report struct {
	// Seed is the one used.
	Seed uint64
	// Runs is how often the workload was run: once, and once for each fault.
	Runs int
	// VacuousRuns is how many of them ended without any acknowledgement.
	VacuousRuns int
	// Acked is the number of acknowledged operations of all runs.
	Acked int

	// CrashPoints is the number of moments at which the machine was stopped,
	// RecoveryPoints that of the moments within a recovery from such a stop.
	CrashPoints, RecoveryPoints int
	// PossibleBits is the logarithm to base 2 of the number of states that all
	// crashes together could have left, MaxPossibleBits that at the worst
	// crash point, whose MaxPending operations were unsynced.
	PossibleBits, MaxPossibleBits float64
	MaxPending                    int
	// Chosen is the number of states looked at, Distinct that of the different
	// ones, which were checked, Vacuous that of those among them before
	// whose crash nothing had been acknowledged.
	Chosen, Distinct, Vacuous int

	// Faults is the number of injected failures, CutShort that of the schedules
	// that reached their bound before their last failure.
	Faults, CutShort int
}

// String returns the report in one line.
func (r Report) String() string {
	return fmt.Sprintf("seed %d: %d runs (%d without an ack), %d acked; %d crash points, %d in recovery; "+
		"states: 2^%.0f possible (2^%.0f at %d pending), %d chosen, %d distinct (%d before an ack); %d faults (%d schedules cut short)",
		r.Seed, r.Runs, r.VacuousRuns, r.Acked, r.CrashPoints, r.RecoveryPoints,
		r.PossibleBits, r.MaxPossibleBits, r.MaxPending, r.Chosen, r.Distinct, r.Vacuous, r.Faults, r.CutShort)
}

// Failure is the error that says what went wrong and how to see it again.
type Failure struct {
	// Seed is that of the run.
	Seed uint64
	// ID names the crash state, for Config.Only. Empty if the workload itself
	// failed.
	ID string
	// Fault describes the injected fault, if there was one.
	Fault string
	// Crash describes the crash, Ops the operations that had been issued.
	Crash string
	Ops   []string
	// Err is what Check returned, or whatever else was wrong.
	Err error

	order order
}

// Error describes the failure in full: cause, crash, operations.
func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "crashtest: %v\n", f.Err)
	switch {
	case f.Crash != "":
		b.WriteString(f.Crash + "\n")
	case f.Fault != "":
		b.WriteString("fault: " + f.Fault + "\n")
	}
	fmt.Fprintf(&b, "seed %d, %d operations issued:", f.Seed, len(f.Ops))
	for i, op := range f.Ops {
		fmt.Fprintf(&b, "\n  %d: %s", i, op)
	}
	return b.String()
}

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// order is where a failure lies; the first one is reported.
type order struct{ run, point int }

func (o order) before(p order) bool {
	return o.run < p.run || o.run == p.run && o.point < p.point
}

// tally collects the report and the first failure from all workers.
type tally struct {
	failed atomic.Bool

	mu      sync.Mutex
	report  Report
	failure *Failure
	seen    map[stateKey]order // where it was checked
}

func (t *tally) count(fn func(r *Report)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fn(&t.report)
}

// point counts a crash point.
func (t *tally) point(depth int, pending []memfs.Op, states int) {
	bits := possibleBits(pending)
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.report
	if r.CrashPoints+r.RecoveryPoints == 0 {
		r.PossibleBits = math.Inf(-1)
	}
	if depth > 1 {
		r.RecoveryPoints++
	} else {
		r.CrashPoints++
	}
	r.PossibleBits = addBits(r.PossibleBits, bits)
	r.MaxPossibleBits = max(r.MaxPossibleBits, bits)
	r.MaxPending = max(r.MaxPending, len(pending))
	r.Chosen += states
}

// first reports whether a state is to be checked at o: it was not, or only at
// a later point by a faster worker. So the first failure does not depend on
// who is faster.
func (t *tally) first(k stateKey, o order, vacuous bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.seen[k]
	if ok && !o.before(at) {
		return false
	}
	t.seen[k] = o
	if !ok {
		t.report.Distinct++
		if vacuous {
			t.report.Vacuous++
		}
	}
	return true
}

// fail keeps the earliest failure.
func (t *tally) fail(f *Failure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failure == nil || f.order.before(t.failure.order) {
		t.failure = f
	}
	t.failed.Store(true)
}

// done reports whether a failure makes everything from o on pointless.
func (t *tally) done(o order) bool {
	if !t.failed.Load() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return !o.before(t.failure.order)
}
