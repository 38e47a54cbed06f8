package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
)

// lockName is the lock file of Options.Lock.
const lockName = "LOCK"

// TailReport says what Open found.
type TailReport struct {
	Created bool // there was no log; it was created
	Sealed  bool // the newest segment was sealed: a clean stop, or a crash between two segments

	First LSN // first LSN that can be read
	End   LSN // end of the log
	// ProvenDurable is how far the log was provably durable before. What lies
	// between it and End was perhaps never synced; Open copies it to a new
	// segment, and it is durable when Log.Durable has reached End.
	ProvenDurable LSN
	// TornBytes were cut at End, from the first byte that is no valid frame to
	// the last byte that is not zero; possibly they were acknowledged, if they
	// were the last before the stop. They are kept in TornFile, a base name.
	// Nothing is cut, and no file made, by a read-only open.
	TornBytes int64
	TornFile  string

	LowWater LSN   // highest low-water mark
	HighTime int64 // highest store time, unix ns
	Newest   SegmentInfo
	Warnings []string // what is odd but costs no data
}

// Open opens the log in a directory, or creates one where there is none. It
// reads the header of each segment (but see Options.TrustTail), and of the newest
// one the frames that TAIL does not vouch for: after a clean Close none.
//
// It fails with a *segment.CorruptionError if anything that was durable is
// missing or damaged there, and then has changed nothing. Other frames are
// checked when they are read.
func Open(dir string, o Options) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{fs: o.FS, dir: dir, o: o, releasing: make(chan struct{}, 1)}
	l.releasing <- struct{}{}
	l.slack = slackFor(o.SegmentSize)
	l.space.setSize(o.SegmentSize, l.slack)
	l.floor.Store(l.space.usable)
	l.loop.init()
	l.allocs.wake = make(chan struct{}, 1)
	l.allocs.quit = make(chan struct{})
	l.group = fsync.NewGroup(l.flush)
	l.pacer = fsync.NewPacer(o.Policy, l.loop.kick, l.progress.broadcast)
	if err := l.open(); err != nil {
		return nil, errors.Join(err, l.abandon())
	}
	if !o.Held {
		if err := l.Start(); err != nil {
			return nil, errors.Join(err, l.abandon())
		}
	}
	return l, nil
}

// Start lets a log that was opened Held go on: leftovers of the last stop are
// removed, the unproven tail is made durable in the background, and writes are
// admitted. It does nothing for other logs. Call it once, before any write.
func (l *Log) Start() error {
	if l.o.ReadOnly || l.started {
		return nil
	}
	if l.tidyUp != nil {
		if err := l.tidyUp(); err != nil {
			return err
		}
	}
	l.started = true
	l.loop.done.Add(1)
	l.allocs.done.Add(1)
	go l.run()
	go l.allocate()
	return nil
}

// abandon closes what a failed open had opened.
func (l *Log) abandon() error {
	if p := l.files.Swap(nil); p != nil {
		for _, e := range *p {
			_ = e.file.release() // the error that made Open fail counts
		}
	}
	_ = l.dropSpares()
	if l.lock != nil {
		return l.lock.Close()
	}
	return nil
}

func (l *Log) open() error {
	if !l.o.ReadOnly {
		if err := l.fs.MkdirAll(l.dir); err != nil {
			return fmt.Errorf("wal: %w", err)
		}
	}
	if l.o.Lock {
		mode := vfs.Exclusive
		if l.o.ReadOnly {
			mode = vfs.Shared
		}
		lock, err := l.fs.Lock(l.path(lockName), mode)
		if err != nil {
			return fmt.Errorf("wal: %s: %w", l.dir, err)
		}
		l.lock = lock
	}
	d, err := l.list()
	if err != nil {
		return err
	}
	if len(d.segments) == 0 {
		return l.create(d)
	}
	return l.recover(d)
}

// directory is what the log's directory holds, by name.
type directory struct {
	segments []name // by age: epoch, then base
	temps    []string
	torn     []string
	tail     *tailFile // nil: none, or of no use
	hasTail  bool
	warnings []string
}

// name is a segment's name, parsed.
type name struct {
	base  LSN
	epoch uint32
}

func (n name) String() string { return segment.FileName(n.base, n.epoch) }

