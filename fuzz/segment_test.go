package fuzz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/segment"
)

// codecs are shared: their state is made once.
var codecs segment.Codecs

// header is that of the segments that the targets make.
var header = segment.Header{Base: 8192, Cut: 8192, Epoch: 1, Salt: 0x5a17, Allocated: segment.HeaderSize}

// Shapes of what a program puts behind the header.
const (
	shapeData = iota
	shapeControl
	shapePacked
	shapeLie    // a frame with fields of the program's, under a good checksum
	shapeFooter // a good one
	shapeForged // a footer with fields of the program's, under a good checksum
	shapeRaw
	shapeZeros
	shapes
)

// builder writes the bytes of a segment file.
type builder struct {
	h     segment.Header
	stamp *segment.Stamp
	file  []byte
	raw   int  // bytes of payloads, decompressed
	good  int  // frames before anything that is not one
	bad   bool // something was
	lied  bool // something has a good checksum, and no writer writes it
}

func newBuilder(h segment.Header) *builder {
	return &builder{h: h, stamp: segment.NewStamp(h.Salt), file: h.Append(nil)}
}

func (b *builder) at() segment.LSN { return b.h.LSNAt(int64(len(b.file))) }

// frame appends a valid frame.
func (b *builder) frame(fh segment.FrameHeader, stored []byte) {
	fh.Stored, fh.Hash = uint32(len(stored)), xxhash.Sum64(stored)
	if fh.Codec == segment.None {
		fh.Raw = fh.Stored
	}
	b.put(fh, stored)
	b.raw += int(fh.Raw)
	if !b.bad {
		b.good++
	}
}

func (b *builder) put(fh segment.FrameHeader, stored []byte) {
	head := make([]byte, segment.FrameHeaderSize)
	b.stamp.Put(head, b.at(), &fh)
	b.file = append(append(b.file, head...), stored...)
	b.pad()
}

func (b *builder) pad() {
	for len(b.file)%segment.Align != 0 {
		b.file = append(b.file, 0)
	}
}

// add appends what the program says.
func (b *builder) add(p *program) {
	if b.at()%segment.Align != 0 {
		b.pad()
	}
	shape := p.below(shapes)
	if shape > shapePacked {
		b.bad = true
	}
	b.lied = b.lied || shape == shapeLie || shape == shapeForged
	durable := b.h.Base + segment.LSN(p.below(int(b.at()-b.h.Base)+1))&^7
	switch shape {
	case shapeData:
		b.frame(segment.FrameHeader{Kind: segment.Data, Durable: durable}, noise(uint64(len(b.file)), p.below(400)))
	case shapeControl:
		kind, value := segment.Mark, uint64(p.uint16())<<3
		if value&8 == 0 {
			kind, value = segment.LowWater, uint64(durable)
		}
		b.frame(segment.FrameHeader{Kind: kind, Durable: durable}, binary.LittleEndian.AppendUint64(nil, value))
	case shapePacked:
		b.packed(p, durable)
	case shapeLie:
		b.lie(p)
	case shapeFooter, shapeForged:
		b.footer(p, shape == shapeForged)
	case shapeRaw:
		b.file = append(b.file, p.take(p.below(64))...)
	case shapeZeros:
		b.file = append(b.file, make([]byte, 8*p.below(20))...)
	}
}

func (b *builder) packed(p *program, durable segment.LSN) {
	codec := one(p, segment.S2, segment.Zstd)
	raw := bytes.Repeat(noise(uint64(p.byte()), 37), 14+p.below(300))
	if p.byte() == 1 {
		raw = make([]byte, segment.MaxCompress) // the most that so few bytes can become
	}
	stored, ok := codecs.Compress(codec, nil, raw)
	if ok {
		b.frame(segment.FrameHeader{Kind: segment.Data, Codec: codec, Raw: uint32(len(raw)), Durable: durable}, stored)
	}
}

// lie appends a frame whose header's checksum holds, and nothing else need.
func (b *builder) lie(p *program) {
	stored := noise(uint64(p.byte()), p.below(200))
	if len(stored) == 8 {
		stored = binary.LittleEndian.AppendUint64(nil, p.uint64()) // for a control frame
	}
	fh := segment.FrameHeader{
		Kind: segment.Kind(p.below(5)), Codec: segment.Codec(p.below(4)), Stored: uint32(len(stored)), Raw: uint32(len(stored)),
		Durable: b.h.Base, Hash: xxhash.Sum64(stored),
	}
	if fh.Codec != segment.None {
		stored = p.take(len(stored))
		fh.Stored, fh.Hash = uint32(len(stored)), xxhash.Sum64(stored)
		fh.Raw = uint32(p.uint64()) % (segment.MaxCompress + 2)
	}
	switch p.below(6) {
	case 1:
		fh.Stored = uint32(p.uint64())
	case 2:
		fh.Raw = uint32(p.uint64())
	case 3:
		fh.Durable = segment.LSN(p.uint64())
	case 4:
		fh.Hash = p.uint64()
	case 5: // a huge length in a short file
		fh.Stored, fh.Raw = segment.MaxPayload, segment.MaxPayload
	}
	b.put(fh, stored)
}

