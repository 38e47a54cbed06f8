package wal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
)

// Log is an open log. All methods may be called concurrently unless they say
// otherwise.
type Log struct {
	fs    vfs.FS
	dir   string
	o     Options
	store segment.ID
	line  segment.ID
	lock  io.Closer
	tail  TailReport

	// Set before the log is shared.
	tidyUp  func() error // what Start has to do to a log that was found
	started bool         // false for good when read-only

	codecs segment.Codecs
	group  *fsync.Group
	pacer  *fsync.Pacer
	poison fsync.Poison

	// Positions, readable without a lock. first ≤ durable ≤ written ≤ end,
	// except that durable runs behind written by what no sync has covered.
	first, durable, written, end atomic.Uint64

	files        atomic.Pointer[fileList] // stored under mu
	newestSealed atomic.Bool
	closed       atomic.Bool
	progress     pulse // durable, space, poison or closed changed
	highTime     atomic.Int64

	// Disk space: bytes of allocated files that nobody has reserved. See
	// space.go.
	avail, floor atomic.Int64
	slack        int64

	mu        sync.Mutex
	seg       *pending   // takes the next frame; nil when read-only
	queue     []*pending // segments not yet sealed, oldest first; the last is seg
	chunks    []*chunk   // frames not yet written, in LSN order; the last may be cur
	cur       *chunk     // takes the next small frame; nil: begin one
	free      []*chunk   // written chunks for reuse
	lowWater  LSN        // for headers begun from now on
	lowRecord LSN        // end of the record that says so; 0: a header does
	armed     bool       // the pacer knows of a batched write since the last sync began
	space     spaceState
	count     counters

	// Owned by whoever leads the group.
	phys  *pending // the segment whose file is being written; nil before the first
	spans []span

	lead   leadState
	loop   background
	allocs allocator

	releasing chan struct{} // token: one Release or TruncateBack at a time
}

// pending is a segment that is not sealed yet. Appends are ahead of the files:
// several may be waiting for theirs.
type pending struct {
	h     segment.Header // Allocated is set when the file gets its name
	stamp *segment.Stamp
	spare *spare // its file; nil until there is one (the first after Open only)
	old   *recovered

	usable int64 // a frame may start below this many bytes
	used   int64
	frames uint64
	high   LSN // highest durable mark in its frames

	// Owned by the leader.
	file      *file
	hash      *xxhash.Digest // of the file so far
	named     bool           // renamed
	installed bool           // in Log.files
	sealed    bool
	sealedLen int64 // used, when the footer was written
	cut       LSN   // TruncateBack ended the log here; 0: at the segment's end
	syncs     int
}

func (s *pending) end() LSN { return s.h.Base + LSN(s.used) }

// leadState counts what only the leader of the group changes.
type leadState struct {
	force  bool        // give the last segment a file even without frames
	closed bool        // nobody flushes any more
	full   atomic.Bool // the last flush failed for want of space

	writes, bytes, syncs, sealed atomic.Uint64
	syncTime                     atomic.Int64
}

// chunk is a run of frames of one segment in memory.
type chunk struct {
	seg     *pending
	base    LSN
	buf     []byte // appended so far; below the cap is room for more
	written int    // bytes of buf that are in the file
	own     bool   // one large frame, never reused
}

func (c *chunk) end() LSN { return c.base + LSN(len(c.buf)) }

// chunkSize is how much is gathered before it is written without being asked.
const chunkSize = 1 << 20

// First returns the LSN of the first frame that can be read.
func (l *Log) First() LSN { return LSN(l.first.Load()) }

// End returns the LSN behind the last frame appended.
func (l *Log) End() LSN { return LSN(l.end.Load()) }

// Durable returns how far the log is durable: the end of the last byte whose
// file and name are synced.
func (l *Log) Durable() LSN { return LSN(l.durable.Load()) }

// Written returns how far the log was handed to the file system.
func (l *Log) Written() LSN { return LSN(l.written.Load()) }

// Tail returns what Open found.
func (l *Log) Tail() TailReport { return l.tail }

// StoreID returns the id of the store that the log belongs to.
func (l *Log) StoreID() [16]byte { return l.store }

// Lineage returns the log's lineage id.
func (l *Log) Lineage() [16]byte { return l.line }

// Err returns nil, or why the log takes no more writes.
func (l *Log) Err() error {
	if err := l.poison.Err(); err != nil {
		return err
	}
	if l.closed.Load() {
		return ErrClosed
	}
	return nil
}

// SetSegmentSize changes the soft size of segments that are begun later. Sizes
// outside the limits of Options.SegmentSize are brought inside.
func (l *Log) SetSegmentSize(n int64) {
	n = min(max(n, MinSegmentSize), 1<<40)
	l.mu.Lock()
	l.space.setSize(n, l.slack)
	l.floor.Store(l.space.usable)
	l.mu.Unlock()
}

// now returns the store time: the clock, but never below the highest seen.
func (l *Log) now() int64 {
	t := l.o.Time()
	for {
		h := l.highTime.Load()
		if t <= h {
			return h
		}
		if l.highTime.CompareAndSwap(h, t) {
			return t
		}
	}
}

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }

// die poisons the log.
func (l *Log) die(cause error) error {
	if l.poison.Set(cause) {
		l.o.Events.poisoned(cause)
		l.progress.broadcast()
	}
	return l.poison.Err()
}

// noSpace reports whether an error says that the disk, or a quota, is full.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// pulse wakes whoever waits for a change. A waiter takes the channel before it
// looks at the condition, so no change is missed.
type pulse struct {
	mu sync.Mutex
	ch chan struct{}
}

func (p *pulse) wait() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ch == nil {
		p.ch = make(chan struct{})
	}
	return p.ch
}

func (p *pulse) broadcast() {
	p.mu.Lock()
	if p.ch != nil {
		close(p.ch)
		p.ch = nil
	}
	p.mu.Unlock()
}

func random64() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return binary.LittleEndian.Uint64(b[:])
}

// newID returns an id from two random words.
func newID(random func() uint64) (id segment.ID) {
	binary.LittleEndian.PutUint64(id[:], random())
	binary.LittleEndian.PutUint64(id[8:], random())
	return id
}

// Close writes and syncs what is left, seals the newest segment so that the
// next Open knows that nothing is missing, and closes the files. Calls in
// flight return ErrClosed or finish. Closing a poisoned log returns the
// poison's cause.
func (l *Log) Close() error {
	if !l.closed.CompareAndSwap(false, true) {
		return ErrClosed
	}
	l.progress.broadcast()
	var err error
	if l.started {
		err = l.finish()
		l.loop.stop()
		l.allocs.stop()
		l.pacer.Stop()
		err = errors.Join(err, l.dropSpares())
	}
	l.mu.Lock()
	list := l.files.Swap(nil)
	l.mu.Unlock()
	if list != nil {
		for _, e := range *list {
			err = errors.Join(err, e.file.release())
		}
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	return err
}
