package wal

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/fastrestart/frs/segment"
)

// markAfter is how long after a sync a mark frame is written if nothing else
// followed.
const markAfter = 10 * time.Millisecond

// background is the goroutine that writes full chunks, syncs when the pacer
// says so, copies a recovered tail and writes marks.
type background struct {
	wake     chan struct{}
	quit     chan struct{}
	done     sync.WaitGroup
	start    time.Time
	lastSync atomic.Int64 // clock of the last sync
	marking  atomic.Bool  // a sync wants a mark
	markEnd  atomic.Uint64
}

func (b *background) init() {
	b.wake = make(chan struct{}, 1)
	b.quit = make(chan struct{})
	b.start = time.Now()
}

// clock is monotonic.
func (b *background) clock() time.Duration { return time.Since(b.start) }

func (b *background) kick() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// flushed is told of every flush.
func (b *background) flushed(synced bool) {
	if synced && b.marking.CompareAndSwap(false, true) {
		b.kick()
	}
}

func (b *background) stop() {
	close(b.quit)
	b.done.Wait()
}

// run is the goroutine.
func (l *Log) run() {
	defer l.loop.done.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.loop.quit:
			return
		case <-l.loop.wake:
		case <-timer.C:
		}
		timer.Reset(l.duties())
	}
}

// idle is how long run sleeps when nothing is known to become due.
const idle = time.Hour

// duties does what is due and returns when something will be next.
func (l *Log) duties() time.Duration {
	if l.closed.Load() || l.poison.Err() != nil {
		return idle
	}
	var err error
	next := idle
	if l.unpublished() {
		err = l.force()
	}
	if err == nil && l.fullChunks() {
		err = l.group.Commit(l.end.Load(), false)
	}
	if due, ok := l.pacer.Due(l.group.SyncTime()); err == nil && ok {
		if due > 0 {
			next = due
		} else {
			err = l.group.Commit(l.end.Load(), true)
		}
	}
	if err != nil {
		return retryAfter // full, or poisoned
	}
	return min(next, l.mark())
}

// unpublished reports whether what Open recovered still waits for its file.
func (l *Log) unpublished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.queue[0]
	return s.old.waiting() && !s.old.done.Load()
}

// fullChunks reports whether a chunk that takes no more waits to be written.
func (l *Log) fullChunks() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.chunks) > 1 || len(l.chunks) == 1 && l.chunks[0] != l.cur
}

// mark writes a mark frame if the last sync is old enough and nothing followed,
// and returns how long until one may be due. Without a mark the last synced
// group could not be told from a torn one.
func (l *Log) mark() time.Duration {
	if !l.loop.marking.Load() {
		return idle
	}
	if wait := markAfter - (l.loop.clock() - time.Duration(l.loop.lastSync.Load())); wait > 0 {
		return wait
	}
	l.loop.marking.Store(false)
	if l.appendMark() {
		_ = l.group.Commit(l.end.Load(), false) // a mark that is not written costs evidence, not data
	}
	return idle
}

// appendMark appends a mark unless something that carries one follows the last
// sync already.
func (l *Log) appendMark() bool {
	p := l.control(segment.Mark, uint64(l.now()))
	p.charge = p.size
	if _, ok := l.take(p.charge, 0); !ok {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if end := l.end.Load(); end != l.durable.Load() || end == l.loop.markEnd.Load() {
		l.avail.Add(p.charge)
		return false
	}
	l.appendLocked(&p)
	l.loop.markEnd.Store(l.end.Load())
	return true
}

// finish is Close's part for a log that can be written: everything durable, a
// mark that says so, the newest segment sealed. Afterwards nobody flushes: what
// is appended by a Prepared that Close did not wait for must not end up behind
// the footer.
func (l *Log) finish() error {
	err := l.poison.Err()
	if err == nil && (l.End() > l.Durable() || l.unpublished()) {
		err = l.force()
	}
	if err == nil {
		l.appendMark()
	}
	return l.group.Exclusive(func() error {
		l.lead.closed = true
		if err != nil || l.phys == nil { // nil: nothing was written since Open
			return err
		}
		return l.sealNewest()
	})
}

// sealNewest ends the newest segment at Close. If we crash before the truncation,
// TAIL says how far the log was durable; after it the size does.
func (l *Log) sealNewest() error {
	if err := l.poison.Err(); err != nil {
		return err
	}
	w := l.capture(false) // what is appended from here on is not part of the log
	if err := l.writeOut(w); err != nil {
		return err
	}
	s := l.phys
	if err := l.writeFooter(s, w.seal); err != nil {
		return err
	}
	if err := l.syncPhys(); err != nil {
		return err
	}
	l.setDurable(w.end)
	l.newestSealed.Store(true)
	l.publishTail(maxOutlines)
	if err := l.poison.Err(); err != nil {
		return err
	}
	return l.trim(s)
}
