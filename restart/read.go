package restart

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/offheap"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/wal"
)

// Get returns a copy of the value under key, or ErrNotFound.
func (r *Region) Get(key []byte) ([]byte, error) { return r.AppendGet(nil, key) }

// AppendGet appends the value under key to dst and returns the result; with
// room in dst it allocates nothing. On an error dst is returned as it was. The
// value may be newer than what is durable.
func (r *Region) AppendGet(dst, key []byte) ([]byte, error) {
	value, err := r.get(dst, key)
	if !r.st.wasRead.Load() && (err == nil || errors.Is(err, ErrNotFound)) {
		r.st.firstRead()
	}
	return value, err
}

func (r *Region) get(dst, key []byte) ([]byte, error) {
	h := index.HashKey(key)
	sh, err := r.rlock(h)
	if err != nil {
		return dst, err
	}
	c, ok := r.lookup(sh, h, key)
	if !ok {
		sh.mu.RUnlock()
		sh.misses.Add(1)
		return dst, ErrNotFound
	}
	if c.Resident() {
		dst = append(dst, c.Value()...)
		c.Touch()
		sh.mu.RUnlock()
		sh.hits.Add(1)
		return dst, nil
	}
	at := positionOf(c)
	sh.mu.RUnlock()
	sh.hits.Add(1)
	return r.faultIn(dst, key, h, at)
}

// Has says whether key is in the region. It never reads a
// value from disk.
func (r *Region) Has(key []byte) (bool, error) {
	h := index.HashKey(key)
	sh, err := r.rlock(h)
	if err != nil {
		return false, err
	}
	defer sh.mu.RUnlock()
	_, ok := r.lookup(sh, h, key)
	return ok, nil
}

// lookup finds the entry of key; one whose time is over is absent.
// REQUIRES: sh.mu is held, shared or exclusive.
func (r *Region) lookup(sh *shard, h uint64, key []byte) (index.Cell, bool) {
	ref, ok := sh.hash.Find(h, key)
	if !ok {
		return index.Cell{}, false
	}
	c := r.cell(ref)
	if c.Has(index.FlagExpiry) && c.Expiry() <= r.st.now() {
		return index.Cell{}, false
	}
	return c, true
}

// position of an entry's record in the log.
type position struct {
	lsn      LSN
	op       uint32 // which operation of a batch
	inBatch  bool
	valueLen int
}

func positionOf(c index.Cell) position {
	op, inBatch := c.Op()
	return position{lsn: LSN(c.LSN()), op: op, inBatch: inBatch, valueLen: c.ValueLen()}
}

// faultIn reads a value that is not in memory, appends it to dst, and puts it
// back into memory where there is room. The record may be moved or released
// between the look and the read: then it looks again.
func (r *Region) faultIn(dst, key []byte, h uint64, at position) ([]byte, error) {
	sh := &r.shards[shardOf(h)]
	for {
		value, err := r.st.readValue(r.id, key, at)
		if err == nil {
			r.st.metrics.faultIns.Add(1)
			r.install(h, key, value, at)
			return append(dst, value...), nil
		}
		if !errors.Is(err, wal.ErrReleased) {
			return dst, err
		}
		sh.mu.RLock()
		if err := r.usable(); err != nil {
			sh.mu.RUnlock()
			return dst, err
		}
		c, ok := r.lookup(sh, h, key)
		if !ok {
			sh.mu.RUnlock()
			return dst, ErrNotFound
		}
		if c.Resident() {
			dst = append(dst, c.Value()...)
			sh.mu.RUnlock()
			return dst, nil
		}
		next := positionOf(c)
		sh.mu.RUnlock()
		if next == at {
			return dst, leftBehind(r.id, key, at)
		}
		at = next
	}
}

// leftBehind says that an entry's record was released and the entry not moved,
// which never happens while the index is right.
func leftBehind(region uint32, key []byte, at position) error {
	return &segment.CorruptionError{LSN: at.lsn, Offset: -1,
		Reason: fmt.Sprintf("key %q of region %d is expected here, before the start of the log", key, region)}
}

// install puts a value that was read at a position back into memory, unless
// the entry changed meanwhile or memory has no room.
func (r *Region) install(h uint64, key, value []byte, at position) {
	if r.st.tryRoom((&index.CellSpec{Key: key, Value: value, Expiry: 1, InBatch: true}).Size()) {
		r.fill(h, key, value, at)
	}
}

