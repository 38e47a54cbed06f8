package wal

import (
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/fastrestart/frs/segment"
)

var readers = sync.Pool{New: func() any { return new(segment.Reader) }}

// Read reads the payload of the frame that starts at lsn into buf, which is
// grown if need be, and returns it. What is not written yet is read from
// memory. Errors: ErrReleased, ErrBeyondEnd, ErrClosed; a
// *segment.CorruptionError if there is no valid frame at lsn, which is the
// caller's mistake or damage.
func (l *Log) Read(lsn LSN, buf []byte) ([]byte, error) {
	r := readers.Get().(*segment.Reader)
	defer readers.Put(r)
	if lsn >= l.Written() {
		if p, done, err := l.readMemory(r, lsn, buf); done {
			return p, err
		}
	}
	e, limit, err := l.locate(lsn)
	if err != nil {
		return buf[:0], err
	}
	defer e.file.release() // read-only use: nothing can be lost
	p, _, err := r.Read(e.f, &e.h, lsn, limit, buf, &l.codecs)
	if err != nil {
		return buf[:0], l.readError(e, lsn, err)
	}
	return p, nil
}

// ReadPart reads len(p) bytes of a payload, from offset off on. The frame's
// header is checked, its payload's hash is not: it would need the whole
// payload. The caller has checksums of its own. ErrCompressed if the payload is
// stored compressed; otherwise errors are those of Read.
func (l *Log) ReadPart(lsn LSN, off int64, p []byte) error {
	r := readers.Get().(*segment.Reader)
	defer readers.Put(r)
	if lsn >= l.Written() {
		if done, err := l.partFromMemory(r, lsn, off, p); done {
			return err
		}
	}
	e, limit, err := l.locate(lsn)
	if err != nil {
		return err
	}
	defer e.file.release() // read-only use: nothing can be lost
	h, err := r.ReadHeader(e.f, &e.h, lsn, limit)
	if err != nil {
		return l.readError(e, lsn, err)
	}
	if err := checkPart(&h, off, len(p)); err != nil {
		return err
	}
	n, err := e.f.ReadAt(p, e.h.Offset(lsn)+segment.FrameHeaderSize+off)
	if n == len(p) {
		return nil
	}
	return l.readError(e, lsn, fmt.Errorf("wal: read %s: %w", e.name, err))
}

func checkPart(h *segment.FrameHeader, off int64, n int) error {
	if h.Codec != None {
		return ErrCompressed
	}
	if off < 0 || off > int64(h.Stored) || int64(n) > int64(h.Stored)-off {
		return fmt.Errorf("wal: part [%d, %d) of a payload of %d bytes", off, off+int64(n), h.Stored)
	}
	return nil
}

// locate finds the file that holds a written position, with a reference taken,
// and how far it may be read.
func (l *Log) locate(lsn LSN) (entry, LSN, error) {
	written := l.Written()
	switch {
	case lsn < l.First():
		return entry{}, 0, fmt.Errorf("%w: LSN %d, the log begins at %d", ErrReleased, lsn, l.First())
	case lsn >= written:
		return entry{}, 0, fmt.Errorf("%w: LSN %d, end %d", ErrBeyondEnd, lsn, l.End())
	}
	e, ok := l.acquire(lsn)
	if ok {
		return e, min(e.end, written), nil
	}
	switch {
	case l.files.Load() == nil:
		return e, 0, ErrClosed
	case lsn < l.First():
		return e, 0, fmt.Errorf("%w: LSN %d", ErrReleased, lsn)
	}
	return e, 0, fmt.Errorf("%w: LSN %d lies between two lineages", ErrBeyondEnd, lsn)
}

// readError adds the place to an error of reading a frame.
func (l *Log) readError(e entry, lsn LSN, err error) error {
	if errors.Is(err, segment.ErrCorrupt) {
		return segment.Locate(err, l.path(e.name), e.h.Offset(lsn), lsn)
	}
	return fmt.Errorf("wal: %s: %w", e.name, err)
}

// inMemory returns the bytes from lsn to the end of its chunk. REQUIRES: l.mu.
func (l *Log) inMemory(r *segment.Reader, lsn LSN) (*chunk, []byte, error) {
	i := sort.Search(len(l.chunks), func(i int) bool { return l.chunks[i].base > lsn }) - 1
	if i < 0 || lsn >= l.chunks[i].end() {
		return nil, nil, fmt.Errorf("%w: LSN %d, end %d", ErrBeyondEnd, lsn, l.End())
	}
	c := l.chunks[i]
	b := c.buf[lsn-c.base:]
	if err := r.Check(b, c.seg.h.Salt, lsn, c.end()); err != nil {
		return nil, nil, segment.Locate(err, "", -1, lsn)
	}
	return c, b, nil
}

// readMemory reads a frame that is not written. Not done: it was written
// meanwhile.
func (l *Log) readMemory(r *segment.Reader, lsn LSN, buf []byte) (p []byte, done bool, err error) {
	l.mu.Lock()
	if lsn < l.Written() {
		l.mu.Unlock()
		return nil, false, nil
	}
	c, b, err := l.inMemory(r, lsn)
	if err == nil && c.own {
		// A large frame's buffer is its own and never changes again.
		l.mu.Unlock()
		p, _, err = r.Decode(b, buf, lsn, &l.codecs)
		return p, true, err
	}
	defer l.mu.Unlock()
	if err != nil {
		return buf[:0], true, err
	}
	p, _, err = r.Decode(b, buf, lsn, &l.codecs)
	return p, true, err
}

func (l *Log) partFromMemory(r *segment.Reader, lsn LSN, off int64, p []byte) (done bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lsn < l.Written() {
		return false, nil
	}
	_, b, err := l.inMemory(r, lsn)
	if err != nil {
		return true, err
	}
	h := segment.PeekFrame(b)
	if err := checkPart(&h, off, len(p)); err != nil {
		return true, err
	}
	copy(p, b[segment.FrameHeaderSize+off:])
	return true, nil
}
