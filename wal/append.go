package wal

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/internal/invariant"
	"github.com/fastrestart/frs/segment"
)

// ownSize is the payload size from which a frame is built in its own buffer in
// Prepare, so that no long copy is made under the lock.
const ownSize = 256 << 10

// Prepared is a write that has everything it needs: its bytes hashed, its disk
// space reserved. It must go to Append or Cancel exactly once.
type Prepared struct {
	payload []byte  // stored bytes, borrowed or packed
	packed  *[]byte // buffer behind payload, back to the pool; nil: borrowed
	own     []byte  // the whole frame but its header; nil for small ones
	size    int64   // of the frame
	charge  int64   // reserved for it in Log.avail
	hash    uint64
	raw     uint32
	kind    segment.Kind
	codec   segment.Codec
	batched bool
	large   bool // counted in space.large
	ready   bool
}

// Size returns the bytes that the write takes in the log.
func (p *Prepared) Size() int64 { return p.size }

// Prepare does everything for a write that can wait or fail: it compresses and
// hashes the payload, waits while too much is unwritten or the batched bound is
// reached, and reserves disk space. It fails with ErrPoisoned, ErrClosed,
// ErrReadOnly, ErrTooLarge, ErrFull, or ErrNoFile; then nothing has happened.
// payload is borrowed until Append or Cancel.
//
// Do not hold a Prepared for long: its space is taken from others, and Close
// does not wait for it.
func (l *Log) Prepare(payload []byte, o WriteOptions) (p Prepared, err error) {
	if len(payload) > segment.MaxPayload {
		return p, fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, len(payload), segment.MaxPayload)
	}
	batched := o.Durability == Batched || o.Durability == Inherit && l.o.Policy.Durability == Batched
	if err = l.admit(batched && !o.System); err != nil {
		return p, err
	}
	// p is filled in place: it is large enough for a copy to count.
	p.payload, p.raw, p.kind, p.batched, p.ready = payload, uint32(len(payload)), segment.Data, batched, true
	if l.o.Compression != None {
		l.compress(&p)
	}
	p.size = segment.FrameSize(len(p.payload))
	if err = l.reserve(&p, o.System); err != nil {
		p.drop()
		return p, err
	}
	p.hash = xxhash.Sum64(p.payload)
	if len(p.payload) >= ownSize {
		p.own = make([]byte, p.size)
		copy(p.own[segment.FrameHeaderSize:], p.payload)
	}
	return p, nil
}

// admit lets a write pass, or waits, or fails. Its fast path is four atomic
// loads.
func (l *Log) admit(batched bool) error {
	for {
		if l.closed.Load() || l.o.ReadOnly || l.poison.Err() != nil {
			return l.refusal()
		}
		end := l.End()
		if batched && l.pacer.Shut() {
			// Acknowledged writes span the bound: nothing new may become
			// visible before the oldest of them are durable.
			if err := l.group.Commit(uint64(end), true); err != nil {
				return err
			}
			continue
		}
		if int64(end-l.Written()) < l.o.MaxUnwritten {
			return nil
		}
		if err := l.group.Commit(uint64(end), false); err != nil {
			return err
		}
	}
}

// refusal says why the log takes no writes.
func (l *Log) refusal() error {
	if l.o.ReadOnly {
		return ErrReadOnly
	}
	return l.Err()
}

var packPool = sync.Pool{New: func() any { return new([]byte) }}

// compress replaces the payload by its compressed form if that pays.
func (l *Log) compress(p *Prepared) {
	if len(p.payload) < segment.MinCompress || len(p.payload) > segment.MaxCompress {
		return
	}
	b := packPool.Get().(*[]byte)
	out, ok := l.codecs.Compress(l.o.Compression, (*b)[:0], p.payload)
	*b = out
	if !ok {
		packPool.Put(b)
		return
	}
	p.payload, p.packed, p.codec = out, b, l.o.Compression
}

// drop gives back the buffers.
func (p *Prepared) drop() {
	if p.packed != nil {
		packPool.Put(p.packed)
	}
	p.payload, p.packed, p.own, p.ready = nil, nil, nil, false
}

// Append gives the write its place in the log: [lsn, end). It cannot fail and
// does not wait for any I/O. The write is visible to Read at once; when it is
// durable is Wait's to say. Frames are in the log in the order of their Append
// calls.
func (l *Log) Append(p *Prepared) (lsn, end LSN) {
	invariant.Check(p.ready, "wal: a Prepared is appended or cancelled exactly once")
	l.mu.Lock()
	lsn = l.appendLocked(p)
	end = LSN(l.end.Load())
	l.mu.Unlock()
	if p.packed != nil || p.own != nil {
		p.drop()
	}
	p.ready = false
	return lsn, end
}

