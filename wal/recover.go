package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"

	"github.com/fastrestart/frs/segment"
)

// recovered is what Open found in the newest segment and the first flush must
// bring to a new one.
//
// Frames in [from, to) were written but perhaps never synced, or a sync of them
// failed: then the page cache shows bytes that the disk does not have and a new
// sync of the same file returns nil without writing them. So they are copied to
// a new file. The old file is never written again.
type recovered struct {
	file     entry // the newest segment found
	from, to LSN
	frames   uint64
	high     LSN
	torn     int64  // bytes to keep from offset of to
	tornName string // "": none
	done     atomic.Bool
}

// waiting reports whether there is something to do even if nobody writes.
func (r *recovered) waiting() bool { return r != nil && (r.from < r.to || r.torn > 0) }

// recover opens an existing log.
func (l *Log) recover(d *directory) error {
	newest := d.segments[len(d.segments)-1]
	f, err := l.openSegment(newest)
	if err != nil {
		return err
	}
	l.files.Store(&fileList{{f, segment.MaxLSN}})
	if err := l.adopt(f); err != nil {
		return err
	}
	if err := d.checkTail(l, newest); err != nil {
		return err
	}
	scan, err := l.scanNewest(f, d)
	if err != nil {
		return err
	}
	if err := l.chain(d, scan); err != nil {
		return err
	}
	l.lowWater = scan.lowWater
	l.highTime.Store(scan.highTime)
	l.setPositions(scan.proven, scan.x)
	first := max(scan.lowWater, (*l.files.Load())[0].h.Base)
	l.first.Store(uint64(first))
	l.report(d, scan, first)
	if l.o.ReadOnly {
		return nil
	}
	l.beginAfter(scan)
	l.tidyUp = func() error { return l.tidy(d, scan) }
	return nil
}

// checkTail compares the newest name with TAIL: a name that was durable once
// cannot be gone, unless a younger one took its place.
func (d *directory) checkTail(l *Log, newest name) error {
	t := d.tail
	if t == nil {
		return nil
	}
	if t.store != l.store {
		return fmt.Errorf("%w: %s is of store %x, %s of %x", ErrForeign, l.path(tailName), t.store, newest, l.store)
	}
	if (name{t.base, t.epoch}).compare(newest) > 0 {
		return &segment.CorruptionError{
			File: l.path(name{t.base, t.epoch}.String()), Offset: -1, LSN: t.base, Last: max(t.durable, t.base),
			Reason: "the newest segment is missing",
		}
	}
	return nil
}

// openSegment opens a segment file and checks its header against its name.
func (l *Log) openSegment(n name) (*file, error) {
	path := l.path(n.String())
	bad := func(why string) error {
		return &segment.CorruptionError{File: path, Offset: -1, LSN: n.base, Reason: why}
	}
	f, err := l.fs.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, bad("the segment is missing")
	}
	if err != nil {
		if info, serr := l.fs.Stat(path); serr == nil && info.IsDir {
			return nil, bad("a directory where a segment file should be")
		}
		return nil, fmt.Errorf("wal: %w", err)
	}
	size, err := f.Size()
	var h segment.Header
	if err == nil {
		h, err = segment.ReadFileHeader(f)
	}
	if err == nil && (h.Base != n.base || h.Epoch != n.epoch) {
		err = bad(fmt.Sprintf("its header says %s", segment.FileName(h.Base, h.Epoch)))
	}
	if err != nil {
		err = segment.Locate(err, path, 0, n.base)
		if !errors.Is(err, segment.ErrCorrupt) {
			err = fmt.Errorf("wal: %s: %w", path, err)
		}
		return nil, errors.Join(err, f.Close())
	}
	return newFile(h, n.String(), f, size), nil
}

// adopt takes the log's identity from its newest segment.
func (l *Log) adopt(f *file) error {
	l.store, l.line = f.h.Store, f.h.Lineage
	if want := segment.ID(l.o.StoreID); want != (segment.ID{}) && want != l.store {
		return fmt.Errorf("%w: %s has store id %x, want %x", ErrForeign, l.path(f.name), l.store, want)
	}
	if want := segment.ID(l.o.Lineage); want != (segment.ID{}) && want != l.line {
		return fmt.Errorf("%w: %s has lineage %x, want %x", ErrForeign, l.path(f.name), l.line, want)
	}
	return nil
}

