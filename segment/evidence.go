package segment

import (
	"errors"
	"fmt"
	"io"
)

// Evidence is what lies behind the last valid frame of a segment.
type Evidence struct {
	Used    int64 // offset behind the last byte that is not zero; 0 if all are zero
	Frames  int   // valid frame headers found
	Last    LSN   // end of the last of them
	Durable LSN   // the highest durable mark they promise
}

// FindEvidence reads a segment file from LSN from to its end and collects every
// frame header, and footer, that belongs there: right salt, right place, right
// checksum. Each carries a promise of how far the log was durable when it was
// written; a promise beyond a bad frame proves that the frame was good once.
//
// The payloads are not looked at: what a header promises was true when it was
// written, whatever became of the bytes behind it.
func FindEvidence(r io.ReaderAt, size int64, h Header, from LSN) (Evidence, error) {
	var e Evidence
	stamp := NewStamp(h.Salt)
	buf := make([]byte, min(max(size-h.Offset(from), 0), ReadSize)+FooterSize)
	for off := h.Offset(from); off < size; {
		b := buf[:min(int64(len(buf)), size-off)]
		n, err := r.ReadAt(b, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return e, fmt.Errorf("segment: read at offset %d: %w", off, err)
		}
		if n < len(b) {
			size = off + int64(n) // shorter than it was
		}
		off += e.look(b[:n], off, size, &h, stamp)
	}
	return e, nil
}

// look searches one window that starts at off, and returns how far the next
// one must move: every candidate is seen whole once.
func (e *Evidence) look(b []byte, off, size int64, h *Header, stamp *Stamp) int64 {
	last := off+int64(len(b)) >= size
	for i := 0; i < len(b); i += Align {
		if !last && len(b)-i < FooterSize {
			return int64(i)
		}
		rest := b[i:]
		if w := rest[:min(Align, len(rest))]; IsZero(w) {
			continue // a header's first word holds its kind
		} else {
			e.Used = off + int64(i) + nonZero(w)
		}
		at := h.LSNAt(off + int64(i))
		if len(rest) < FrameHeaderSize {
			continue
		}
		var fh FrameHeader
		if stamp.candidate(&fh, rest, at) == nil {
			e.found(at+LSN(fh.Size()), fh.Durable)
		} else if string(rest[:8]) == footerMagic {
			if f, err := ParseFooter(rest, h, at); err == nil {
				e.found(at, f.Durable)
			}
		}
	}
	return int64(len(b))
}

// candidate is Parse without a limit, cheap where there is no header.
func (s *Stamp) candidate(h *FrameHeader, b []byte, at LSN) error {
	if err := h.parse(b, at); err != nil {
		return err
	}
	return s.Parse(h, b, at, MaxLSN+MaxPayload)
}

func (e *Evidence) found(end, durable LSN) {
	e.Frames++
	e.Last = max(e.Last, end)
	e.Durable = max(e.Durable, durable)
}

// nonZero returns the index behind the last byte of b that is not zero.
func nonZero(b []byte) int64 {
	for i := len(b); i > 0; i-- {
		if b[i-1] != 0 {
			return int64(i)
		}
	}
	return 0
}
