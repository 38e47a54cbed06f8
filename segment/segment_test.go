package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// testHeader is a header with every field set.
func testHeader() Header {
	return Header{
		Store: ID{1, 2, 3}, Lineage: ID{4, 5, 6}, Base: 8192, Epoch: 7, PredBase: 4096, PredEpoch: 6,
		Cut: 8192, LowWater: 4096, HighTime: 1_700_000_000_000_000_000, Salt: 0x1122334455667788, Allocated: 65536,
	}
}

// file builds segment files.
type file struct {
	h     Header
	b     []byte
	stamp *Stamp
	n     uint64
}

func newFile(h Header) *file {
	return &file{h: h, b: h.Append(nil), stamp: NewStamp(h.Salt)}
}

func (f *file) end() LSN { return f.h.LSNAt(int64(len(f.b))) }

// add appends a data frame.
func (f *file) add(payload []byte, durable LSN) {
	f.frame(FrameHeader{Kind: Data, Raw: uint32(len(payload)), Durable: durable}, payload)
}

func (f *file) frame(h FrameHeader, stored []byte) {
	h.Stored, h.Hash = uint32(len(stored)), xxhash.Sum64(stored)
	b := make([]byte, h.Size())
	f.stamp.Put(b, f.end(), &h)
	copy(b[FrameHeaderSize:], stored)
	f.b = append(f.b, b...)
	f.n++
}

func (f *file) seal() {
	foot := Footer{Frames: f.n, End: f.end(), Hash: xxhash.Sum64(f.b), Salt: f.h.Salt}
	f.b = foot.Append(f.b)
}

func (f *file) scanner(o ScanOptions) *Scanner {
	return NewScanner(bytes.NewReader(f.b), int64(len(f.b)), f.h, o)
}

// drain reads all frames and returns their payloads.
func drain(s *Scanner) ([]string, error) {
	var got []string
	for {
		f, err := s.Next()
		if err != nil {
			return got, err
		}
		got = append(got, string(f.Payload))
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	h := testHeader()
	b := h.Append([]byte("x"))[1:]
	if len(b) != HeaderSize {
		t.Fatalf("%d bytes", len(b))
	}
	got, err := ParseHeader(b)
	if err != nil || got != h {
		t.Fatalf("%+v, %v", got, err)
	}
	for at := range b {
		bad := bytes.Clone(b)
		bad[at] ^= 1
		if _, err := ParseHeader(bad); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d flipped: %v", at, err)
		}
		if _, err := ParseHeader(b[:at]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d bytes: %v", at, err)
		}
	}
}

// resum makes the checksum of a changed header right.
func resum(b []byte) []byte {
	binary.LittleEndian.PutUint64(b[headerSum:], xxhash.Sum64(b[:headerSum]))
	return b
}