// newestScan is what the frames of the newest segment say.
type newestScan struct {
	file     *file
	from     LSN // what is below was not read: TAIL vouches for it
	x        LSN // end of the valid frames
	stop     segment.Stop
	marks    LSN // highest durable mark
	proven   LSN // a frame boundary
	torn     int64
	lowWater LSN // highest, perhaps not durable
	lowProof LSN // highest that is durable
	highTime int64
}

// scanNewest reads the newest segment and decides how it ends.
func (l *Log) scanNewest(f *file, d *directory) (*newestScan, error) {
	t := testimony{
		file: l.path(f.name), size: f.size.Load(), allocated: f.h.Allocated, outside: l.o.KnownDurable,
	}
	if d.tail != nil && d.tail.epoch == f.h.Epoch {
		// An older epoch's TAIL has nothing to say: what it promised was
		// durable below the base of the newest segment, or truncated.
		t.closed = d.tail.durable
	}
	s := &newestScan{
		file: f, from: f.h.Base, lowWater: f.h.LowWater, lowProof: f.h.LowWater, highTime: f.h.HighTime,
	}
	if t.closed > f.h.Base && d.tail.base == f.h.Base && f.h.Offset(t.closed) <= t.size {
		// What is below was durable, and TAIL has what there is to learn from
		// it. Damage there is found like that of any older segment, when it is
		// read.
		s.from = t.closed
		s.lowWater, s.lowProof = max(s.lowWater, d.tail.lowWater), max(s.lowProof, d.tail.lowWater)
		s.highTime = max(s.highTime, d.tail.highTime)
	}
	lows, err := l.readNewest(s, &t)
	if err == nil && s.x == s.from && s.from > f.h.Base && s.stop == segment.StopBad {
		// No frame there and no end either: TAIL points to nowhere. Believe the
		// frames, and of TAIL only that the log was durable to there.
		s.from, s.lowWater, s.lowProof = f.h.Base, f.h.LowWater, f.h.LowWater
		lows, err = l.readNewest(s, &t)
	}
	if err != nil {
		return nil, err
	}
	v, err := judge(&t)
	if err != nil {
		return nil, err
	}
	if v == torn {
		s.torn = t.behind.Used - t.offset
	}
	s.settle(t.behind.Durable, lows)
	return s, nil
}

