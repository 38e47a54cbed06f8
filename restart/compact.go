package restart

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/wal"
)

// The compactor cleans the front of the log: what is live in the oldest
// segment is appended anew at the tail, then the segment is released. Space is
// only ever given back from the front, so a deletion outlives in the log every
// record it hides.
//
// Crash windows: before the moved records are durable the segment is still
// there, and a record found twice counts once, by position. After that the
// low-water record (package wal) is durable before the unlink.

// compactor runs in the background and on demand, one cycle at a time.
type compactor struct {
	cycle sync.Mutex // held through a cycle
	tries backoff    // of the background alone
}

const (
	// A log of fewer bytes is left alone.
	compactMinLog = 8 << 20
	// Size of log by live bytes that starts a cycle. Front cleaning under
	// uniform overwrites holds log/live = s at a write amplification A with
	// s = -A ln(1-1/A): 1.65 at 1.5.
	sizeBasedRatio        = 1.65
	performanceBasedRatio = 3.0
	// Records moved between two looks at the throttle.
	compactStride = 256 << 10
)

// compactInBackground cleans segments while the policy says so. A failure is
// reported by an event, and tried again after a pause.
func (st *Store) compactInBackground(ctx context.Context) {
	st.tuneSegments()
	tries := &st.compact.tries
	for ctx.Err() == nil && st.shouldCompact() && tries.due() {
		tries.tried(st.compactFront(ctx, st.dueSegments(), st.throttle()))
	}
}

// liveBytes is what the store's entries would occupy in a log without garbage.
func (st *Store) liveBytes() (n int64) {
	for _, r := range st.catalog.all() {
		for i := range r.shards {
			sh := &r.shards[i]
			sh.mu.RLock()
			n += sh.live
			sh.mu.RUnlock()
		}
	}
	return n
}

func (st *Store) logBytes() int64 { return int64(st.log.End() - st.log.First()) }

// expansion is how many bytes of records a byte of log holds: above 1 only
// with compression.
func (st *Store) expansion() float64 {
	m := st.log.Metrics()
	if st.opts.Compression == CompressNone || m.LogBytes == 0 {
		return 1
	}
	return max(1, float64(m.PayloadBytes+m.Appends*segment.FrameHeaderSize)/float64(m.LogBytes))
}

// ratio is the size of the log by live bytes that the policy allows.
func (st *Store) ratio() float64 {
	if st.opts.Compaction == PerformanceBased {
		return performanceBasedRatio
	}
	return sizeBasedRatio
}

func (st *Store) shouldCompact() bool {
	if st.opts.Compaction == NoCompaction || !st.keysLoaded.Load() {
		return false // what is live is known only when the keys are loaded
	}
	log := st.logBytes()
	floor := max(compactMinLog, 4*st.segmentSize.Load())
	if st.opts.SegmentSize != 0 {
		floor = 4 * st.opts.SegmentSize
	}
	return log > floor && float64(log)*st.expansion() > st.ratio()*float64(st.liveBytes())
}

// dueSegments returns how many segments to clean at once: as many as would bring
// the log back under its ratio if they held garbage only.
func (st *Store) dueSegments() int {
	segs := st.log.Segments()
	size := max(st.logBytes()/int64(max(len(segs), 1)), 1)
	excess := float64(st.logBytes()) - st.ratio()*float64(st.liveBytes())/st.expansion()
	return min(max(int(excess)/int(size), 1), compactBatch)
}

// Compact collects garbage until every segment that was full when it was
// called has been cleaned and released.
func (st *Store) Compact(ctx context.Context) error {
	if st.readOnly {
		return ErrReadOnly
	}
	if err := st.log.Roll(); err != nil {
		return st.logError(err)
	}
	until := st.log.End()
	for st.log.First() < until {
		if err := ctx.Err(); err != nil {
			return err
		}
		before := st.log.First()
		if err := st.compactFront(ctx, 1, nil); err != nil {
			return err
		}
		if st.log.First() == before {
			return nil // only the newest segment is left
		}
	}
	return nil
}

// compactBatch is how many segments are cleaned for one sync and release: a
// store that overwrites little data quickly would outrun one at a time.
const compactBatch = 32

// compactFront cleans and releases the oldest n segments, but never the
// newest.
func (st *Store) compactFront(ctx context.Context, n int, t *throttle) (err error) {
	st.compact.cycle.Lock()
	defer st.compact.cycle.Unlock()
	// No segment goes before every part of the image was read and verified: a
	// damaged one is rebuilt.
	if err := st.loadParts(ctx); err != nil {
		return err
	}
	segs := st.log.Segments()
	if n = min(n, len(segs)-1); n < 1 {
		return nil
	}
	segs = segs[:n]
	end := segs[n-1].End
	info := CompactionInfo{First: segs[0].Name, Segments: n, Bytes: int64(end - segs[0].Base)}
	st.opts.Events.compactionBegin(info)
	start := time.Now()
	defer func() {
		info.Took, info.Err = time.Since(start), err
		st.opts.Events.compactionEnd(info)
	}()
	m := mover{st: st}
	for _, seg := range segs {
		if err := m.segment(ctx, seg, t); err != nil {
			return st.logError(err)
		}
	}
	info.Moved, info.MovedBytes = m.moved, m.bytes
	// All that was looked at, and all that superseded what was found dead, is
	// durable before the segments go.
	if err = st.log.Sync(); err == nil {
		err = st.log.Release(ctx, end)
	}
	if err != nil {
		return st.logError(err)
	}
	st.metrics.compactions.Add(int64(n))
	st.metrics.released.Add(info.Bytes)
	return nil
}

