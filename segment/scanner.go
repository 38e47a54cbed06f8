package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
)

// ReadSize is how much a Scanner reads at a time.
const ReadSize = 1 << 20

// Frame is one frame of a segment.
type Frame struct {
	LSN     LSN // where it starts
	End     LSN // where the next one starts
	Kind    Kind
	Codec   Codec
	Durable LSN    // durable mark
	Payload []byte // decompressed; valid until the next step of the scanner
	Stored  int    // bytes of the payload in the file
	Bytes   []byte // the whole frame as it lies in the file; valid as Payload is
}

// Stop says why a Scanner stopped.
type Stop uint8

const (
	// StopNot means that the scanner has not stopped yet.
	StopNot Stop = iota
	// StopTo means that the next frame is at or beyond ScanOptions.To.
	StopTo
	// StopFooter means that a valid footer follows the last frame.
	StopFooter
	// StopUnused means that zeros, or nothing at all, follow the last frame.
	StopUnused
	// StopBad means that what follows is not a valid frame. Whether it is a
	// torn tail or damage is not the scanner's to say.
	StopBad
	// StopRead means that the file could not be read.
	StopRead
	// StopImpossible means that a frame whose checksums hold says what no writer
	// writes. No crash makes that: it is damage wherever it is.
	StopImpossible
)

// ScanOptions says what part of a segment a Scanner reads.
type ScanOptions struct {
	From LSN // first frame, a frame boundary; 0: the first of the segment
	To   LSN // stop at the first frame at or beyond; 0: read on
	// Limit is where the segment's part of the log ends; a frame that reaches
	// beyond it is invalid. 0: the end of the file.
	Limit   LSN
	Name    string  // of the file, for errors
	Codecs  *Codecs // nil: own
	BufSize int     // 0: ReadSize
}

// Scanner reads the frames of one segment in order. It is the only read loop:
// recovery, compaction, verification, dumps and fuzzing use it. It keeps one
// window of ReadSize in memory, or one frame where that is larger; a length is
// believed only after the header's checksum held and the file was found long
// enough. A Scanner is not safe for concurrent use.
type Scanner struct {
	r      io.ReaderAt
	size   int64
	h      Header
	o      ScanOptions
	stamp  Stamp
	pos    LSN
	win    []byte // bytes of the file at off
	off    int64
	raw    []byte // decompression space
	head   FrameHeader
	frame  Frame // the last one returned
	stop   Stop
	err    error
	footer Footer
}

// NewScanner returns a scanner over a segment file of the given size. It reads
// nothing yet.
func NewScanner(r io.ReaderAt, size int64, h Header, o ScanOptions) *Scanner {
	s := new(Scanner)
	s.Reset(r, size, h, o)
	return s
}

// Reset makes s what NewScanner returns, in the memory that it has, but for a
// window that a large frame needed. Frames that it returned are not valid any more.
func (s *Scanner) Reset(r io.ReaderAt, size int64, h Header, o ScanOptions) {
	if cap(s.win) > 4*ReadSize {
		s.win = nil
	}
	*s = Scanner{r: r, size: size, h: h, o: o, pos: max(o.From, h.Base), win: s.win[:0], raw: s.raw}
	s.stamp.Reset(h.Salt)
	end := h.Base
	if size > HeaderSize {
		end = h.LSNAt(size)
	}
	if s.o.Limit == 0 || s.o.Limit > end {
		s.o.Limit = end
	}
	if s.o.To == 0 {
		s.o.To = MaxLSN
	}
	if s.o.Codecs == nil {
		s.o.Codecs = new(Codecs)
	}
	if s.o.BufSize == 0 {
		s.o.BufSize = ReadSize
	}
	s.off = h.Offset(s.pos)
}

// Next returns the next frame, which is valid until the next call. At the end it
// returns nil and io.EOF if the frames end where they may (StopTo, StopFooter,
// StopUnused), a *CorruptionError if an invalid frame follows, or the error of
// the file; and the same again when called again.
func (s *Scanner) Next() (*Frame, error) {
	if s.stop != StopNot {
		return nil, s.err
	}
	if s.pos >= s.o.To {
		return s.halt(StopTo, io.EOF)
	}
	b, err := s.window(FrameHeaderSize)
	if err != nil {
		return s.halt(StopRead, err)
	}
	if len(b) < FrameHeaderSize {
		if IsZero(b) {
			return s.halt(StopUnused, io.EOF)
		}
		return s.halt(StopBad, errShort)
	}
	h := &s.head
	if err := s.stamp.Parse(h, b, s.pos, s.o.Limit); err != nil {
		return s.noFrame(b, err)
	}
	b, err = s.window(int(h.Size()))
	if err != nil {
		return s.halt(StopRead, err)
	}
	payload, err := s.payload(b, h)
	if err != nil {
		return s.halt(StopBad, err)
	}
	if h.Kind == LowWater && !possibleLowWater(h, payload) {
		return s.halt(StopImpossible, errLowWater)
	}
	f := &s.frame // field by field, as FrameHeader.parse
	f.LSN, f.End = s.pos, s.pos+LSN(h.Size())
	f.Kind, f.Codec, f.Durable = h.Kind, h.Codec, h.Durable
	f.Payload, f.Stored, f.Bytes = payload, int(h.Stored), b[:h.Size()]
	s.pos = f.End
	return f, nil
}