// TestHeaderNonsense: a right checksum does not make impossible fields right.
func TestHeaderNonsense(t *testing.T) {
	for name, change := range map[string]func(h *Header){
		"no base":                   func(h *Header) { h.Base, h.Cut = 0, 0 },
		"base not aligned":          func(h *Header) { h.Base, h.Cut = 8193, 8193 },
		"base beyond all logs":      func(h *Header) { h.Base = MaxLSN },
		"cut above the base":        func(h *Header) { h.Cut = h.Base + 8 },
		"predecessor above the cut": func(h *Header) { h.PredBase = h.Base + 8 },
		"predecessor without epoch": func(h *Header) { h.PredEpoch = 0 },
		"predecessor without base":  func(h *Header) { h.PredBase = 0 },
		"predecessor younger":       func(h *Header) { h.PredEpoch = h.Epoch + 1 },
		"epoch zero":                func(h *Header) { h.Epoch, h.PredEpoch, h.PredBase = 0, 0, 0 },
		"cut below, no predecessor": func(h *Header) { h.Cut, h.PredBase, h.PredEpoch = h.Base-8, 0, 0 },
		"no cut, no predecessor":    func(h *Header) { h.Cut, h.PredBase, h.PredEpoch = 0, 0, 0 },
		"cut not aligned":           func(h *Header) { h.Cut -= 4 },
		"cut below the predecessor": func(h *Header) { h.Cut = h.PredBase - 8 },
		"low water above the base":  func(h *Header) { h.LowWater = h.Base + 8 },
		"low water beyond all logs": func(h *Header) { h.LowWater = 1 << 63 },
		"low water not aligned":     func(h *Header) { h.LowWater = 4 },
		"allocated nothing":         func(h *Header) { h.Allocated = 0 },
		"allocated a negative size": func(h *Header) { h.Allocated = -1 },
	} {
		h := testHeader()
		change(&h)
		if _, err := ParseHeader(h.Append(nil)); !errors.Is(err, ErrCorrupt) || errors.Is(err, ErrVersion) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h := testHeader()
	h.Cut -= 4096 // to the base of its predecessor: a gap, as between two lineages
	if _, err := ParseHeader(h.Append(nil)); err != nil {
		t.Errorf("gap: %v", err)
	}
	for _, at := range []int{68, headerUsed, 2000, headerSum - 1} {
		b := h.Append(nil)
		b[at] = 1
		if _, err := ParseHeader(resum(b)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("reserved byte %d: %v", at, err)
		}
	}
	b := h.Append(nil)
	b[8] = 2
	if _, err := ParseHeader(resum(b)); !errors.Is(err, ErrVersion) || errors.Is(err, ErrCorrupt) {
		t.Errorf("later version: %v", err)
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		base  LSN
		epoch uint32
		name  string
	}{
		{4096, 1, "0000000000001000-00000001.seg"},
		{MaxLSN - 8, 1<<32 - 1, "0ffffffffffffff8-ffffffff.seg"},
	} {
		if got := FileName(c.base, c.epoch); got != c.name {
			t.Errorf("%q, want %q", got, c.name)
		}
		if b, e, ok := ParseFileName(c.name); b != c.base || e != c.epoch || !ok {
			t.Errorf("%q: %d, %d, %v", c.name, b, e, ok)
		}
		torn := TornName(c.name, c.base+8)
		if s, cut, ok := ParseTornName(torn); s != c.name || cut != c.base+8 || !ok {
			t.Errorf("%q: %q, %d, %v", torn, s, cut, ok)
		}
	}
	for _, name := range []string{
		"", ".seg", "1000-1.seg", "0000000000001000-00000001", "0000000000001000_00000001.seg",
		"000000000000100A-00000001.seg", "+000000000001000-00000001.seg", "0000000000001000-00000001.SEG",
		"0000000000001000-00000001.seg.tmp", "../0000000001000-00000001.seg",
	} {
		if _, _, ok := ParseFileName(name); ok {
			t.Errorf("%q is a segment's name", name)
		}
		if _, _, ok := ParseTornName(name + ".torn"); ok {
			t.Errorf("%q.torn is a torn file's name", name)
		}
	}
	if !IsTempName(TempName(77)) || IsTempName("next-7.seg.tmp") || IsTempName("next-0000000G.seg.tmp") {
		t.Error("temporary names")
	}
}

func TestScan(t *testing.T) {
	f := newFile(testHeader())
	var want []string
	for n := range 40 {
		p := strings.Repeat("x", n*n)
		want = append(want, p)
		f.add([]byte(p), f.h.Base)
	}
	end := f.end()
	for name, c := range map[string]struct {
		build func(b []byte) []byte
		stop  Stop
		bad   bool
	}{
		"nothing follows": {func(b []byte) []byte { return b }, StopUnused, false},
		"zeros follow":    {func(b []byte) []byte { return append(b, make([]byte, 999)...) }, StopUnused, false},
		"a footer follows": {func(b []byte) []byte {
			g := *f
			g.b = b
			g.seal()
			return g.b
		}, StopFooter, false},
		"footer and zeros follow": {func(b []byte) []byte {
			g := *f
			g.b = b
			g.seal()
			return append(g.b, make([]byte, 999)...)
		}, StopFooter, false},
		"rubbish follows":       {func(b []byte) []byte { return append(b, strings.Repeat("rubbish ", 9)...) }, StopBad, true},
		"a little rubbish":      {func(b []byte) []byte { return append(b, 1) }, StopBad, true},
		"half a footer follows": {func(b []byte) []byte { return append(b, "frs-foot"...) }, StopBad, true},
		"a footer of another place": {func(b []byte) []byte {
			foot := Footer{End: end + 8, Salt: f.h.Salt}
			return foot.Append(b)
		}, StopBad, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := &file{h: f.h, b: c.build(bytes.Clone(f.b))}
			for _, size := range []int{0, 64, 100, 4096} {
				s := g.scanner(ScanOptions{BufSize: size, Name: "f"})
				got, err := drain(s)
				if s.Stop() != c.stop || s.Pos() != end || errors.Is(err, ErrCorrupt) != c.bad || errors.Is(err, io.EOF) == c.bad {
					t.Fatalf("stopped at %d (%d): %d, %v", s.Pos(), end, s.Stop(), err)
				}
				if strings.Join(got, "|") != strings.Join(want, "|") {
					t.Fatalf("%d payloads, want %d", len(got), len(want))
				}
				if _, again := s.Next(); again.Error() != err.Error() {
					t.Errorf("asked again: %v", again)
				}
			}
		})
	}
}