// compare orders names by age.
func (n name) compare(m name) int {
	return cmp.Or(cmp.Compare(n.epoch, m.epoch), cmp.Compare(n.base, m.base))
}

// list reads the directory.
func (l *Log) list() (*directory, error) {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return nil, fmt.Errorf("wal: %w", err)
	}
	d := new(directory)
	for _, s := range names {
		if base, epoch, ok := segment.ParseFileName(s); ok {
			d.segments = append(d.segments, name{base, epoch})
		} else if segment.IsTempName(s) {
			d.temps = append(d.temps, s)
		} else if _, _, ok := segment.ParseTornName(s); ok {
			d.torn = append(d.torn, s)
		} else if s != tailName && s != tailName+fsync.TempSuffix && s != lockName {
			d.warnings = append(d.warnings, fmt.Sprintf("%s is not a file of this log; left alone", s))
		}
	}
	slices.SortFunc(d.segments, name.compare)
	tail, found, warn, err := readTail(l)
	if err != nil {
		return nil, err
	}
	if warn != nil {
		d.warnings = append(d.warnings, warn.Error())
	} else if !found && len(d.segments) > 0 {
		d.warnings = append(d.warnings, "TAIL is missing")
	}
	d.tail, d.hasTail = tail, found
	return d, nil
}

// create begins a log in a directory that holds none. TAIL is only ever
// published after the first segment, and bytes are only ever cut off a segment:
// where one of these is, segments have vanished.
func (l *Log) create(d *directory) error {
	if d.hasTail || len(d.torn) > 0 {
		e := &segment.CorruptionError{File: l.dir, Offset: -1, Reason: "the directory held a log, but its segments are missing"}
		if d.tail != nil {
			e.LSN, e.Last = d.tail.base, d.tail.durable
		}
		return e
	}
	if l.o.ReadOnly {
		return fmt.Errorf("wal: %s holds no log: %w", l.dir, fs.ErrNotExist)
	}
	if l.store = l.o.StoreID; l.store == (segment.ID{}) {
		l.store = newID(l.o.random)
	}
	if l.line = l.o.Lineage; l.line == (segment.ID{}) {
		l.line = newID(l.o.random)
	}
	first := l.o.FirstLSN
	l.lowWater = first
	l.setPositions(first, first)
	h := segment.Header{Base: first, Cut: first, Epoch: 1}
	l.begin(h, nil)
	l.removeTemps(d)
	// Before the first segment has its name. So where there is a segment, the
	// directories that lead to it are durable.
	if err := fsync.SyncAbove(l.fs, l.dir); err != nil {
		return l.createError(err)
	}
	if err := l.addSpare(true); err != nil {
		return l.createError(err)
	}
	if err := l.advance(l.seg); err != nil {
		return l.createError(err)
	}
	l.tail = TailReport{
		Created: true, First: first, End: first, ProvenDurable: first, LowWater: first,
		HighTime: l.highTime.Load(), Warnings: d.warnings,
	}
	l.tail.Newest = l.Segments()[0]
	return nil
}

func (l *Log) createError(err error) error {
	return fmt.Errorf("wal: create log in %s: %w", l.dir, err)
}

// begin sets the segment that takes the first frames after an open. It gets its
// salt now and its file when the allocator has one.
func (l *Log) begin(h segment.Header, old *recovered) {
	h.Store, h.Lineage, h.LowWater, h.Salt = l.store, l.line, l.lowWater, l.o.random()
	s := &pending{h: h, stamp: segment.NewStamp(h.Salt), old: old, usable: l.space.usable}
	if old != nil {
		s.used, s.frames, s.high = int64(old.to-old.from), old.frames, old.high
	}
	l.seg, l.queue = s, []*pending{s}
}

func (l *Log) setPositions(durable, end LSN) {
	l.durable.Store(uint64(durable))
	l.written.Store(uint64(end))
	l.end.Store(uint64(end))
	l.first.Store(uint64(l.lowWater))
}

// removeTemps removes files that were prepared and never used.
func (l *Log) removeTemps(d *directory) {
	if l.o.ReadOnly {
		return
	}
	for _, s := range d.temps {
		if err := l.fs.Remove(l.path(s)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.warnings = append(d.warnings, fmt.Sprintf("leftover not removed: %v", err))
		}
	}
}