// possibleLowWater reports whether the mark in a low-water frame can be one: it
// never exceeds what was durable when the frame was appended. A mark that did
// would hide frames behind its own.
func possibleLowWater(h *FrameHeader, payload []byte) bool {
	mark := LSN(binary.LittleEndian.Uint64(payload)) // its length was checked with the header
	return mark != 0 && mark%Align == 0 && mark <= h.Durable
}

// payload checks and decompresses what follows a frame header in b.
func (s *Scanner) payload(b []byte, h *FrameHeader) ([]byte, error) {
	if int64(len(b)) < h.Size() {
		return nil, errShort
	}
	stored, err := checkPayload(b, h)
	if err != nil || h.Codec == None {
		return stored, err
	}
	s.raw, err = s.o.Codecs.Decompress(h.Codec, s.raw[:0], stored, int(h.Raw))
	return s.raw, err
}

// checkPayload returns the stored bytes of the frame b after checking their
// hash and the padding.
func checkPayload(b []byte, h *FrameHeader) ([]byte, error) {
	stored := b[FrameHeaderSize : FrameHeaderSize+int(h.Stored)]
	if xxhash.Sum64(stored) != h.Hash {
		return nil, errPayloadSum
	}
	for _, c := range b[FrameHeaderSize+int(h.Stored) : h.Size()] {
		if c != 0 {
			return nil, errPadding
		}
	}
	return stored, nil
}

// noFrame decides what else can follow the last frame: a footer or nothing.
func (s *Scanner) noFrame(b []byte, err error) (*Frame, error) {
	if IsZero(b[:FrameHeaderSize]) {
		return s.halt(StopUnused, io.EOF)
	}
	if string(b[:8]) == footerMagic {
		if b, rerr := s.window(FooterSize); rerr != nil {
			return s.halt(StopRead, rerr)
		} else if f, ferr := ParseFooter(b, &s.h, s.pos); ferr == nil {
			s.footer = f
			return s.halt(StopFooter, io.EOF)
		} else {
			err = ferr
		}
	}
	return s.halt(StopBad, err)
}

func (s *Scanner) halt(why Stop, err error) (*Frame, error) {
	s.stop = why
	s.err = Locate(err, s.o.Name, s.h.Offset(s.pos), s.pos)
	return nil, s.err
}

// window returns the bytes at the current position: at least n of them unless
// the file ends before.
func (s *Scanner) window(n int) ([]byte, error) {
	at := s.h.Offset(s.pos)
	if skip := at - s.off; skip <= int64(len(s.win)) && int64(len(s.win))-skip >= int64(n) {
		return s.win[skip:], nil
	}
	if err := s.fill(at, n); err != nil {
		return nil, err
	}
	return s.win, nil
}

// fill moves the window to offset at and reads on until it holds n bytes, more
// if the buffer has room, or the file ends.
func (s *Scanner) fill(at int64, n int) error {
	var keep []byte
	if skip := at - s.off; skip < int64(len(s.win)) {
		keep = s.win[skip:]
	}
	left := max(s.size-at, 0)
	want := int(min(int64(max(n, s.o.BufSize)), left))
	buf := s.win[:0]
	if cap(buf) < want || cap(buf) > 4*max(n, s.o.BufSize) {
		buf = make([]byte, 0, want)
	}
	have := copy(buf[:want], keep)
	s.win, s.off = buf[:have], at
	if have == want {
		return nil
	}
	got, err := s.r.ReadAt(buf[have:want], at+int64(have))
	s.win = buf[:have+got]
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("segment: read %s at offset %d: %w", s.o.Name, at, err)
	}
	return nil
}

// Pos returns the LSN of the next frame: the end of the last valid one.
func (s *Scanner) Pos() LSN { return s.pos }

// Stop returns why the scanner stopped.
func (s *Scanner) Stop() Stop { return s.stop }

// Footer returns the footer after StopFooter.
func (s *Scanner) Footer() Footer { return s.footer }

// HashFile returns the hash of the first n bytes of a file, to be compared with
// a footer's.
func HashFile(r io.ReaderAt, n int64) (uint64, error) {
	d := xxhash.New()
	_, err := io.CopyBuffer(d, io.NewSectionReader(r, 0, n), make([]byte, min(n, ReadSize)+1))
	return d.Sum64(), err
}