// TestEveryByteOfAFrame: no changed byte of header, payload or padding passes,
// nor a frame at another place or of another segment.
func TestEveryByteOfAFrame(t *testing.T) {
	f := newFile(testHeader())
	f.add([]byte("hello, frame"), 4096)
	for at := HeaderSize; at < len(f.b); at++ {
		for bit := range 8 {
			g := &file{h: f.h, b: bytes.Clone(f.b)}
			g.b[at] ^= 1 << bit
			if got, err := drain(g.scanner(ScanOptions{})); len(got) > 0 || !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d bit %d: %q, %v", at, bit, got, err)
			}
		}
	}
	moved := &file{h: f.h, b: append(bytes.Clone(f.b), f.b[HeaderSize:]...)}
	if got, err := drain(moved.scanner(ScanOptions{})); len(got) != 1 || !errors.Is(err, ErrCorrupt) {
		t.Errorf("a copy behind itself: %d frames, %v", len(got), err)
	}
	other := &file{h: f.h, b: f.b}
	other.h.Salt++
	if got, err := drain(other.scanner(ScanOptions{})); len(got) > 0 || !errors.Is(err, ErrCorrupt) {
		t.Errorf("another segment's frame: %d frames, %v", len(got), err)
	}
}

// TestFrameNonsense: headers with right checksums and impossible fields, and
// lengths that the file does not have: refused before anything is allocated.
func TestFrameNonsense(t *testing.T) {
	at := testHeader().Base
	for name, h := range map[string]FrameHeader{
		"kind 0":                     {Stored: 1, Raw: 1},
		"kind unknown":               {Kind: 4, Stored: 8, Raw: 8},
		"codec unknown":              {Kind: Data, Codec: 3, Stored: 500, Raw: 600},
		"raw differs":                {Kind: Data, Stored: 8, Raw: 9},
		"too long":                   {Kind: Data, Stored: MaxPayload + 1, Raw: MaxPayload + 1},
		"as long as can be":          {Kind: Data, Stored: 1<<32 - 1, Raw: 1<<32 - 1},
		"longer than the file":       {Kind: Data, Stored: MaxPayload, Raw: MaxPayload},
		"a bomb":                     {Kind: Data, Codec: S2, Stored: 20, Raw: 1 << 31},
		"compressed and not shorter": {Kind: Data, Codec: S2, Stored: 600, Raw: 600},
		"compressed and tiny":        {Kind: Data, Codec: S2, Stored: 20, Raw: 100},
		"durable beyond itself":      {Kind: Data, Stored: 8, Raw: 8, Durable: at + 8},
		"durable not aligned":        {Kind: Data, Stored: 8, Raw: 8, Durable: 4097},
		"a mark of the wrong length": {Kind: Mark, Stored: 16, Raw: 16},
		"a compressed mark":          {Kind: Mark, Codec: S2, Stored: 8, Raw: 600},
	} {
		f := newFile(testHeader())
		b := make([]byte, FrameHeaderSize)
		f.stamp.Put(b, f.end(), &h)
		f.b = append(append(f.b, b...), make([]byte, 1000)...)
		if got, err := drain(f.scanner(ScanOptions{})); len(got) > 0 || !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %d frames, %v", name, len(got), err)
		}
		var r Reader
		if _, _, err := r.Read(bytes.NewReader(f.b), &f.h, at, f.end(), nil, new(Codecs)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: read: %v", name, err)
		}
	}
}