// Cancel gives back what Prepare reserved.
func (l *Log) Cancel(p *Prepared) {
	if !p.ready {
		return
	}
	l.unreserve(p)
	p.drop()
}

// appendLocked adds a frame. REQUIRES: l.mu, and space reserved for it: so a
// file is there for the segment that the frame goes to.
func (l *Log) appendLocked(p *Prepared) LSN {
	s, taken := l.seg, int64(0)
	if s.used >= s.usable || p.large && p.size > s.spare.room()-s.used {
		taken = max(s.usable-s.used, 0) // wasted
		invariant.Check(s.used > 0, "wal: an empty segment takes every frame that has a reservation")
		s = l.rollLocked()
	}
	at := LSN(l.end.Load())
	h := segment.FrameHeader{
		Kind: p.kind, Codec: p.codec, Stored: uint32(len(p.payload)), Raw: p.raw,
		Durable: LSN(l.durable.Load()), Hash: p.hash,
	}
	dst := l.roomLocked(p, s, at)
	s.stamp.Put(dst, at, &h)
	if p.own == nil {
		n := segment.FrameHeaderSize + copy(dst[segment.FrameHeaderSize:], p.payload)
		clear(dst[n:])
	}
	taken += min(p.size, s.usable-s.used)
	if p.charge != taken {
		l.avail.Add(p.charge - taken)
	}
	s.used += p.size
	s.frames++
	s.high = max(s.high, h.Durable)
	l.end.Store(uint64(at) + uint64(p.size))
	if p.batched && !l.armed {
		l.armed = true
		l.pacer.Arm()
	}
	if p.large {
		l.space.dropLarge()
	}
	l.count.appends++
	if p.kind == segment.Data {
		l.count.records++
	}
	l.count.payloadBytes += uint64(p.raw)
	return at
}

// roomLocked returns where the frame goes in memory.
func (l *Log) roomLocked(p *Prepared, s *pending, at LSN) []byte {
	if p.own != nil {
		l.chunks = append(l.chunks, &chunk{seg: s, base: at, buf: p.own, own: true})
		l.cur = nil
		l.loop.kick()
		return p.own
	}
	c := l.cur
	if c == nil || c.seg != s || int64(cap(c.buf)-len(c.buf)) < p.size {
		c = l.newChunkLocked(s, at, int(p.size))
	}
	n := len(c.buf)
	c.buf = c.buf[:n+int(p.size)]
	return c.buf[n:]
}

// newChunkLocked begins a chunk; the one before is full and wants writing.
func (l *Log) newChunkLocked(s *pending, at LSN, size int) *chunk {
	var c *chunk
	if n := len(l.free); n > 0 {
		c, l.free = l.free[n-1], l.free[:n-1]
		*c = chunk{seg: s, base: at, buf: c.buf[:0]}
	}
	if c == nil || cap(c.buf) < size {
		room := min(chunkSize, max(MinSegmentSize, int(min(s.usable, chunkSize))))
		c = &chunk{seg: s, base: at, buf: make([]byte, 0, max(room, size))}
	}
	if len(l.chunks) > 0 {
		l.loop.kick()
	}
	l.chunks = append(l.chunks, c)
	l.cur = c
	return c
}

// rollLocked begins the next segment. That there is a file for it is what the
// reservation of the frame that comes first in it guarantees.
func (l *Log) rollLocked() *pending {
	s := l.seg
	return l.beginLocked(segment.Header{
		Base: s.end(), Cut: s.end(), Epoch: s.h.Epoch,
		PredBase: s.h.Base, PredEpoch: s.h.Epoch,
	})
}

// beginLocked makes a new segment the one that takes frames. REQUIRES: a spare
// file.
func (l *Log) beginLocked(h segment.Header) *pending {
	sp := l.space.take()
	h.Store, h.Lineage, h.LowWater, h.Salt = l.store, l.line, l.lowWater, sp.salt
	s := &pending{h: h, stamp: segment.NewStamp(h.Salt), spare: sp, usable: sp.usable}
	l.seg = s
	l.queue = append(l.queue, s)
	l.cur = nil
	return s
}

// control prepares a frame of the log's own with an 8-byte payload.
func (l *Log) control(kind segment.Kind, value uint64) Prepared {
	b := binary.LittleEndian.AppendUint64(nil, value)
	return Prepared{
		payload: b, raw: 8, kind: kind, hash: xxhash.Sum64(b),
		size: segment.FrameSize(8), ready: true,
	}
}