// mover moves the live records of frames.
type mover struct {
	st    *Store
	buf   []byte
	moved int64
	bytes int64
}

// segment appends the live records of a segment anew.
func (m *mover) segment(ctx context.Context, seg wal.SegmentInfo, t *throttle) error {
	s := m.st.log.Scan(seg.Base, seg.End)
	defer s.Close()
	stride := int64(0)
	for {
		f, err := s.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if f.Kind == segment.Data {
			if err := m.frame(f); err != nil {
				return err
			}
		}
		if stride += int64(f.End - f.LSN); stride >= compactStride {
			if err := t.pause(ctx, stride); err != nil {
				return err
			}
			stride = 0
		}
	}
}

func (m *mover) frame(f *segment.Frame) error {
	var x operation
	return m.st.eachOp(f, &x, func() error {
		switch x.Kind {
		case op.KindPut:
			return m.put(position{lsn: f.LSN, inBatch: x.cell.InBatch, op: x.cell.Op, valueLen: len(x.Value)}, x.Op)
		case op.KindRegionCreate:
			return m.st.moveCatalog(x.Region, f.LSN, firstVersion(x.Op, f.LSN))
		}
		return nil // deletes, clears and drops are never live
	})
}

// put moves one put if the index still points at it. A first look under the
// shared lock spares the dead ones a reservation.
func (m *mover) put(at position, o op.Op) error {
	r := m.st.catalog.find(o.Region)
	if r == nil {
		return nil
	}
	h := index.HashKey(o.Key)
	sh := &r.shards[shardOf(h)]
	sh.mu.RLock()
	live, err := m.live(r, sh, h, o.Key, at)
	sh.mu.RUnlock()
	if !live {
		return err
	}
	m.buf = op.AppendPut(m.buf[:0], op.Put{
		Region: o.Region, Key: o.Key, Value: o.Value, Expiry: o.Expiry, Version: firstVersion(o, at.lsn),
	})
	p, err := m.st.log.Prepare(m.buf, wal.WriteOptions{System: true, Durability: Batched})
	if err != nil {
		return err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if live, err := m.live(r, sh, h, o.Key, at); !live {
		m.st.log.Cancel(&p)
		return err
	}
	ref, _ := sh.hash.Find(h, o.Key)
	c := r.cell(ref)
	if c.Has(index.FlagExpiry) && c.Expiry() <= m.st.now() {
		m.st.log.Cancel(&p)
		r.forget(sh, h, ref)
		m.st.metrics.expired.Add(1)
		return nil
	}
	lsn, end := m.st.log.Append(&p)
	c.SetLSN(uint64(lsn))
	m.moved++
	m.bytes += int64(end - lsn)
	m.st.metrics.moved.Add(1)
	m.st.metrics.movedBytes.Add(int64(end - lsn))
	return nil
}

// live says whether the index points at a put. A closed region is an error: its
// tables look empty, and a segment whose records look dead would be released.
// REQUIRES: sh.mu is held, shared or exclusive.
func (m *mover) live(r *Region, sh *shard, h uint64, key []byte, at position) (bool, error) {
	if err := r.usable(); err != nil {
		if errors.Is(err, ErrDropped) {
			err = nil
		}
		return false, err
	}
	ref, ok := sh.hash.Find(h, key)
	return ok && positionOf(r.cell(ref)) == at, nil
}

// firstVersion is the position at which a record first entered the log.
func firstVersion(o op.Op, lsn LSN) uint64 {
	if o.Version != 0 {
		return o.Version
	}
	return uint64(lsn)
}

// throttle spaces the compactor's work so that writers keep most of the disk.
type throttle struct {
	rate  float64 // bytes a second
	start time.Time
	done  int64
}

// throttle returns the pace for the next cycle; nil: none. The rate grows with
// what is to be collected, so that the log stays bounded at any write rate.
func (st *Store) throttle() *throttle {
	live, log := float64(st.liveBytes()), float64(st.logBytes())
	rate := 128e6
	if st.opts.Compaction == PerformanceBased {
		rate = 32e6
	}
	if excess := log / max(live*st.ratio(), 1); excess > 1 {
		rate *= 1 + 20*(excess-1)
	}
	return &throttle{rate: rate, start: time.Now()}
}

// pause waits until n more bytes are within the rate.
func (t *throttle) pause(ctx context.Context, n int64) error {
	if t == nil {
		return ctx.Err()
	}
	t.done += n
	due := time.Duration(float64(t.done) / t.rate * float64(time.Second))
	wait := due - time.Since(t.start)
	if wait <= 0 {
		return ctx.Err()
	}
	pauseFor(ctx, wait)
	return ctx.Err()
}

// Segment sizes follow the live data when the user did not fix one.
const (
	minAutoSegment = 4 << 20
	maxAutoSegment = 64 << 20
)

func (st *Store) firstSegmentSize() int64 {
	if st.opts.SegmentSize != 0 {
		return st.opts.SegmentSize
	}
	return minAutoSegment
}

func (st *Store) tuneSegments() {
	if st.opts.SegmentSize != 0 {
		return
	}
	size := min(max(st.liveBytes()/32, minAutoSegment), maxAutoSegment)
	st.segmentSize.Store(size)
	st.log.SetSegmentSize(size)
}
