package wal

import "context"

// WaitDurable waits until the log is durable to lsn. It does not ask for a sync
// at once, but for one within Policy.MaxDelay. Positions that nothing was
// appended at yet are waited for.
func (l *Log) WaitDurable(ctx context.Context, lsn LSN) error {
	for {
		changed := l.progress.wait()
		if lsn <= l.Durable() {
			return nil
		}
		if err := l.Err(); err != nil {
			return err
		}
		if l.o.ReadOnly {
			return ErrReadOnly
		}
		l.arm(lsn)
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// arm makes sure that a sync is due if lsn is in the log.
func (l *Log) arm(lsn LSN) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if uint64(lsn) <= l.end.Load() && !l.armed {
		l.armed = true
		l.pacer.Arm()
	}
}

// WaitWritten returns when the log is handed to the file system up to lsn. It
// forces a write, not a sync.
func (l *Log) WaitWritten(ctx context.Context, lsn LSN) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if lsn <= l.Written() {
		return nil
	}
	if err := l.poison.Err(); err != nil {
		return err
	}
	return l.commit(lsn, false)
}