// readNewest reads the frames from s.from on and what lies behind them.
func (l *Log) readNewest(s *newestScan, t *testimony) ([]frameValue, error) {
	f := s.file
	var lows []frameValue
	s.marks, s.proven = s.from, s.from
	sc := segment.NewScanner(f.f, t.size, f.h, segment.ScanOptions{From: s.from, Name: t.file, Codecs: &l.codecs})
	err := s.readAll(sc, max(t.closed, t.outside), &lows)
	if s.stop = sc.Stop(); s.stop == segment.StopRead {
		return nil, err
	}
	t.reason = ignoreEOF(err)
	s.x = sc.Pos()
	t.x, t.offset, t.stop, t.marks = s.x, f.h.Offset(s.x), s.stop, s.marks
	if s.stop != segment.StopFooter {
		if t.behind, err = segment.FindEvidence(f.f, t.size, f.h, s.x); err != nil {
			return nil, fmt.Errorf("wal: %s: %w", t.file, err)
		}
	}
	return lows, nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// frameValue is the value in a control frame and where the frame ends.
type frameValue struct{ value, end LSN }

// readAll reads all frames and keeps what they say. proven becomes the highest
// frame boundary that is not above what is known from outside.
func (s *newestScan) readAll(sc *segment.Scanner, known LSN, lows *[]frameValue) error {
	for {
		f, err := sc.Next()
		if err != nil {
			if at := sc.Pos(); at <= known {
				s.proven = at
			}
			return err
		}
		s.marks = max(s.marks, f.Durable)
		if f.LSN <= known {
			s.proven = f.LSN
		}
		switch v := controlValue(f); f.Kind {
		case segment.LowWater:
			*lows = append(*lows, frameValue{LSN(v), f.End})
		case segment.Mark:
			s.highTime = max(s.highTime, int64(v))
		}
	}
}

// settle derives what depends on how far the log is proven durable.
func (s *newestScan) settle(behind LSN, lows []frameValue) {
	s.proven = max(s.proven, s.marks, behind)
	for _, v := range lows {
		s.lowWater = max(s.lowWater, v.value)
		if v.end <= s.proven {
			s.lowProof = max(s.lowProof, v.value)
		}
	}
}

// report fills the TailReport.
func (l *Log) report(d *directory, s *newestScan, first LSN) {
	l.tail = TailReport{
		Sealed: s.stop == segment.StopFooter, First: first, End: s.x, ProvenDurable: s.proven,
		TornBytes: s.torn, LowWater: s.lowWater, HighTime: s.highTime, Warnings: d.warnings,
	}
	l.newestSealed.Store(l.tail.Sealed)
	if s.torn > 0 && !l.o.ReadOnly {
		l.tail.TornFile = segment.TornName(s.file.name, s.x)
	}
	infos := l.Segments()
	l.tail.Newest = infos[len(infos)-1]
}

// beginAfter begins the segment that follows what was found: from the proven
// end on, under the next epoch.
func (l *Log) beginAfter(s *newestScan) {
	old := &recovered{
		file: entry{s.file, s.x}, from: s.proven, to: s.x,
		torn: s.torn, tornName: l.tail.TornFile, high: s.marks,
	}
	h := segment.Header{Base: s.proven, Cut: s.proven, Epoch: s.file.h.Epoch + 1}
	h.PredBase, h.PredEpoch = l.predecessor(s.proven)
	l.begin(h, old)
}

// predecessor names the segment that holds the bytes right below at.
func (l *Log) predecessor(at LSN) (LSN, uint32) {
	var base LSN
	var epoch uint32
	for _, e := range *l.files.Load() {
		if e.h.Base < at {
			base, epoch = e.h.Base, e.h.Epoch
		}
	}
	return base, epoch
}

// keepTorn saves the bytes that are cut off, before the new segment takes over.
func (l *Log) keepTorn(s *pending) error {
	r := s.old
	if r == nil || r.torn == 0 {
		return nil
	}
	err := l.copyBytes(r.tornName, r.file.f, r.file.h.Offset(r.to), r.torn)
	if err != nil {
		return l.failed("keep torn bytes", err)
	}
	return nil
}

// copyBytes makes a new file of n bytes of another one. The new segment's
// directory sync makes its name durable too.
func (l *Log) copyBytes(to string, from io.ReaderAt, off, n int64) error {
	if err := l.fs.Remove(l.path(to)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // left by a crash in an earlier recovery; the bytes are the same
	}
	f, err := l.fs.Create(l.path(to))
	if err != nil {
		return err
	}
	buf := make([]byte, min(n, chunkSize))
	for done := int64(0); done < n && err == nil; {
		b := buf[:min(int64(len(buf)), n-done)]
		if _, err = io.ReadFull(io.NewSectionReader(from, off+done, int64(len(b))), b); err == nil {
			_, err = f.WriteAt(b, done)
		}
		done += int64(len(b))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// copyTail writes the recovered frames behind the new segment's header, with
// the new segment's salt, at their old LSNs. They are checked once more: if the
// file does not say what it said at open, nothing it says counts.
func (l *Log) copyTail(s *pending) error {
	r := s.old
	sc := segment.NewScanner(r.file.f, r.file.size.Load(), r.file.h, segment.ScanOptions{
		From: r.from, To: r.to, Limit: r.to, Name: l.path(r.file.name), Codecs: &l.codecs,
	})
	var frames uint64
	var buf []byte
	at := s.h.Offset(r.from)
	put := func() error {
		if _, err := s.spare.f.WriteAt(buf, at); err != nil {
			return l.failed("copy tail", err)
		}
		_, _ = s.hash.Write(buf) // never fails
		at += int64(len(buf))
		buf = buf[:0]
		return nil
	}
	for {
		f, err := sc.Next()
		if errors.Is(err, io.EOF) && sc.Stop() == segment.StopTo {
			break
		}
		if err != nil {
			return l.failed("copy tail", fmt.Errorf("%s changed since open: %w", r.file.name, err))
		}
		n := len(buf)
		buf = append(buf, f.Bytes...)
		stamp := segment.NewStamp(s.h.Salt)
		stamp.Restamp(buf[n:], f.Bytes, f.LSN)
		frames++
		if len(buf) >= chunkSize {
			if err := put(); err != nil {
				return err
			}
		}
	}
	r.frames = frames
	return put()
}
