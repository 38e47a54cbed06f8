package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/segment"
)

// tailName is the small file that says which segment is the newest and how far
// the log was durable when it was published: at creation, after each roll, at
// Close. It is evidence only. It makes a newest file that is missing, or cut
// after a clean Close, known damage; when TAIL itself is missing or damaged,
// nothing but that is lost. Since it is published after the segment's name is
// durable, what it says holds in every later state of the directory.
//
// What it says is durable in the newest segment is not read again at open, so
// that an open after a clean Close costs the same at any size.
const tailName = "TAIL"

// Part of the file format: never change.
const (
	tailMagic = "frs-tail"
	tailSize  = 72
	tailSum   = tailSize - 8
)

// tailFile is the content of TAIL.
type tailFile struct {
	store   segment.ID
	base    LSN
	epoch   uint32
	durable LSN
	// What the frames below durable say, so that an open can read on from
	// there: the low-water mark and the highest store time.
	lowWater LSN
	highTime int64
}

func (t *tailFile) encode() []byte {
	b := make([]byte, tailSize)
	le := binary.LittleEndian
	copy(b, tailMagic)
	le.PutUint32(b[8:], segment.Version)
	le.PutUint32(b[12:], t.epoch)
	copy(b[16:], t.store[:])
	le.PutUint64(b[32:], uint64(t.base))
	le.PutUint64(b[40:], uint64(t.durable))
	le.PutUint64(b[48:], uint64(t.lowWater))
	le.PutUint64(b[56:], uint64(t.highTime))
	le.PutUint64(b[tailSum:], xxhash.Sum64(b[:tailSum]))
	return b
}

// names reports whether f is the segment that must exist.
func (t *tailFile) names(f *file) bool { return t.base == f.h.Base && t.epoch == f.h.Epoch }

func parseTail(b []byte) (t tailFile, err error) {
	le := binary.LittleEndian
	if len(b) != tailSize || string(b[:8]) != tailMagic {
		return t, errors.New("wal: TAIL is not a tail file")
	}
	if le.Uint64(b[tailSum:]) != xxhash.Sum64(b[:tailSum]) {
		return t, errors.New("wal: TAIL checksum mismatch")
	}
	if v := le.Uint32(b[8:]); v != segment.Version {
		return t, &segment.VersionError{Version: v}
	}
	t.epoch = le.Uint32(b[12:])
	copy(t.store[:], b[16:])
	t.base = LSN(le.Uint64(b[32:]))
	t.durable = LSN(le.Uint64(b[40:]))
	t.lowWater, t.highTime = LSN(le.Uint64(b[48:])), int64(le.Uint64(b[56:]))
	return t, t.check()
}

// check refuses positions that no writer writes: base ≤ durable, low-water mark
// ≤ durable, in the address space, aligned.
func (t *tailFile) check() error {
	if t.epoch == 0 || t.base == 0 || t.durable < t.base || t.lowWater > t.durable || t.durable >= segment.MaxLSN ||
		(t.base|t.durable|t.lowWater)%segment.Align != 0 {
		return fmt.Errorf("wal: TAIL has impossible positions: epoch %d, base %d, durable %d, low-water mark %d", t.epoch, t.base, t.durable, t.lowWater)
	}
	return nil
}

// readTail reads TAIL. found says that there is a file of that name; t is nil
// if it is of no use, and warn says why.
func readTail(l *Log) (t *tailFile, found bool, warn, err error) {
	b, err := fsync.ReadFile(l.fs, l.path(tailName), tailSize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil, nil
	case errors.Is(err, fsync.ErrTooLarge):
		return nil, true, err, nil
	case err != nil:
		return nil, true, nil, err
	}
	v, err := parseTail(b)
	if errors.Is(err, segment.ErrVersion) {
		return nil, true, nil, fmt.Errorf("%s: %w", l.path(tailName), err)
	}
	if err != nil {
		return nil, true, err, nil
	}
	return &v, true, nil, nil
}

// publishTail publishes TAIL for the physical segment. Want of space costs
// evidence only; any other failure is final, because nobody knows what it says
// about the disk.
func (l *Log) publishTail() {
	t := tailFile{
		store: l.store, base: l.phys.h.Base, epoch: l.phys.h.Epoch,
		lowWater: l.phys.h.LowWater, highTime: l.highTime.Load(),
	}
	l.mu.Lock()
	if t.durable = l.Durable(); t.durable >= l.lowRecord {
		t.lowWater = l.lowWater // its record is durable, too
	}
	l.mu.Unlock()
	l.writeTail(t)
}

func (l *Log) writeTail(t tailFile) {
	err := fsync.PublishFile(l.fs, l.dir, tailName, t.encode())
	switch {
	case err == nil:
	case noSpace(err):
		l.o.Events.warning(fmt.Errorf("wal: TAIL not published: %w", err))
	default:
		_ = l.die(fmt.Errorf("wal: TAIL: %w", err)) // callers look at the poison
	}
}