// TestCodecs: what compresses comes back, through scanner and reader, and what
// was tampered with under a right hash is refused.
func TestCodecs(t *testing.T) {
	c := new(Codecs)
	r := rand.New(rand.NewPCG(1, 2))
	for _, codec := range []Codec{S2, Zstd} {
		for _, n := range []int{MinCompress, 5000, 1 << 20, MaxCompress} {
			raw := make([]byte, n)
			for i := range raw {
				raw[i] = byte(r.IntN(3))
			}
			stored, ok := c.Compress(codec, nil, raw)
			if !ok {
				t.Fatalf("%v: %d bytes do not compress", codec, n)
			}
			f := newFile(testHeader())
			f.frame(FrameHeader{Kind: Data, Codec: codec, Raw: uint32(n)}, stored)
			got, err := drain(f.scanner(ScanOptions{}))
			if len(got) != 1 || got[0] != string(raw) || !errors.Is(err, io.EOF) {
				t.Fatalf("%v, %d bytes: %v", codec, n, err)
			}
			var rd Reader
			p, h, err := rd.Read(bytes.NewReader(f.b), &f.h, f.h.Base, f.end(), nil, c)
			if err != nil || !bytes.Equal(p, raw) || h.Codec != codec {
				t.Fatalf("%v, %d bytes: read: %v", codec, n, err)
			}
			for _, lie := range []uint32{uint32(n) - 1, uint32(len(stored)) + 1} {
				f := newFile(testHeader())
				f.frame(FrameHeader{Kind: Data, Codec: codec, Raw: max(lie, MinCompress)}, stored)
				if got, err := drain(f.scanner(ScanOptions{})); lie != uint32(n) && (len(got) > 0 || !errors.Is(err, ErrCorrupt)) && lie >= MinCompress {
					t.Fatalf("%v: a raw length of %d for %d bytes: %v", codec, lie, n, err)
				}
			}
		}
		if _, ok := c.Compress(codec, nil, make([]byte, MinCompress-1)); ok {
			t.Errorf("%v: compressed a short payload", codec)
		}
		if _, ok := c.Compress(codec, nil, make([]byte, MaxCompress+1)); ok {
			t.Errorf("%v: compressed a long payload", codec)
		}
		noise := make([]byte, 4096)
		for i := range noise {
			noise[i] = byte(r.Uint32())
		}
		if out, ok := c.Compress(codec, []byte("before"), noise); ok || string(out) != "before" {
			t.Errorf("%v: noise compressed to %d bytes", codec, len(out))
		}
	}
}

