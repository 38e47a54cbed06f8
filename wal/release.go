package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fastrestart/frs/segment"
)

// Release says that nothing below lowWater is needed any more, and removes the
// segments wholly below it. REQUIRES: whatever supersedes what is below is
// durable.
//
// The order:
//
//	1 append a low-water record, sync   crash before: nothing happened
//	2 unlink, oldest first              crash between: any of them may be back or
//	                                    gone; Open expects none and removes the rest
//	3 sync the directory                not for safety: so that the space is free
//
// A mark at or below the present one removes what an earlier call could not.
func (l *Log) Release(ctx context.Context, lowWater LSN) error {
	if err := l.mayRelease(lowWater); err != nil {
		return err
	}
	select {
	case <-l.releasing:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { l.releasing <- struct{}{} }()
	// Once more: while we waited, a truncation may have cut the position off.
	if err := l.mayRelease(lowWater); err != nil {
		return err
	}
	if err := l.raiseLowWater(ctx, lowWater); err != nil {
		return err
	}
	return l.removeReleased()
}

func (l *Log) mayRelease(lowWater LSN) error {
	if l.o.ReadOnly || l.Err() != nil {
		return l.refusal()
	}
	if lowWater%segment.Align != 0 || lowWater > l.Durable() {
		return fmt.Errorf("wal: release to LSN %d: not a durable position, the log is durable to %d", lowWater, l.Durable())
	}
	return nil
}

// raiseLowWater makes the new mark durable.
func (l *Log) raiseLowWater(ctx context.Context, lowWater LSN) error {
	l.mu.Lock()
	old := l.lowWater
	l.mu.Unlock()
	if lowWater <= old {
		// An earlier call may have failed before its record was durable.
		return l.Sync()
	}
	p := l.control(segment.LowWater, uint64(lowWater))
	if err := l.admit(false); err != nil {
		return err
	}
	if err := l.reserve(&p, true); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		l.Cancel(&p)
		return err
	}
	l.mu.Lock()
	l.appendLocked(&p)
	// From here on every segment that is begun carries the mark in its header:
	// the record is in an older segment then, which recovery does not read.
	end := LSN(l.end.Load())
	l.lowWater, l.lowRecord = lowWater, end
	l.mu.Unlock()
	return l.commit(end, true)
}

// removeReleased removes the segments below the low-water mark. A file that
// cannot be removed goes out of the list all the same; the next Open removes
// it.
func (l *Log) removeReleased() error {
	l.mu.Lock()
	low := l.lowWater
	gone, rest := (*l.files.Load()).below(low)
	rest = slices.Clone(rest)
	l.files.Store(&rest)
	l.first.Store(uint64(max(low, rest[0].h.Base)))
	l.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	var errs []error
	var infos []SegmentInfo
	for _, e := range gone {
		infos = append(infos, e.info())
		if err := l.unlink(e.file); err != nil {
			errs = append(errs, fmt.Errorf("wal: release: %w", err))
		}
	}
	errs = append(errs, l.removeTorn(low))
	if err := l.fs.SyncDir(l.dir); err != nil {
		errs = append(errs, fmt.Errorf("wal: release: sync directory: %w", err))
	}
	l.o.Events.segmentsReleased(infos)
	return errors.Join(errs...)
}

// removeTorn removes what was cut off at positions that are released.
func (l *Log) removeTorn(low LSN) error {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return fmt.Errorf("wal: release: %w", err)
	}
	var errs []error
	for _, s := range names {
		if _, cut, ok := segment.ParseTornName(s); ok && cut < low {
			errs = append(errs, l.fs.Remove(l.path(s)))
		}
	}
	return errors.Join(errs...)
}
