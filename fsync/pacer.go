package fsync

import (
	"sync"
	"sync/atomic"
	"time"
)

// Pacer keeps the time of batched writes: when the next sync is due, and when
// writers must wait because acknowledged writes that are not durable span the
// hard bound. It uses the monotonic clock. It may be used concurrently.
//
//	oldest un-durable write                      due                    gate shuts
//	      |--------- at most MaxDelay/2 ----------|                         |
//	      |------------ MaxDelay − 2 x sync time --|                        |
//	      |------------------- HardBound less a margin ---------------------|
type Pacer struct {
	policy Policy
	wake   func() // a sync is due at another time than before; must not block
	change func() // the gate opened or shut; must not block

	mu      sync.Mutex
	armed   time.Time   // oldest write not covered by a running sync; zero: none
	running time.Time   // oldest write covered by the running sync; zero: none
	timer   *time.Timer // shuts the gate
	stopped bool

	shut atomic.Bool // changed under mu
}

// NewPacer returns a Pacer. wake is called when a sync becomes due at a time
// that was not known before; gate when the gate may have opened or shut. Both
// may be called from a timer, and under the caller's locks; they must not block.
func NewPacer(p Policy, wake, gate func()) *Pacer {
	return &Pacer{policy: p.WithDefaults(), wake: wake, change: gate}
}

// Arm says that a write which may be acknowledged before it is durable has
// entered the log. REQUIRES: the caller holds the lock under which a sync
// decides what it covers and calls Begin.
func (p *Pacer) Arm() {
	p.mu.Lock()
	if !p.armed.IsZero() || p.stopped {
		p.mu.Unlock()
		return
	}
	p.armed = time.Now()
	p.schedule()
	p.mu.Unlock()
	p.wake()
}

// Begin says that a sync begins which covers everything armed until now.
func (p *Pacer) Begin() {
	p.mu.Lock()
	if p.running.IsZero() {
		p.running = p.armed
	}
	p.armed = time.Time{}
	p.mu.Unlock()
}

// End says that the sync has ended. After a failure what it covered counts as
// not durable still.
func (p *Pacer) End(ok bool) {
	p.mu.Lock()
	if !ok && !p.running.IsZero() {
		p.armed = p.running
	}
	p.running = time.Time{}
	was := p.shut.Load()
	p.schedule()
	opened := was && !p.shut.Load()
	p.mu.Unlock()
	if opened {
		p.change()
	}
}

// Due returns how long until the next sync should begin, given the recent sync
// time, and whether one is needed at all.
func (p *Pacer) Due(syncTime time.Duration) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed.IsZero() {
		return 0, false
	}
	wait := min(p.policy.MaxDelay/2, p.policy.MaxDelay-2*syncTime)
	return max(wait-time.Since(p.armed), 0), true
}

// Shut reports whether batched writers must wait.
func (p *Pacer) Shut() bool { return p.shut.Load() }

// Stop ends the timer; nothing is armed afterwards.
func (p *Pacer) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.armed, p.running = time.Time{}, time.Time{}
	p.schedule()
}

// margin is how much before the bound the gate shuts: a timer may be late, and
// between looking at the gate and acknowledging some time passes.
func (p *Pacer) margin() time.Duration { return p.policy.HardBound / 16 }

// schedule sets the gate and its timer by the oldest write that is not durable.
func (p *Pacer) schedule() {
	oldest := p.running
	if oldest.IsZero() {
		oldest = p.armed
	}
	if oldest.IsZero() {
		p.shut.Store(false)
		if p.timer != nil {
			p.timer.Stop()
		}
		return
	}
	left := p.policy.HardBound - p.margin() - time.Since(oldest)
	p.shut.Store(left <= 0)
	if left <= 0 {
		return
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(left, p.expire)
	} else {
		p.timer.Reset(left)
	}
}

// expire shuts the gate if the oldest write is still the one the timer was set
// for, and sets the timer again otherwise.
func (p *Pacer) expire() {
	p.mu.Lock()
	was := p.shut.Load()
	p.schedule()
	changed := was != p.shut.Load()
	p.mu.Unlock()
	if changed {
		p.change()
	}
}