func (b *builder) footer(p *program, forged bool) {
	f := segment.Footer{Frames: uint64(b.good), End: b.at(), Durable: b.h.Base, Hash: xxhash.Sum64(b.file), Salt: b.h.Salt}
	if forged {
		switch p.below(4) {
		case 0:
			f.End = segment.LSN(p.uint64())
		case 1:
			f.Durable = segment.LSN(p.uint64())
		case 2:
			f.Salt = p.uint64()
		case 3:
			f.Hash, f.Frames = p.uint64(), p.uint64()
		}
	}
	b.file = f.Append(b.file)
}

// scan returns the frames of a file, with payloads of their own.
func scan(t *testing.T, file []byte, h segment.Header, o segment.ScanOptions) ([]segment.Frame, *segment.Scanner) {
	t.Helper()
	var frames []segment.Frame
	o.Codecs = &codecs
	s := segment.NewScanner(bytes.NewReader(file), int64(len(file)), h, o)
	for {
		f, err := s.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, segment.ErrCorrupt) {
				t.Fatalf("neither the end nor damage: %v", err)
			}
			if bad := s.Stop() == segment.StopBad || s.Stop() == segment.StopImpossible; bad == errors.Is(err, io.EOF) {
				t.Fatalf("stop %d with %v", s.Stop(), err)
			}
			return frames, s
		}
		f.Payload, f.Bytes = bytes.Clone(f.Payload), bytes.Clone(f.Bytes)
		frames = append(frames, *f)
	}
}

// maxFile is the size of a file at which a program has written enough.
const maxFile = 64 << 10

// FuzzFrames: a scanner yields every frame up to the first thing that is none,
// in windows of any size; each is encoded to the same bytes again and read the
// same by position.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{shapeData, 0, 40, shapeControl, 0, 1, 3, shapeData, 0, 90, 1, 44, shapeFooter})
	f.Add([]byte{shapePacked, 0, 1, 2, 0, 200, 0, shapePacked, 0, 0, 1, 0, 0, 1, shapeZeros, 0, 2})
	f.Add([]byte{shapeData, 0, 8, shapeLie, 0, 1, 20, 1, 0, 5, shapeData, 0, 7})
	f.Add([]byte{shapeData, 0, 8, shapeLie, 0, 1, 20, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 255, 255, 63})
	f.Add([]byte{shapeData, 0, 8, shapeRaw, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, shapeData, 5, 6, shapeForged, 0, 1, 255, 255})
	f.Add([]byte{shapeForged, 0, 0, 9, shapeZeros, 0, 9, shapeControl, 0, 0, 1, 1, shapeForged, 0, 3})
	// A low-water mark above its own frame.
	f.Add([]byte{shapeData, 0, 8, shapeLie, 0, 1, 8, 0, 0x21, 0, 0, 0, 0, 0, 0, 3, 0, 0, shapeData, 0, 7})
	addRandom(f, 8, 200)
	f.Fuzz(func(t *testing.T, input []byte) {
		p := &program{input}
		b := newBuilder(header)
		for !p.done() && len(b.file) < maxFile {
			b.add(p)
		}
		bounded(t, 24*len(b.file)+12*b.raw+16*mib, func() { checkFrames(t, b) })
	})
}

func checkFrames(t *testing.T, b *builder) {
	frames, s := scan(t, b.file, b.h, segment.ScanOptions{})
	if len(frames) < b.good {
		t.Fatalf("%d frames of %d valid ones", len(frames), b.good)
	}
	if s.Pos() > b.at()+segment.Align {
		t.Fatalf("the scanner came to %d, the file ends at %d", s.Pos(), b.at())
	}
	sameFrames(t, b, frames)
	for _, size := range []int{segment.FrameHeaderSize, 100} {
		again, s2 := scan(t, b.file, b.h, segment.ScanOptions{BufSize: size})
		if len(again) != len(frames) || s2.Pos() != s.Pos() || s2.Stop() != s.Stop() {
			t.Fatalf("%d frames to %d, stop %d in small windows; %d to %d, %d in large ones", len(again), s2.Pos(), s2.Stop(), len(frames), s.Pos(), s.Stop())
		}
	}
	e, err := segment.FindEvidence(bytes.NewReader(b.file), int64(len(b.file)), b.h, b.h.Base)
	if err != nil {
		t.Fatal(err)
	}
	if e.Frames < len(frames) || len(frames) > 0 && e.Last < frames[len(frames)-1].End || e.Used > int64(len(b.file)) {
		t.Fatalf("evidence %+v of %d frames in %d bytes", e, len(frames), len(b.file))
	}
}

