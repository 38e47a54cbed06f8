package crashtest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/fastrestart/frs/vfs/memfs"
)

// journal keeps what was issued and acknowledged. The harness's own, outside
// the file system under test.
type journal[Op any] struct {
	promise func(Op) Promise

	mu     sync.Mutex
	ops    []Op
	end    int // operations from here on are for a later life
	clock  int
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
	promise := DurableNothing
	if err == nil {
		promise = j.promise(j.ops[i])
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.clock++
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

// reopen begins another life in which n operations may be issued. What was in
// doubt in the last one stays so, and lies before everything that follows.
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

// recorder makes a crash point of each file operation.
type recorder[Op any] struct {
	fs     *memfs.FS
	every  int
	prefix string // of the points' names
	order  int
	sink   func(point[Op])
	crash  func(clone func()) Crash[Op]

	mu      sync.Mutex // serializes crash points, so that their numbers are in order
	stopped bool
	seen, n int
}

func (r *recorder[Op]) start() {
	r.take("the start", true)
	r.fs.OnOp(func(op memfs.Op) { r.take(op.String(), false) })
}

func (r *recorder[Op]) take(after string, always bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen++
	if r.stopped || !always && r.seen%r.every != 0 {
		return
	}
	p := point[Op]{n: r.n, order: r.order, id: fmt.Sprintf("%s%d", r.prefix, r.n)}
	r.n++
	p.crash = r.crash(func() { p.fs = r.fs.KillClone() })
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
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
}
