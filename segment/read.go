package segment

import (
	"errors"
	"fmt"
	"io"
)

// readAhead is how much Reader asks for before it knows a frame's length.
const readAhead = 512

// Reader reads single frames by position. It holds scratch space and must not
// be used concurrently; the zero value is ready.
type Reader struct {
	stamp  Stamp
	packed []byte // stored bytes of a compressed frame
	head   [FrameHeaderSize]byte
}

// Read reads, checks and decompresses the frame at LSN at of the segment with
// header h in file r, into buf, which is grown if need be. limit is where the
// segment's part of the log ends. Damage is a *CorruptionError that names no
// file yet.
func (r *Reader) Read(f io.ReaderAt, h *Header, at, limit LSN, buf []byte, c *Codecs) ([]byte, FrameHeader, error) {
	var fh FrameHeader
	left := int64(limit) - int64(at)
	if left < FrameHeaderSize {
		return buf, fh, errFrameLong
	}
	// One read brings a small frame whole.
	b := grow(buf[:0], readAhead)
	b = b[:min(int64(cap(b)), left)]
	if err := readFull(f, b, h.Offset(at)); err != nil {
		return buf, fh, err
	}
	r.stamp.Reset(h.Salt)
	if err := r.stamp.Parse(&fh, b, at, limit); err != nil {
		return buf, fh, err
	}
	size := int(fh.Size())
	if size > len(b) {
		have := len(b)
		b = grow(b, size-have)[:size]
		if err := readFull(f, b[have:], h.Offset(at)+int64(have)); err != nil {
			return buf, fh, err
		}
	}
	p, err := r.unpack(b[:size], &fh, c)
	return p, fh, err
}

// unpack turns the frame b into its payload, in place unless it is compressed.
func (r *Reader) unpack(b []byte, fh *FrameHeader, c *Codecs) ([]byte, error) {
	stored, err := checkPayload(b, fh)
	if err != nil {
		return b[:0], err
	}
	if fh.Codec == None {
		return b[:copy(b, stored)], nil
	}
	r.packed = append(r.packed[:0], stored...)
	return c.Decompress(fh.Codec, b[:0], r.packed, int(fh.Raw))
}

// ReadHeader reads and checks the header of the frame at LSN at.
func (r *Reader) ReadHeader(f io.ReaderAt, h *Header, at, limit LSN) (fh FrameHeader, err error) {
	if int64(limit)-int64(at) < FrameHeaderSize {
		return fh, errFrameLong
	}
	if err := readFull(f, r.head[:], h.Offset(at)); err != nil {
		return fh, err
	}
	r.stamp.Reset(h.Salt)
	err = r.stamp.Parse(&fh, r.head[:], at, limit)
	return fh, err
}

// Decode checks and decompresses a frame that is in memory. The header at
// b[:FrameHeaderSize] is believed. dst must not overlap b.
func (r *Reader) Decode(b, dst []byte, at LSN, c *Codecs) ([]byte, FrameHeader, error) {
	var fh FrameHeader
	if err := fh.parse(b, at); err != nil {
		return dst, fh, err
	}
	stored, err := checkPayload(b, &fh)
	if err != nil {
		return dst, fh, err
	}
	if fh.Codec == None {
		return append(dst[:0], stored...), fh, nil
	}
	dst, err = c.Decompress(fh.Codec, dst[:0], stored, int(fh.Raw))
	return dst, fh, err
}

// ReadFileHeader reads and checks the header of a segment file.
func ReadFileHeader(f io.ReaderAt) (Header, error) {
	b := make([]byte, HeaderSize)
	if err := readFull(f, b, 0); err != nil {
		return Header{}, err
	}
	return ParseHeader(b)
}

// readFull reads len(p) bytes. A file that ends before is damage; any other
// failure is the file system's.
func readFull(f io.ReaderAt, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return errShort
	default:
		return fmt.Errorf("segment: read at offset %d: %w", off, err)
	}
}

// Check checks the header of a frame that is in memory.
func (r *Reader) Check(b []byte, salt uint64, at, limit LSN) error {
	if len(b) < FrameHeaderSize {
		return errFrameLong
	}
	r.stamp.Reset(salt)
	var fh FrameHeader
	return r.stamp.Parse(&fh, b, at, limit)
}

// PeekFrame decodes a frame header that was checked before.
func PeekFrame(b []byte) (h FrameHeader) {
	_ = h.parse(b, MaxLSN) // checked before
	return h
}