// sameFrames encodes frames again, and reads them by position.
func sameFrames(t *testing.T, b *builder, frames []segment.Frame) {
	var r segment.Reader
	src := bytes.NewReader(b.file)
	at, limit := b.h.Base, b.at()
	for _, f := range frames {
		if f.LSN != at {
			t.Fatalf("frame at %d, the one before ended at %d", f.LSN, at)
		}
		if f.Kind == segment.LowWater && binary.LittleEndian.Uint64(f.Payload) > uint64(f.Durable) {
			t.Fatalf("the frame at %d, durable mark %d, has low-water mark %d", f.LSN, f.Durable, binary.LittleEndian.Uint64(f.Payload))
		}
		at = f.End
		stored := f.Bytes[segment.FrameHeaderSize:][:f.Stored]
		fh := segment.FrameHeader{
			Kind: f.Kind, Codec: f.Codec, Stored: uint32(f.Stored), Raw: uint32(len(f.Payload)),
			Durable: f.Durable, Hash: xxhash.Sum64(stored),
		}
		again := make([]byte, segment.FrameSize(f.Stored))
		b.stamp.Put(again, f.LSN, &fh)
		copy(again[segment.FrameHeaderSize:], stored)
		if !bytes.Equal(again, f.Bytes) {
			t.Fatalf("the frame at %d is encoded as\n%x, was\n%x", f.LSN, again, f.Bytes)
		}
		payload, _, err := r.Read(src, &b.h, f.LSN, limit, nil, &codecs)
		if err != nil || !bytes.Equal(payload, f.Payload) {
			t.Fatalf("the frame at %d is read as %.40x, %v", f.LSN, payload, err)
		}
	}
}

// patch xors words of b at places that the program names.
func patch(p *program, b []byte) {
	for range 4 {
		if p.done() {
			return
		}
		at, x := int(p.uint16())%len(b), p.uint64()
		for i := at; i < min(at+8, len(b)); i++ {
			b[i] ^= byte(x >> (8 * (i - at)))
		}
	}
}

// seal makes the xxhash64 right that ends b.
func seal(b []byte) { binary.LittleEndian.PutUint64(b[len(b)-8:], xxhash.Sum64(b[:len(b)-8])) }

// FuzzSegmentHeader: a header that parses is encoded to the same bytes; one
// that does not is damaged or of another version.
func FuzzSegmentHeader(f *testing.F) {
	f.Add([]byte{}, true)
	f.Add([]byte{0, 8, 1}, true)     // version
	f.Add([]byte{0, 12, 5}, true)    // epoch
	f.Add([]byte{0, 48, 0, 1}, true) // base
	f.Add([]byte{0, 48, 0, 1, 0, 0, 0, 0, 0, 0, 0, 72, 0, 1, 0, 0, 0, 0, 0, 0, 0, 56, 0, 32, 0, 0, 0, 0, 0, 0, 0, 64, 1}, true)
	f.Add([]byte{0, 72, 8}, true)     // cut
	f.Add([]byte{0, 80, 0, 64}, true) // low-water mark
	f.Add([]byte{0, 68, 1}, true)     // reserved
	f.Add([]byte{0, 104, 1}, true)    // allocated
	f.Add([]byte{0, 96, 1}, false)
	f.Fuzz(func(t *testing.T, input []byte, sealed bool) {
		b := header.Append(nil)
		patch(&program{input}, b)
		if sealed {
			seal(b)
		}
		h, err := segment.ParseHeader(b)
		switch {
		case err == nil && !bytes.Equal(h.Append(nil), b):
			t.Fatalf("%+v is encoded differently", h)
		case err != nil && errors.Is(err, segment.ErrCorrupt) == errors.Is(err, segment.ErrVersion):
			t.Fatalf("neither damage nor another version, or both: %v", err)
		case err == nil && (h.Offset(h.Base) != segment.HeaderSize || h.LSNAt(segment.HeaderSize) != h.Base):
			t.Fatalf("offsets of %+v", h)
		case err == nil && (h.Cut > h.Base || h.Cut < h.PredBase || h.Cut != h.Base && h.PredEpoch == 0 || h.LowWater > h.Base):
			t.Fatalf("positions of %+v", h)
		}
	})
}

// FuzzFooter: the same of a footer.
func FuzzFooter(f *testing.F) {
	f.Add([]byte{}, true)
	f.Add([]byte{0, 8, 1}, true)  // version
	f.Add([]byte{0, 16, 1}, true) // frames
	f.Add([]byte{0, 24, 8}, true) // end
	f.Add([]byte{0, 32, 1}, true) // durable
	f.Add([]byte{0, 48, 1}, true) // salt
	f.Add([]byte{0, 40, 1}, false)
	f.Fuzz(func(t *testing.T, input []byte, sealed bool) {
		at := header.Base + 800
		good := segment.Footer{Frames: 3, End: at, Durable: header.Base, Hash: 77, Salt: header.Salt}
		b := good.Append(nil)
		patch(&program{input}, b)
		if sealed {
			seal(b)
		}
		got, err := segment.ParseFooter(b, &header, at)
		switch {
		case err == nil && !bytes.Equal(got.Append(nil), b):
			t.Fatalf("%+v is encoded differently", got)
		case err != nil && !errors.Is(err, segment.ErrCorrupt):
			t.Fatal(err)
		}
	})
}