// fill puts a value that was read at a position into its entry's cell, unless
// the entry changed since or the value is there.
func (r *Region) fill(h uint64, key, value []byte, at position) {
	sh, err := r.lock(h)
	if err != nil {
		return
	}
	defer sh.mu.Unlock()
	old, ok := sh.hash.Find(h, key)
	if !ok {
		return
	}
	c := r.cell(old)
	if c.Resident() || positionOf(c) != at {
		return
	}
	spec := specOf(c)
	spec.Value, spec.NoValue = value, false
	r.swapCell(sh, h, old, spec)
}

// specOf returns the content of a cell, its key and value borrowed from it.
func specOf(c index.Cell) index.CellSpec {
	at := positionOf(c)
	return index.CellSpec{
		Key: c.Key(), Value: c.Value(), LSN: uint64(at.lsn), Expiry: c.Expiry(),
		Op: at.op, InBatch: at.inBatch, NoValue: !c.Resident(), ValueLen: at.valueLen, ValueHash: c.ValueHash(),
		Flags: c.Flags(),
	}
}

// swapCell gives an entry another cell with the same content, but for whether
// the value is in memory. It does nothing when memory cannot be had.
// REQUIRES: sh.mu is held.
func (r *Region) swapCell(sh *shard, h uint64, old offheap.Ref, spec index.CellSpec) bool {
	ref, err := index.NewCell(r.arena, spec)
	if err != nil {
		return false
	}
	if was := r.cell(old).Resident(); was && spec.NoValue {
		sh.absent++
	} else if !was && !spec.NoValue {
		sh.absent--
	}
	sh.hash.Replace(h, old, ref)
	r.order.replace(r, old, ref)
	return true
}

// readValue reads the value of key from its record in the log and checks that
// the record is the one that the index meant.
func (st *Store) readValue(region uint32, key []byte, at position) ([]byte, error) {
	var o op.Op
	var err error
	if at.inBatch {
		o, err = st.readBatched(key, at)
	} else {
		var payload []byte
		if payload, err = st.log.Read(at.lsn, nil); err == nil {
			o, err = op.Decode(payload)
		}
	}
	if err != nil {
		return nil, st.readError(at.lsn, err)
	}
	if o.Kind != op.KindPut || o.Region != region || !bytes.Equal(o.Key, key) || len(o.Value) != at.valueLen {
		return nil, &segment.CorruptionError{LSN: at.lsn, Offset: -1,
			Reason: fmt.Sprintf("the index of region %d expects a value of %d bytes under key %q here", region, at.valueLen, key)}
	}
	return o.Value, nil
}

// readBatched reads one operation of a batch. When that fails the whole frame
// is read, which says where the damage is, or was only compressed.
func (st *Store) readBatched(key []byte, at position) (op.Op, error) {
	o, err := st.readOperation(key, at)
	if err == nil || errors.Is(err, wal.ErrReleased) {
		return o, err
	}
	payload, err := st.log.Read(at.lsn, nil)
	if err != nil {
		return op.Op{}, err
	}
	b, err := op.Decode(payload)
	if err != nil {
		return op.Op{}, err
	}
	if int64(at.op) >= int64(b.Batch.Len()) {
		return op.Op{}, &segment.CorruptionError{LSN: at.lsn, Offset: -1,
			Reason: fmt.Sprintf("batch of %d has no operation %d", b.Batch.Len(), at.op)}
	}
	return b.Batch.At(int(at.op))
}

// readOperation reads one operation of a batch without reading the others. The
// table that says where it is is not verified by that: so its length is
// compared with what the index expects before anything is allocated, and its
// content with its own checksum.
func (st *Store) readOperation(key []byte, at position) (op.Op, error) {
	var row [op.EntrySize]byte
	if err := st.log.ReadPart(at.lsn, op.EntryOffset(at.op), row[:]); err != nil {
		return op.Op{}, err
	}
	e, err := op.ReadEntry(row[:])
	if err != nil {
		return op.Op{}, err
	}
	const overhead = 64 // more than the fields of a put beside key and value
	if e.Length > len(key)+at.valueLen+overhead {
		return op.Op{}, fmt.Errorf("operation %d claims %d bytes", at.op, e.Length)
	}
	buf := make([]byte, e.Length)
	if err := st.log.ReadPart(at.lsn, int64(e.Offset), buf); err != nil {
		return op.Op{}, err
	}
	return op.DecodeAt(e, at.op, buf)
}

// readError says where an unreadable value is.
func (st *Store) readError(lsn LSN, err error) error {
	if decode := (*op.DecodeError)(nil); errors.As(err, &decode) {
		if errors.Is(err, op.ErrUnsupported) {
			return fmt.Errorf("%w: LSN %d: %w", ErrUnsupported, lsn, err)
		}
		return &segment.CorruptionError{LSN: lsn, Offset: -1, Reason: err.Error()}
	}
	return st.logError(err)
}
