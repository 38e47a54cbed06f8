package wal

import (
	"context"
	"errors"
	"fmt"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/segment"
)

// TruncateBack takes all frames at or above t out of the log, for good: t is a
// frame boundary, not below First. REQUIRES: nobody appends, or waits for an
// append, meanwhile.
//
// The old files are not edited. A new segment with the next epoch and base t
// cuts them; it is the rename of that one file that truncates:
//
//	crash before its name is durable: the log is as before, or truncated
//	crash afterwards: truncated; files that lie wholly above t are leftovers
//
// After an error that is not ErrPoisoned or ErrInDoubt nothing has happened.
func (l *Log) TruncateBack(t LSN) error {
	if l.o.ReadOnly || l.Err() != nil {
		return l.refusal()
	}
	<-l.releasing
	defer func() { l.releasing <- struct{}{} }()
	// Everything written and the newest segment in its file, so that what is
	// cut is in files only.
	if err := l.force(); err != nil {
		return err
	}
	if err := l.checkBoundary(t); err != nil {
		return err
	}
	err := l.group.Exclusive(func() error { return l.cut(t) })
	l.progress.broadcast()
	return err
}

// maxCutTries bounds how often cut writes what was appended meanwhile. The log
// itself may append a mark; more is somebody who should not.
const maxCutTries = 10

// cut does it. The caller leads the group.
func (l *Log) cut(t LSN) error {
	for range maxCutTries {
		switched := false
		if err := l.claimSpare(func() bool { switched = l.cutLocked(t); return switched }); err != nil {
			return err
		}
		if switched {
			return l.doubt(l.advance(l.seg))
		}
		if err := l.flush(fsync.Request{Target: l.end.Load(), Sync: true}); err != nil {
			return err
		}
	}
	return errors.New("wal: truncate: frames are being appended")
}

// checkBoundary returns nil if a frame starts, or the log ends, at t.
func (l *Log) checkBoundary(t LSN) error {
	if t < l.First() {
		return fmt.Errorf("wal: truncate to LSN %d: %w, the log begins at %d", t, ErrReleased, l.First())
	}
	if t > l.End() {
		return fmt.Errorf("wal: truncate to LSN %d: %w, which is %d", t, ErrBeyondEnd, l.End())
	}
	if t == l.End() || t == l.First() {
		return nil
	}
	if err := l.WaitWritten(context.Background(), l.End()); err != nil {
		return err
	}
	e, limit, err := l.locate(t)
	if err != nil {
		return err
	}
	defer e.file.release() // read-only use: nothing can be lost
	var r segment.Reader
	if _, err := r.ReadHeader(e.f, &e.h, t, limit); err != nil {
		return fmt.Errorf("wal: truncate to LSN %d, which is no frame boundary: %w", t, l.readError(e, t, err))
	}
	return nil
}

// cutLocked begins the segment that ends all others at t, and sets the
// positions back. It declines while frames are unwritten. REQUIRES: l.mu, the
// leadership of the group, a spare file claimed.
func (l *Log) cutLocked(t LSN) bool {
	if l.written.Load() != l.end.Load() || l.seg != l.phys {
		return false
	}
	h := segment.Header{Base: t, Cut: t, Epoch: l.seg.h.Epoch + 1}
	h.PredBase, h.PredEpoch = l.predecessor(t)
	l.phys.cut = t
	l.chunks, l.cur = nil, nil
	l.beginLocked(h)
	l.lowRecord = 0 // perhaps cut off; the new header has the mark
	l.end.Store(uint64(t))
	l.written.Store(uint64(t))
	l.durable.Store(min(l.durable.Load(), uint64(t)))
	return true
}
