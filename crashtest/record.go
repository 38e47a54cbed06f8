package crashtest

import (
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/fastrestart/frs/vfs/memfs"
)

// journal keeps what was issued and acknowledged. The harness's own, outside
// the file system under test.
type journal[Op any] struct {
	promise  func(Op) Promise
	onAnswer func(i int) // nil: nothing

	mu     sync.Mutex
	ops    []Op
	end    int // operations from here on are for a later life
	clock  int
	told   int // answers
	status []Status
	spans  []span
}

// issue takes the next operation, -1 at the end.
func (j *journal[Op]) issue() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := len(j.status)
	if i >= j.end {
		return -1
	}
	j.clock++
	j.status = append(j.status, InDoubt)
	j.spans = append(j.spans, span{issued: j.clock})
	return i
}

// answer records what Apply returned.
func (j *journal[Op]) answer(i int, err error) {
	j.note(i, err)
	if j.onAnswer != nil {
		j.onAnswer(i)
	}
}

func (j *journal[Op]) note(i int, err error) {
	promise := DurableNothing
	if err == nil {
		promise = j.promise(j.ops[i])
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.clock++
	j.told++
	j.spans[i].acked = j.clock
	switch {
	case err != nil:
		j.status[i] = Failed
	case promise == DurableNothing:
		j.status[i] = Acked
	default:
		j.status[i] = Durable
	}
	if promise == DurableAll {
		for k, st := range j.status {
			if st == Acked && j.spans[k].acked < j.spans[i].issued {
				j.status[k] = Durable
			}
		}
	}
}

// capture returns what is known at the moment of clone. What was acknowledged
// is read before, what was issued after it: so everything acknowledged is in
// the clone, and everything in the clone was issued, whoever runs meanwhile.
// The rest of the result is c's.
func (j *journal[Op]) capture(c Crash[Op], clone func()) Crash[Op] {
	j.mu.Lock()
	c.Status = slices.Clone(j.status)
	c.spans = slices.Clone(j.spans)
	j.mu.Unlock()
	clone()
	j.mu.Lock()
	n := len(j.status)
	c.spans = append(c.spans, j.spans[len(c.spans):]...)
	j.mu.Unlock()
	for len(c.Status) < n {
		c.Status = append(c.Status, InDoubt)
	}
	c.Issued = j.ops[:n:n]
	c.count()
	return c
}

// reopen begins another life in which n operations may be issued. Those of the
// last one lie before everything that follows; what was not promised to be
// durable may be lost, whether it was acknowledged or not.
func (j *journal[Op]) reopen(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, sp := range j.spans {
		j.clock = max(j.clock, sp.issued, sp.acked)
	}
	j.clock++
	for i := range j.spans {
		if j.spans[i].acked == 0 {
			j.spans[i].acked = j.clock
		}
		if j.status[i] == Acked {
			j.status[i] = InDoubt
		}
	}
	j.end = min(len(j.status)+n, len(j.ops))
}

// issued returns how many operations were.
func (j *journal[Op]) issued() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.status)
}

// point is a moment at which the machine may stop.
type point[Op any] struct {
	n     int
	id    string
	order int       // number of the outermost crash point
	fs    *memfs.FS // as it was then, unsynced operations included
	crash Crash[Op]
}

// recorder makes a crash point of each file operation and each acknowledgement.
type recorder[Op any] struct {
	fs     *memfs.FS
	j      *journal[Op]
	every  int
	prefix string // of the points' names
	order  int
	about  Crash[Op] // what all points have in common
	sink   func(point[Op])

	mu       sync.Mutex // serializes crash points, so that their numbers are in order
	stopped  bool
	seen, n  int
	ops      uint64 // of the file system at the last point
	answered int    // and of the journal
}

func (r *recorder[Op]) start() {
	r.take("the start", true)
	r.fs.OnOp(func(op memfs.Op) { r.take(op.String(), false) })
	// An acknowledgement that came too early may be under way.
	r.fs.OnSync(func(op memfs.Op) error {
		for range yields {
			runtime.Gosched()
		}
		r.take(fmt.Sprintf("the beginning of %v %s", op.Kind, op.Name), false)
		return nil
	})
	r.j.onAnswer = func(i int) { r.take(fmt.Sprintf("the answer to operation %d", i), false) }
}

// yields is how often whoever was just answered gets a chance to say so.
const yields = 4

func (r *recorder[Op]) take(after string, always bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ops, answered := r.fs.Ops(), r.j.answers()
	if r.stopped || !always && ops == r.ops && answered == r.answered {
		return
	}
	r.ops, r.answered = ops, answered
	r.seen++
	if !always && r.seen%r.every != 0 {
		return
	}
	p := point[Op]{n: r.n, order: r.order, id: fmt.Sprintf("%s%d", r.prefix, r.n)}
	r.n++
	p.crash = r.j.capture(r.about, func() { p.fs = r.fs.KillClone() })
	p.crash.After = after
	r.sink(p)
}

// change runs fn while no crash point is taken.
func (r *recorder[Op]) change(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn()
}

// stop takes a last crash point and ends the recording.
func (r *recorder[Op]) stop() {
	r.take("the end", true)
	r.fs.OnOp(nil)
	r.fs.OnSync(nil)
	r.change(func() { r.stopped = true })
}

// answers returns how many operations were answered.
func (j *journal[Op]) answers() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.told
}
