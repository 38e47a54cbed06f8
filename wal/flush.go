package wal

import (
	"fmt"
	"slices"
	"time"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/segment"
)

// span is a run of frames that a flush writes.
type span struct {
	c *chunk
	b []byte // c.buf[c.written:] when captured
}

// work is what a flush covers, decided under the lock at its beginning.
type work struct {
	end  LSN
	last *pending       // the segment that takes frames
	seal segment.Footer // for last, if it ends here
}

// flush writes, and syncs if asked, everything appended until now. It is called
// by the leader of the group only, so everything it touches beyond Log.mu has
// one owner at a time.
func (l *Log) flush(r fsync.Request) error {
	if err := l.poison.Err(); err != nil {
		return err
	}
	if l.covered(r) {
		return nil
	}
	if l.lead.closed {
		return ErrClosed
	}
	w := l.capture(r.Sync)
	err := l.writeOut(w)
	if err == nil && r.Sync {
		err = l.syncOut(w)
	}
	if r.Sync {
		l.pacer.End(err == nil)
	}
	l.noteFull(err)
	l.loop.flushed(r.Sync && err == nil)
	l.progress.broadcast()
	return err
}

// covered reports whether all that a request needs is done already.
func (l *Log) covered(r fsync.Request) bool {
	if l.lead.force {
		return false
	}
	if r.Sync {
		return LSN(r.Target) <= l.Durable()
	}
	return LSN(r.Target) <= l.Written()
}

// capture decides what the flush covers. Writes that are armed from here on
// belong to the next sync.
func (l *Log) capture(sync bool) work {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spans = l.spans[:0]
	for _, c := range l.chunks {
		if c.written < len(c.buf) {
			l.spans = append(l.spans, span{c, c.buf[c.written:len(c.buf):len(c.buf)]})
		}
	}
	if sync {
		l.armed = false
		l.pacer.Begin()
	}
	return work{end: LSN(l.end.Load()), last: l.seg, seal: l.seg.footerLocked()}
}

// writeOut brings the captured frames to their files, rolling where a segment
// ends.
func (l *Log) writeOut(w work) error {
	for _, sp := range l.spans {
		if err := l.advance(sp.c.seg); err != nil {
			return err
		}
		if err := l.writeSpan(sp); err != nil {
			return err
		}
	}
	if l.phys == nil && !l.lead.force && !w.last.old.waiting() {
		return nil // a segment that Open began gets its file with its first frame
	}
	return l.advance(w.last)
}

// writeSpan writes one run of frames to the physical segment.
func (l *Log) writeSpan(sp span) error {
	at := sp.c.base + LSN(sp.c.written)
	n, err := l.phys.spare.f.WriteAt(sp.b, l.phys.h.Offset(at))
	if err == nil && n != len(sp.b) {
		err = fmt.Errorf("wal: short write of %d bytes, want %d", n, len(sp.b))
	}
	if err != nil {
		return l.failed("write", err)
	}
	_, _ = l.phys.hash.Write(sp.b) // never fails
	if f := l.phys.file; l.phys.h.Offset(at)+int64(len(sp.b)) > f.size.Load() {
		f.size.Store(l.phys.h.Offset(at) + int64(len(sp.b))) // in slack that was added later
	}
	l.lead.writes.Add(1)
	l.lead.bytes.Add(uint64(len(sp.b)))
	l.mu.Lock()
	defer l.mu.Unlock()
	sp.c.written += len(sp.b)
	l.written.Store(uint64(at) + uint64(len(sp.b)))
	l.dropWrittenLocked()
	return nil
}

// dropWrittenLocked forgets chunks that are in the file and take no more.
func (l *Log) dropWrittenLocked() {
	n := 0
	for n < len(l.chunks) {
		c := l.chunks[n]
		if c.written < len(c.buf) || c == l.cur {
			break
		}
		if !c.own && len(l.free) < maxFree && cap(c.buf) <= chunkSize {
			l.free = append(l.free, c)
		}
		n++
	}
	l.chunks = slices.Delete(l.chunks, 0, n)
}