func TestReadErrorIsNotDamage(t *testing.T) {
	f := newFile(testHeader())
	f.add(make([]byte, 9000), 0)
	boom := errors.New("boom")
	s := NewScanner(failing{boom}, int64(len(f.b)), f.h, ScanOptions{})
	if _, err := s.Next(); !errors.Is(err, boom) || errors.Is(err, ErrCorrupt) || s.Stop() != StopRead {
		t.Errorf("scan: %v", err)
	}
	var r Reader
	if _, _, err := r.Read(failing{boom}, &f.h, f.h.Base, f.end(), nil, nil); !errors.Is(err, boom) || errors.Is(err, ErrCorrupt) {
		t.Errorf("read: %v", err)
	}
	if _, err := ReadFileHeader(failing{boom}); !errors.Is(err, boom) || errors.Is(err, ErrCorrupt) {
		t.Errorf("header: %v", err)
	}
	if _, err := FindEvidence(failing{boom}, int64(len(f.b)), f.h, f.h.Base); !errors.Is(err, boom) {
		t.Errorf("evidence: %v", err)
	}
	if _, err := HashFile(failing{boom}, 10); !errors.Is(err, boom) {
		t.Errorf("hash: %v", err)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// TestEvidence: what the headers behind a bad frame promise, wherever they lie.
func TestEvidence(t *testing.T) {
	h := testHeader()
	h.Base, h.Cut = 4096, 4096
	h.PredBase, h.PredEpoch = 0, 0
	f := newFile(h)
	f.add(make([]byte, 100), 0)
	bad := f.end()
	f.add(make([]byte, 2_000_000), 0) // wider than a window
	third := f.end()
	f.add([]byte("third"), third)
	f.add(make([]byte, 9), 4096)
	end := f.end()
	f.b[h.Offset(bad)+50] ^= 1
	f.b = append(f.b, make([]byte, 5000)...)
	e, err := FindEvidence(bytes.NewReader(f.b), int64(len(f.b)), h, bad)
	if err != nil || e.Durable != third || e.Last != end || e.Frames != 3 {
		t.Errorf("%+v, %v", e, err)
	}
	if want := h.Offset(end) - 16; e.Used < want || e.Used > h.Offset(end) {
		t.Errorf("used %d, frames end at %d", e.Used, h.Offset(end))
	}
	g := newFile(h)
	g.b = append(g.b, make([]byte, 5000)...)
	if e, err := FindEvidence(bytes.NewReader(g.b), int64(len(g.b)), h, h.Base); err != nil || e != (Evidence{}) {
		t.Errorf("zeros: %+v, %v", e, err)
	}
	// A file that is shorter than it was said to be.
	if _, err := FindEvidence(bytes.NewReader(f.b[:h.Offset(bad)+40]), 1<<40, h, bad); err != nil {
		t.Error(err)
	}
}

func TestRestamp(t *testing.T) {
	f := newFile(testHeader())
	f.add([]byte("moves to another file"), 4096)
	h := testHeader()
	h.Salt, h.Epoch = 99, 8
	g := newFile(h)
	frame := bytes.Clone(f.b[HeaderSize:])
	NewStamp(h.Salt).Restamp(frame, f.b[HeaderSize:], h.Base)
	g.b = append(g.b, frame...)
	got, err := drain(g.scanner(ScanOptions{}))
	if len(got) != 1 || got[0] != "moves to another file" || !errors.Is(err, io.EOF) {
		t.Errorf("%q, %v", got, err)
	}
}

// FuzzScan: any bytes behind a header. No panic, nothing returned that is not
// in the file, and what is accepted encodes to the same bytes.
func FuzzScan(f *testing.F) {
	h := testHeader()
	g := newFile(h)
	g.add([]byte("seed"), 4096)
	g.frame(FrameHeader{Kind: Mark, Raw: 8}, make([]byte, 8))
	f.Add(g.b[HeaderSize:])
	g.seal()
	f.Add(g.b[HeaderSize:])
	f.Fuzz(func(t *testing.T, data []byte) {
		in := &file{h: h, b: append(h.Append(nil), data...)}
		out := newFile(h)
		s := in.scanner(ScanOptions{})
		for {
			fr, err := s.Next()
			if err != nil {
				break
			}
			fh := PeekFrame(fr.Bytes)
			if fr.Codec == None {
				out.frame(FrameHeader{Kind: fr.Kind, Raw: fh.Raw, Durable: fr.Durable}, fr.Payload)
			} else {
				out.b = append(out.b, fr.Bytes...)
			}
		}
		if !bytes.HasPrefix(in.b, out.b) {
			t.Fatal("accepted frames do not encode to the same bytes")
		}
		if _, err := FindEvidence(bytes.NewReader(in.b), int64(len(in.b)), h, s.Pos()); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzHeader: what parses encodes to the same bytes.
func FuzzHeader(f *testing.F) {
	h := testHeader()
	f.Add(h.Append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= HeaderSize {
			data = resum(bytes.Clone(data[:HeaderSize]))
		}
		if h, err := ParseHeader(data); err == nil && !bytes.Equal(h.Append(nil), data) {
			t.Fatal("header does not encode to the same bytes")
		}
	})
}
