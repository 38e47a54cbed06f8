package wal

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
)

// Scanner reads the frames of a range of the log in order, across segments, all
// kinds of them. It keeps the files it reads from being closed, not from being
// released. It is not safe for concurrent use.
type Scanner struct {
	l      *Log
	list   fileList
	from   LSN
	to     LSN
	flush  error // unwritten frames could not be written; told at the end
	read   *segment.Scanner
	cur    *segment.Scanner // read, or nil between segments
	curEnd LSN
	err    error
}

// scanners lend their windows to one scan after the other.
var scanners = sync.Pool{New: func() any { return new(segment.Scanner) }}

// Scan returns a scanner over the frames that start in [from, to). from 0 is
// First; a from that is no frame boundary means the next one. to 0, or beyond
// the end, is the end at the time of the call. Frames that are not written yet
// are written first. Close must be called.
func (l *Log) Scan(from, to LSN) *Scanner {
	s := &Scanner{l: l, read: scanners.Get().(*segment.Scanner)}
	if end := l.End(); to == 0 || to > end {
		to = end
	}
	if !l.o.ReadOnly && to > l.Written() {
		s.flush = l.commit(to, false)
		to = min(to, l.Written())
	}
	s.list = l.acquireAll()
	first := l.First() // after the list: what is released from here on is still read
	if from == 0 {
		from = first
	}
	s.from, s.to = from, to
	switch {
	case s.list == nil:
		s.err = ErrClosed
	case from < first:
		s.err = fmt.Errorf("%w: LSN %d, the log begins at %d", ErrReleased, from, first)
	}
	return s
}

// Prefetch asks for [from, to), or as much of it as lies in the segment of from,
// to be brought into memory meanwhile, for a Scan that comes to it soon. It is a
// hint: it does not wait, and what cannot be had is told by the Scan.
func (l *Log) Prefetch(from, to LSN) {
	list := l.acquireAll()
	defer list.release()
	to = min(to, l.End())
	e, ok := list.find(from)
	if !ok || from >= to {
		return
	}
	if p, ok := e.f.(vfs.Prefetcher); ok {
		p.Prefetch(e.h.Offset(from), int64(min(to, e.end)-from))
	}
}

// Close gives back the files, and the memory of the last frame. It returns nil.
func (s *Scanner) Close() error {
	if s.read != nil {
		s.read.Reset(nil, 0, segment.Header{}, segment.ScanOptions{}) // forgets the file
		scanners.Put(s.read)
	}
	s.list.release()
	s.list, s.read, s.cur, s.err = nil, nil, nil, ErrClosed
	return nil
}

// Next returns the next frame, which is valid until the next call; io.EOF at the
// end, or a *segment.CorruptionError.
func (s *Scanner) Next() (*segment.Frame, error) {
	for s.err == nil {
		if s.cur == nil {
			s.enter()
			continue
		}
		f, err := s.cur.Next()
		if err == nil {
			if f.LSN < s.from {
				continue
			}
			s.from = f.End
			return f, nil
		}
		s.leave(err)
	}
	return nil, s.err
}

// enter begins with the segment that holds the position.
func (s *Scanner) enter() {
	if s.from >= s.to {
		s.err = io.EOF
		if s.flush != nil {
			s.err = s.flush
		}
		return
	}
	for i, e := range s.list {
		if s.from >= e.end {
			continue
		}
		s.from = max(s.from, e.h.Base) // over the gap between two lineages
		s.curEnd = min(e.end, s.to)
		if i == len(s.list)-1 {
			s.curEnd = s.to
		}
		limit := e.end
		if i == len(s.list)-1 {
			limit = max(s.l.Written(), s.to)
		}
		s.cur = s.read
		s.cur.Reset(e.f, e.size.Load(), e.h, segment.ScanOptions{
			From: s.start(e, limit), To: s.curEnd, Limit: limit, Name: s.l.path(e.name), Codecs: &s.l.codecs,
		})
		return
	}
	s.err = fmt.Errorf("%w: LSN %d", ErrBeyondEnd, s.from)
}

// start returns where to begin reading: at the position if a frame starts
// there, otherwise at the segment's first frame.
func (s *Scanner) start(e entry, limit LSN) LSN {
	var r segment.Reader
	if _, err := r.ReadHeader(e.f, &e.h, s.from, limit); err != nil {
		return e.h.Base
	}
	return s.from
}

// leave goes on to the next segment, if this one's part of the log is complete.
func (s *Scanner) leave(err error) {
	at, stop := s.cur.Pos(), s.cur.Stop()
	s.cur = nil
	if at >= s.curEnd {
		s.from = max(s.from, at)
		return
	}
	if errors.Is(err, io.EOF) {
		err = &segment.CorruptionError{Offset: -1, LSN: at, Last: s.curEnd, Reason: "frames are missing"}
		if stop == segment.StopUnused {
			err = &segment.CorruptionError{Offset: -1, LSN: at, Last: s.curEnd, Reason: "zeros where a frame should be"}
		}
		if e, ok := s.list.find(at); ok {
			err = segment.Locate(err, s.l.path(e.name), e.h.Offset(at), at)
		}
	}
	s.err = withLast(err, s.curEnd)
}

// Frames ranges over Scan(from, to). It ends after the first error.
func (l *Log) Frames(from, to LSN) iter.Seq2[segment.Frame, error] {
	return func(yield func(segment.Frame, error) bool) {
		s := l.Scan(from, to)
		defer s.Close() // returns nil
		for {
			f, err := s.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(segment.Frame{}, err)
				return
			}
			if !yield(*f, nil) {
				return
			}
		}
	}
}
