package restart

import (
	"errors"
	"fmt"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/wal"
)

// Errors of a store. Each is tested with errors.Is; the error returned says
// more (which key, region, option or file).
var (
	// ErrNotFound: the key is not in the region, or its time to live is over.
	ErrNotFound = errors.New("restart: key not found")

	// ErrClosed: the store was closed. Nothing was done.
	ErrClosed = errors.New("restart: store is closed")

	// ErrReadOnly: the store was opened read-only. Nothing was done.
	ErrReadOnly = errors.New("restart: store is read-only")

	// ErrInUse: another open of the directory, in this process or another,
	// excludes this one. The error says who holds it where that is known.
	ErrInUse = errors.New("restart: store is in use")

	// ErrNoStore: the directory holds no store, and none may be created.
	ErrNoStore = errors.New("restart: no store in this directory")

	// ErrNoRegion: no region of that name.
	ErrNoRegion = errors.New("restart: no such region")

	// ErrDropped: the region was dropped after this handle was obtained.
	ErrDropped = errors.New("restart: region was dropped")

	// ErrConflict: an option contradicts what is stored or what another
	// handle asked for. The error names both values.
	ErrConflict = errors.New("restart: conflicting options")

	// ErrInvalid: an argument or option is outside its limits. Every problem
	// found is named.
	ErrInvalid = errors.New("restart: invalid argument")

	// ErrUnsupported: the store or the options ask for something that this
	// version does not have. The data is not damaged.
	ErrUnsupported = errors.New("restart: not supported by this version")

	// ErrMemoryFull: the memory limit leaves no room even after every value
	// that may leave memory has left it: keys stay in memory. Nothing was
	// written.
	ErrMemoryFull = errors.New("restart: memory limit reached")

	// ErrInDoubt: the operation got its place in the log, and then the log
	// failed. It is visible until the store is reopened; recovery decides
	// whether it survives.
	ErrInDoubt = wal.ErrInDoubt

	// ErrPoisoned: a sync or write of the log failed earlier. Reads go on;
	// every write fails with the first cause until the store is reopened.
	ErrPoisoned = fsync.ErrPoisoned

	// ErrFull: the disk has no room for the record. Nothing was written, and
	// writes work again once there is room.
	ErrFull = wal.ErrFull

	// ErrNoFile: a file for the log could not be made, for another reason than
	// want of space. Nothing was written, and writes work again once it can.
	ErrNoFile = wal.ErrNoFile

	// ErrCorrupt: stored bytes are not what was written. errors.As with a
	// *segment.CorruptionError gives file, offset and LSN.
	ErrCorrupt = segment.ErrCorrupt
)

func invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