// maxFree is how many empty chunks are kept.
const maxFree = 16

// syncOut makes everything captured durable.
func (l *Log) syncOut(w work) error {
	if l.phys == nil || w.end <= l.Durable() {
		return nil
	}
	if err := l.syncPhys(); err != nil {
		return err
	}
	l.setDurable(w.end)
	return nil
}

// syncPhys syncs the file of the physical segment. A failure is final: the
// kernel may have dropped the bytes and a second try would return nil.
func (l *Log) syncPhys() error {
	start := time.Now()
	if err := l.phys.spare.f.SyncData(); err != nil {
		return l.die(fmt.Errorf("wal: sync %s: %w", l.phys.file.name, err))
	}
	l.lead.syncs.Add(1)
	l.lead.syncTime.Add(int64(time.Since(start)))
	l.loop.lastSync.Store(int64(l.loop.clock()))
	l.phys.syncs++
	return nil
}

func (l *Log) setDurable(end LSN) {
	if end > l.Durable() {
		l.durable.Store(uint64(end))
	}
}

// failed decides what an error other than a sync's means: want of space passes,
// everything else is final.
func (l *Log) failed(what string, err error) error {
	err = fmt.Errorf("wal: %s: %w", what, err)
	if noSpace(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return l.die(err)
}

// noteFull sends events when flushing begins or ceases to fail for want of
// space.
func (l *Log) noteFull(err error) {
	full := noSpace(err) && l.poison.Err() == nil
	if was := l.lead.full.Swap(full); was != full {
		if full {
			l.o.Events.full(err)
		} else if err == nil {
			l.o.Events.resumed()
		}
	}
}

// advance makes s the physical segment: it seals the one before and gives s its
// file, one segment after the other.
func (l *Log) advance(s *pending) error {
	for l.phys != s {
		if l.phys != nil && !l.phys.sealed {
			if err := l.seal(l.phys); err != nil {
				return err
			}
		}
		next := l.following()
		if err := l.publish(next); err != nil {
			return err
		}
		l.mu.Lock()
		if l.phys != nil {
			l.queue = slices.Delete(l.queue, 0, 1)
		}
		l.mu.Unlock()
		l.phys = next
		l.newestSealed.Store(false)
		l.publishTail(l.tailShare())
		if err := l.poison.Err(); err != nil {
			return err
		}
	}
	return nil
}

// following returns the segment that gets its file next.
func (l *Log) following() *pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phys == nil {
		return l.queue[0]
	}
	return l.queue[1]
}

// Wait returns when the write that ends at end may be acknowledged with the
// given durability: Sync when it is durable, Batched at once unless the batched
// bound is reached, Never at once. A failure is ErrInDoubt wrapping the cause.
func (l *Log) Wait(end LSN, d Durability) error {
	switch l.o.Policy.Resolve(d) {
	case Sync:
		if end <= l.Durable() {
			return nil
		}
		return l.doubt(l.commit(end, true))
	case Batched:
		if l.pacer.Shut() && end > l.Durable() {
			return l.doubt(l.commit(end, true))
		}
	}
	if l.poison.Err() != nil && end > l.Durable() {
		return l.doubt(l.poison.Err())
	}
	return nil
}

func (l *Log) doubt(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrInDoubt, err)
}

// commit joins the group.
func (l *Log) commit(end LSN, sync bool) error {
	if end > l.End() {
		return ErrBeyondEnd
	}
	if l.closed.Load() || l.o.ReadOnly {
		return l.refusal()
	}
	return l.group.Commit(uint64(end), sync)
}

// Sync makes everything appended until now durable.
func (l *Log) Sync() error {
	if l.o.ReadOnly {
		return nil
	}
	end := l.End()
	if err := l.poison.Err(); err != nil || end <= l.Durable() {
		return err
	}
	return l.commit(end, true)
}
