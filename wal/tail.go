package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"

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
//
// It also lists what the headers of the older segments say, which never changes,
// for opens that trust it: see Options.TrustTail.
const tailName = "TAIL"

// Part of the file format: never change.
const (
	tailMagic   = "frs-tail"
	tailFixed   = 72 // before the outlines
	outlineSize = 64
	tailSumSize = 8 // behind them
)

// maxOutlines is how many older segments TAIL lists at most, the newest of them.
const maxOutlines = 1 << 16

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
	older    []outline // segments before the named one, oldest first
}

func (t *tailFile) encode() []byte {
	b := make([]byte, tailFixed, tailFixed+len(t.older)*outlineSize+tailSumSize)
	le := binary.LittleEndian
	copy(b, tailMagic)
	le.PutUint32(b[8:], segment.Version)
	le.PutUint32(b[12:], t.epoch)
	copy(b[16:], t.store[:])
	le.PutUint64(b[32:], uint64(t.base))
	le.PutUint64(b[40:], uint64(t.durable))
	le.PutUint64(b[48:], uint64(t.lowWater))
	le.PutUint64(b[56:], uint64(t.highTime))
	le.PutUint32(b[64:], uint32(len(t.older)))
	for i := range t.older {
		b = t.older[i].append(b)
	}
	return le.AppendUint64(b, xxhash.Sum64(b))
}

func (o *outline) append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, uint64(o.h.Base))
	b = le.AppendUint64(b, uint64(o.h.Cut))
	b = le.AppendUint64(b, uint64(o.h.PredBase))
	b = le.AppendUint64(b, o.h.Salt)
	b = le.AppendUint64(b, uint64(o.size))
	b = le.AppendUint32(b, o.h.Epoch)
	b = le.AppendUint32(b, o.h.PredEpoch)
	return append(b, o.h.Lineage[:]...)
}

func parseOutline(b []byte, store segment.ID) (o outline) {
	le := binary.LittleEndian
	o.h.Store = store
	o.h.Base, o.h.Cut = LSN(le.Uint64(b)), LSN(le.Uint64(b[8:]))
	o.h.PredBase, o.h.Salt = LSN(le.Uint64(b[16:])), le.Uint64(b[24:])
	o.size = int64(le.Uint64(b[32:]))
	o.h.Epoch, o.h.PredEpoch = le.Uint32(b[40:]), le.Uint32(b[44:])
	copy(o.h.Lineage[:], b[48:])
	return o
}

// check refuses an outline that is of no segment before next.
func (o *outline) check(next LSN) error {
	h := &o.h
	if h.Base == 0 || h.Base >= next || h.Cut > h.Base || h.PredBase > h.Cut || h.Epoch == 0 || h.PredEpoch > h.Epoch ||
		(h.PredBase == 0) != (h.PredEpoch == 0) || h.Cut != h.Base && h.PredBase == 0 ||
		(h.Base|h.Cut|h.PredBase)%segment.Align != 0 || o.size < segment.HeaderSize {
		return fmt.Errorf("wal: TAIL lists an impossible segment: epoch %d, base %d, cut %d, %d bytes", h.Epoch, h.Base, h.Cut, o.size)
	}
	return nil
}

// names reports whether f is the segment that must exist.
func (t *tailFile) names(f *file) bool { return t.base == f.h.Base && t.epoch == f.h.Epoch }

func parseTail(b []byte) (t tailFile, err error) {
	le := binary.LittleEndian
	if len(b) < tailFixed+tailSumSize || string(b[:8]) != tailMagic {
		return t, errors.New("wal: TAIL is not a tail file")
	}
	b, sum := b[:len(b)-tailSumSize], le.Uint64(b[len(b)-tailSumSize:])
	if sum != xxhash.Sum64(b) {
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
	n := le.Uint32(b[64:])
	if uint64(len(b)) != tailFixed+uint64(n)*outlineSize || le.Uint32(b[68:]) != 0 {
		return t, fmt.Errorf("wal: TAIL has %d bytes and lists %d segments", len(b)+tailSumSize, n)
	}
	for rest := b[tailFixed:]; len(rest) > 0; rest = rest[outlineSize:] {
		t.older = append(t.older, parseOutline(rest, t.store))
	}
	return t, t.check()
}

// check refuses positions that no writer writes: base ≤ durable, low-water mark
// ≤ durable, in the address space, aligned.
func (t *tailFile) check() error {
	if t.epoch == 0 || t.base == 0 || t.durable < t.base || t.lowWater > t.durable || t.durable >= segment.MaxLSN ||
		(t.base|t.durable|t.lowWater)%segment.Align != 0 {
		return fmt.Errorf("wal: TAIL has impossible positions: epoch %d, base %d, durable %d, low-water mark %d", t.epoch, t.base, t.durable, t.lowWater)
	}
	next := t.base
	for i := range slices.Backward(t.older) {
		if err := t.older[i].check(next); err != nil {
			return err
		}
		next = t.older[i].h.Base
	}
	return nil
}

// readTail reads TAIL. found says that there is a file of that name; t is nil
// if it is of no use, and warn says why.
func readTail(l *Log) (t *tailFile, found bool, warn, err error) {
	b, err := fsync.ReadFile(l.fs, l.path(tailName), tailFixed+maxOutlines*outlineSize+tailSumSize)
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

// tailShare is how many segments TAIL lists after a roll: as many as take a
// sixty-fourth of the new segment.
func (l *Log) tailShare() int { return int(min(l.phys.spare.size/(64*outlineSize), maxOutlines)) }

// publishTail publishes TAIL for the physical segment, with up to limit of those
// before it. Want of space costs evidence only; any other failure is final,
// because nobody knows what it says about the disk.
func (l *Log) publishTail(limit int) {
	t := tailFile{
		store: l.store, base: l.phys.h.Base, epoch: l.phys.h.Epoch,
		lowWater: l.phys.h.LowWater, highTime: l.highTime.Load(), older: l.outlines(l.phys.h.Base, limit),
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
