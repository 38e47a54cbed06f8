package inspect

import (
	"context"
	"errors"
	"io"
	"iter"
	"path/filepath"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
)

// Range is a part of the log. The zero Range is all of it.
type Range struct {
	From segment.LSN // frames that end behind it
	To   segment.LSN // frames that start before it; 0: to the end
}

// overlaps reports whether the range has to do with frames between base and end,
// where an end of 0 is not known.
func (r Range) overlaps(base, end segment.LSN) bool {
	return (r.To == 0 || base < r.To) && (end == 0 || end > r.From)
}

// Progress is told how many bytes of the log's files were looked at, of how
// many. It may be nil.
type Progress func(done, total int64)

// Frames yields the frames of the range in the order of the log. Damage is
// yielded as a *segment.CorruptionError, and the sequence goes on with the next
// file; any other error is the last. A payload is valid until the next step.
func (l *Log) Frames(ctx context.Context, r Range, progress Progress) iter.Seq2[segment.Frame, error] {
	return func(yield func(segment.Frame, error) bool) {
		l.walk(ctx, r, progress, visitor{
			frame:  func(f segment.Frame) bool { return yield(f, nil) },
			damage: func(err *segment.CorruptionError) bool { return yield(segment.Frame{}, err) },
			fail:   func(err error) { yield(segment.Frame{}, err) },
		})
	}
}

// visitor receives what walk finds. frame and damage return false to end it.
type visitor struct {
	frame  func(segment.Frame) bool
	damage func(*segment.CorruptionError) bool
	fail   func(error)
}

// walk reads the files of the range one after the other. When the log refused
// to open, that refusal comes first.
func (l *Log) walk(ctx context.Context, r Range, progress Progress, v visitor) {
	if l.refused != nil && !v.damage(l.refused) {
		return
	}
	w := walker{log: l, ctx: ctx, r: r, v: v, progress: progress}
	for i := range l.segs {
		w.total += l.segs[i].Bytes
	}
	for i := range l.segs {
		if r.overlaps(l.segs[i].Base, l.segs[i].End) {
			if more, err := w.segment(i); err != nil {
				v.fail(err)
				return
			} else if !more {
				return
			}
		}
		w.done += l.segs[i].Bytes
		w.report(0)
	}
}

// walker is one walk over the log's files.
type walker struct {
	log         *Log
	ctx         context.Context
	r           Range
	v           visitor
	progress    Progress
	done, total int64
	codecs      segment.Codecs
}

func (w *walker) report(inFile int64) {
	if w.progress != nil {
		w.progress(w.done+inFile, w.total)
	}
}

// segment walks file i. more is false when the visitor has had enough.
func (w *walker) segment(i int) (more bool, err error) {
	s := w.log.segs[i]
	name := filepath.Join(w.log.dir, s.Name)
	f, err := w.log.fs.Open(name)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return false, err
	}
	h, err := segment.ReadFileHeader(f)
	if err != nil {
		return w.damaged(segment.Locate(err, name, 0, s.Base))
	}
	sc := segment.NewScanner(f, size, h, segment.ScanOptions{Limit: s.End, Name: name, Codecs: &w.codecs})
	for {
		if err := w.ctx.Err(); err != nil {
			return false, err
		}
		frame, err := sc.Next()
		if err != nil {
			return w.end(i, f, sc, err)
		}
		w.report(h.Offset(frame.End))
		if frame.End > w.r.From && (w.r.To == 0 || frame.LSN < w.r.To) && !w.v.frame(*frame) {
			return false, nil
		}
	}
}

// end decides what the end of file i means.
func (w *walker) end(i int, f vfs.File, sc *segment.Scanner, err error) (more bool, _ error) {
	s := w.log.segs[i]
	switch {
	case sc.Stop() == segment.StopRead:
		return false, err
	case w.log.refused != nil:
		// Whether a bad frame is a torn tail was for the log to decide, and it
		// did not: report what is not a valid frame.
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		return w.damaged(err)
	case sc.Pos() != s.End:
		if errors.Is(err, io.EOF) {
			err = &segment.CorruptionError{File: f.Name(), Offset: s.offset(sc.Pos()), Reason: "no frame where one should be"}
		}
		return w.damaged(extend(err, sc.Pos(), s.End))
	case w.log.footerExpected(i):
		return w.footer(s, f, sc)
	}
	return true, nil
}

// footer checks what seals a segment. No record depends on it.
func (w *walker) footer(s Segment, f vfs.File, sc *segment.Scanner) (more bool, _ error) {
	bad := &segment.CorruptionError{File: f.Name(), Offset: s.offset(s.End), Reason: "footer is missing or damaged; no record is affected"}
	if sc.Stop() != segment.StopFooter {
		return w.damaged(bad)
	}
	hash, err := segment.HashFile(f, s.offset(s.End))
	if err != nil {
		return false, err
	}
	if hash != sc.Footer().Hash {
		bad.Reason = "checksum of the file in its footer does not match; every frame does, no record is affected"
		return w.damaged(bad)
	}
	return true, nil
}

// damaged reports damage; other errors end the walk.
func (w *walker) damaged(err error) (more bool, _ error) {
	var c *segment.CorruptionError
	if !errors.As(err, &c) {
		return false, err
	}
	if r := w.log.refused; r != nil && r.File == c.File && r.Offset == c.Offset {
		return true, nil // said already
	}
	return w.v.damage(c), nil
}

// footerExpected reports whether file i was sealed: its successor continues it
// in the same epoch. One that was cut by a later epoch has none, or one
// beyond its end.
func (l *Log) footerExpected(i int) bool {
	return i+1 < len(l.segs) && l.segs[i].Sealed && l.segs[i+1].Epoch == l.segs[i].Epoch
}

func (s Segment) offset(at segment.LSN) int64 { return segment.HeaderSize + int64(at-s.Base) }

// extend adds to damage which part of the log is lost.
func extend(err error, from, to segment.LSN) error {
	var c *segment.CorruptionError
	if !errors.As(err, &c) {
		return err
	}
	d := *c
	d.LSN, d.Last = from, to
	return &d
}
