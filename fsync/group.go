package fsync

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Request is what a leader asks for on behalf of its batch.
type Request struct {
	Target  uint64 // highest position any member needs
	Sync    bool   // some member needs it durable, not only written
	Writers int    // members
}

// Group is a leader/follower group commit. Callers of [Group.Commit] form
// batches; the first of a batch is its leader, waits for the batch before to
// finish and then calls the flush function once for all members. So one flush
// is in flight at any time, and whoever arrives meanwhile shares the next one.
//
// Leadership is a state, handed on by a token; no lock is held while flushing.
//
// Reunion wait: in a closed loop the first member of a finished batch comes
// straight back and would flush alone while the others are still on their way,
// which halves the throughput. So a leader yields until as many writers as last
// time have joined, or an eighth of the mean sync time has passed. A lone
// writer remembers one and never waits.
type Group struct {
	flush func(Request) error
	token chan struct{} // holds one value while nobody leads

	mu       sync.Mutex
	open     *batch // takes members; nil: the next caller leads a new one
	expected int    // writers to wait for

	meanSync atomic.Int64 // ns, moving average of flushes that synced
}

type batch struct {
	req    Request
	done   chan struct{} // closed when err is set
	err    error
	failed bool // by the failure of the batch before
}

// maxYields bounds the reunion wait where time stands still or is coarse.
const maxYields = 20000

// NewGroup returns a Group that flushes with the given function. flush is
// called by one goroutine at a time and must not call back into the Group.
func NewGroup(flush func(Request) error) *Group {
	g := &Group{flush: flush, token: make(chan struct{}, 1)}
	g.token <- struct{}{}
	return g
}

// Commit returns when a flush that began after the call has ended, with that
// flush's error. A failed flush fails every member of its batch and everybody
// who joined while it was failing.
func (g *Group) Commit(target uint64, sync bool) error {
	g.mu.Lock()
	b := g.open
	leader := b == nil
	if leader {
		b = &batch{done: make(chan struct{})}
		g.open = b
	}
	b.req.Target = max(b.req.Target, target)
	b.req.Sync = b.req.Sync || sync
	b.req.Writers++
	g.mu.Unlock()
	if !leader {
		<-b.done
		return b.err
	}
	<-g.token
	g.lead(b)
	close(b.done)
	g.token <- struct{}{}
	return b.err
}

// lead flushes for a batch. The caller holds the token.
func (g *Group) lead(b *batch) {
	if g.reunion(b); b.failed {
		return
	}
	start := time.Now()
	b.err = g.flush(b.req)
	if b.req.Sync && b.err == nil {
		g.note(time.Since(start))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expected = b.req.Writers
	if next := g.open; next != nil {
		g.expected += next.req.Writers
		if b.err != nil {
			next.err, next.failed = b.err, true
			g.open = nil
		}
	}
}

// reunion closes the batch's membership, after waiting for those who are
// expected back.
func (g *Group) reunion(b *batch) {
	limit := time.Duration(g.meanSync.Load() / 8)
	var start time.Time
	for i := 0; ; i++ {
		g.mu.Lock()
		if b.failed || !b.req.Sync || b.req.Writers >= g.expected || i >= maxYields ||
			i > 0 && time.Since(start) >= limit {
			if !b.failed {
				g.open = nil
			}
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		if i == 0 {
			start = time.Now()
		}
		runtime.Gosched()
	}
}

// note takes a sync's duration into the moving average.
func (g *Group) note(d time.Duration) {
	if old := g.meanSync.Load(); old != 0 {
		d = time.Duration(old) + (d-time.Duration(old))/8
	}
	g.meanSync.Store(int64(d))
}

// SyncTime returns the moving average of the time a sync takes, 0 before the
// first.
func (g *Group) SyncTime() time.Duration { return time.Duration(g.meanSync.Load()) }

// Exclusive runs f while no flush is in flight. Commit calls meanwhile wait. f
// must not call back into the Group. The error of f fails nobody else.
func (g *Group) Exclusive(f func() error) error {
	<-g.token
	err := f()
	g.token <- struct{}{}
	return err
}
