package wal

import (
	"errors"

	"github.com/fastrestart/frs/fsync"
)

var (
	// ErrPoisoned is matched after a write or sync failed for good. Nothing is
	// acknowledged any more; reads go on. Open the log again: recovery keeps
	// what can be proven and copies the rest of the tail to a new file.
	ErrPoisoned = fsync.ErrPoisoned

	// ErrFull means that the disk has no room for the write, or that the log's
	// address space is used up. From Prepare: nothing happened, and the log
	// resumes by itself when there is room. It wraps the file system's error.
	ErrFull = errors.New("wal: no space")

	// ErrNoFile means that the file for the next segment could not be made, for
	// another reason than want of space: a bad sector, too many open files. From
	// Prepare, Roll, Release and TruncateBack: nothing happened. The log is as
	// good as before; the file concerned holds nothing and is thrown away. What
	// was appended is synced and read as ever, and writes that fit into the files
	// there are go on. Try again when you like: the log does so with the next
	// write, and every 100 ms by itself. It wraps the file system's error.
	ErrNoFile = errors.New("wal: cannot make a segment file")

	// ErrInDoubt means that a failure came after the write had its LSN. The
	// write is visible in this log until it is closed; whether it is there after
	// the next Open is decided by what reached the disk. It wraps the cause.
	ErrInDoubt = errors.New("wal: write in doubt")

	// ErrClosed means that the log is closed.
	ErrClosed = errors.New("wal: closed")

	// ErrReadOnly means that the log was opened for reading.
	ErrReadOnly = errors.New("wal: opened read-only")

	// ErrReleased means that the position lies below First: it was released.
	ErrReleased = errors.New("wal: released")

	// ErrBeyondEnd means that the log does not reach that position.
	ErrBeyondEnd = errors.New("wal: beyond the end of the log")

	// ErrCompressed is returned by ReadPart for a frame that is stored
	// compressed: read it whole.
	ErrCompressed = errors.New("wal: frame is compressed")

	// ErrForeign means that a file belongs to another store or lineage. It is
	// intact, and it is not touched.
	ErrForeign = errors.New("wal: file of another store")

	// ErrTooLarge means that a payload is above segment.MaxPayload.
	ErrTooLarge = errors.New("wal: payload too large")
)
