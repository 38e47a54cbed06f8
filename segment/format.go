package segment

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/cespare/xxhash/v2"
)

// LSN is a byte address in a log. A frame's LSN is where the frame starts, the
// next frame's LSN is where it ends. All LSNs are multiples of [Align]; zero
// means none. Every LSN is below [MaxLSN]: indexes keep flags in the bits above.
type LSN uint64

// ID names a store or a lineage.
type ID [16]byte

// Part of the file format: never change.
const (
	// Version is the format version written and read by this package.
	Version = 1
	// Align is the alignment of frames.
	Align = 8
	// HeaderSize is the size of the segment header, which fills its own block
	// so that no later write ever touches its sectors.
	HeaderSize = 4096
	// FrameHeaderSize is the size of a frame's header.
	FrameHeaderSize = 32
	// FooterSize is the size of the block that seals a segment.
	FooterSize = 64
	// FirstLSN is where a fresh log starts.
	FirstLSN LSN = 4096
	// MaxLSN is the first address beyond every log.
	MaxLSN LSN = 1 << 60
	// MaxPayload is the largest payload of a frame.
	MaxPayload = 1<<30 + 64<<20
	// MinCompress and MaxCompress bound the payloads that may be stored
	// compressed. The upper bound limits what a decoder allocates.
	MinCompress = 512
	MaxCompress = 4 << 20

	headerMagic = "frs-seg\n"
	footerMagic = "frs-foot" // byte 4, a frame's kind, is no kind: a footer never parses as a frame
	headerSum   = HeaderSize - 8
	headerUsed  = 112
	footerSum   = FooterSize - 8
)

// Kind says what a frame's payload is. Part of the file format: never change.
type Kind uint8

const (
	// Data is a record of the layer above.
	Data Kind = 1
	// Mark carries a durable mark when no data follows that could; its payload
	// is the store time, 8 bytes.
	Mark Kind = 2
	// LowWater says that everything below the LSN in its payload, 8 bytes, is
	// not needed any more.
	LowWater Kind = 3

	maxKind = LowWater
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case Data:
		return "data"
	case Mark:
		return "mark"
	case LowWater:
		return "low-water"
	}
	return "invalid"
}

// FrameSize returns the bytes that a frame with the given stored payload
// occupies: header, payload, zero padding.
func FrameSize(stored int) int64 {
	return FrameHeaderSize + (int64(stored)+Align-1)&^(Align-1)
}

// Header is the first block of a segment file.
type Header struct {
	Store   ID
	Lineage ID
	Base    LSN    // LSN of the first frame
	Epoch   uint32 // grows with every open that writes and every truncation of the back
	// PredBase and PredEpoch name the segment that this one continues; both
	// zero: none.
	PredBase  LSN
	PredEpoch uint32
	// Cut is where this segment ends its predecessor: bytes of lower epochs at
	// Cut or above are not part of the log. It equals Base except where a new
	// lineage leaves a gap.
	Cut       LSN
	LowWater  LSN    // low-water mark when the segment was begun; at most Base
	HighTime  int64  // highest store time seen when it was begun, unix ns
	Salt      uint64 // random; under every frame's checksum
	Allocated int64  // the file was at least this long when it got its name
}

// Offset returns the file offset of an LSN of this segment.
func (h *Header) Offset(l LSN) int64 { return HeaderSize + int64(l-h.Base) }

// LSNAt returns the LSN at a file offset.
func (h *Header) LSNAt(off int64) LSN { return h.Base + LSN(off-HeaderSize) }

// Append appends the header's HeaderSize bytes to dst.
func (h *Header) Append(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	b := dst[at:]
	le := binary.LittleEndian
	copy(b, headerMagic)
	le.PutUint32(b[8:], Version)
	le.PutUint32(b[12:], h.Epoch)
	copy(b[16:], h.Store[:])
	copy(b[32:], h.Lineage[:])
	le.PutUint64(b[48:], uint64(h.Base))
	le.PutUint64(b[56:], uint64(h.PredBase))
	le.PutUint32(b[64:], h.PredEpoch)
	le.PutUint64(b[72:], uint64(h.Cut))
	le.PutUint64(b[80:], uint64(h.LowWater))
	le.PutUint64(b[88:], uint64(h.HighTime))
	le.PutUint64(b[96:], h.Salt)
	le.PutUint64(b[104:], uint64(h.Allocated))
	le.PutUint64(b[headerSum:], xxhash.Sum64(b[:headerSum]))
	return dst
}

// ParseHeader reads a segment header. Damage is reported as [ErrCorrupt]; an
// intact header of another format version as [ErrVersion].
func ParseHeader(b []byte) (Header, error) {
	var h Header
	if len(b) < HeaderSize {
		return h, corruptf("header has %d bytes, want %d", len(b), HeaderSize)
	}
	b = b[:HeaderSize]
	le := binary.LittleEndian
	if string(b[:8]) != headerMagic {
		return h, corruptf("not a segment file: wrong magic")
	}
	if le.Uint64(b[headerSum:]) != xxhash.Sum64(b[:headerSum]) {
		return h, corruptf("segment header checksum mismatch")
	}
	// Magic, version and the checksum's place are the same in every version,
	// so an intact header of a later version is told from a damaged one.
	if v := le.Uint32(b[8:]); v != Version {
		return h, &VersionError{Version: v}
	}
	h.Epoch = le.Uint32(b[12:])
	copy(h.Store[:], b[16:])
	copy(h.Lineage[:], b[32:])
	h.Base = LSN(le.Uint64(b[48:]))
	h.PredBase = LSN(le.Uint64(b[56:]))
	h.PredEpoch = le.Uint32(b[64:])
	h.Cut = LSN(le.Uint64(b[72:]))
	h.LowWater = LSN(le.Uint64(b[80:]))
	h.HighTime = int64(le.Uint64(b[88:]))
	h.Salt = le.Uint64(b[96:])
	h.Allocated = int64(le.Uint64(b[104:]))
	if le.Uint32(b[68:]) != 0 || !IsZero(b[headerUsed:headerSum]) {
		return h, corruptf("segment header: reserved bytes are not zero")
	}
	return h, h.check()
}

// check refuses values that no writer produces.
func (h *Header) check() error {
	switch {
	case h.Base == 0 || h.Base >= MaxLSN || h.Base%Align != 0:
		return corruptf("segment header: base LSN %d", h.Base)
	case h.Epoch == 0:
		return corruptf("segment header: epoch 0")
	case h.Cut > h.Base || h.Cut%Align != 0:
		return corruptf("segment header: cut %d above base %d", h.Cut, h.Base)
	case h.Cut != h.Base && h.PredBase == 0:
		return corruptf("segment header: cut %d below base %d, and no predecessor", h.Cut, h.Base)
	case h.PredBase%Align != 0 || h.PredBase > h.Cut:
		return corruptf("segment header: predecessor at %d, cut %d", h.PredBase, h.Cut)
	case (h.PredBase == 0) != (h.PredEpoch == 0) || h.PredEpoch > h.Epoch:
		return corruptf("segment header: predecessor epoch %d, own %d", h.PredEpoch, h.Epoch)
	case h.LowWater%Align != 0 || h.LowWater > h.Base:
		return corruptf("segment header: low-water mark %d, base %d", h.LowWater, h.Base)
	case h.Allocated < HeaderSize:
		return corruptf("segment header: allocated size %d", h.Allocated)
	}
	return nil
}

// FrameHeader is the fixed part of a frame.
type FrameHeader struct {
	Kind    Kind
	Codec   Codec
	Stored  uint32 // payload bytes in the file
	Raw     uint32 // payload bytes once decompressed
	Durable LSN    // how far the log was known durable when the frame was appended
	Hash    uint64 // xxhash64 of the stored bytes
}

// Size returns the bytes the whole frame occupies.
func (h *FrameHeader) Size() int64 { return FrameSize(int(h.Stored)) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Stamp computes and checks the checksums of one segment's frame headers. It
// holds scratch space, so that neither direction allocates, and must not be
// used concurrently.
type Stamp struct {
	_    [0]uint64 // aligns what follows
	lsn  [8]byte
	seed uint32
}

// NewStamp returns a Stamp for a segment with the given salt.
func NewStamp(salt uint64) *Stamp {
	s := new(Stamp)
	s.Reset(salt)
	return s
}

// Reset makes s the stamp of another segment.
func (s *Stamp) Reset(salt uint64) {
	binary.LittleEndian.PutUint64(s.lsn[:], salt)
	s.seed = crc32.Update(0, castagnoli, s.lsn[:])
}

// sum returns the checksum of the frame header b at the given position: over
// the salt, the position and the header behind its checksum.
func (s *Stamp) sum(b []byte, at LSN) uint32 {
	binary.LittleEndian.PutUint64(s.lsn[:], uint64(at))
	return crc32.Update(crc32.Update(s.seed, castagnoli, s.lsn[:]), castagnoli, b[4:FrameHeaderSize])
}

// Put writes a frame header for the given position to dst[:FrameHeaderSize].
func (s *Stamp) Put(dst []byte, at LSN, h *FrameHeader) {
	dst = dst[:FrameHeaderSize]
	le := binary.LittleEndian
	le.PutUint32(dst[4:], uint32(h.Kind)|uint32(h.Codec)<<8)
	le.PutUint64(dst[8:], uint64(h.Stored)|uint64(h.Raw)<<32)
	le.PutUint64(dst[16:], uint64(h.Durable))
	le.PutUint64(dst[24:], h.Hash)
	le.PutUint32(dst, s.sum(dst, at))
}

// Restamp copies the valid frame header src, of any segment, to dst with this
// segment's checksum: how a recovered tail moves to a new file.
func (s *Stamp) Restamp(dst, src []byte, at LSN) {
	copy(dst[4:FrameHeaderSize], src[4:])
	binary.LittleEndian.PutUint32(dst, s.sum(dst, at))
}

// Parse reads the frame header at the given position into h and checks all that
// can be known without the payload. limit is the LSN that the frame must not
// pass: no length that Parse accepts reaches beyond it. After an error h is not
// to be used.
func (s *Stamp) Parse(h *FrameHeader, src []byte, at, limit LSN) error {
	if err := h.parse(src, at); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(src) != s.sum(src, at) {
		return errFrameSum
	}
	if at >= limit || LSN(h.Size()) > limit-at {
		return errFrameLong
	}
	return nil
}

// parse decodes a frame header and refuses values that no writer produces. It
// does not look at the checksum. It fills h field by field: a copy of a struct
// just written waits until the processor's earlier stores are in its cache, and
// those of a loading store are to memory that is not.
func (h *FrameHeader) parse(src []byte, at LSN) error {
	src = src[:FrameHeaderSize]
	le := binary.LittleEndian
	h.Kind, h.Codec = Kind(src[4]), Codec(src[5])
	h.Stored, h.Raw = le.Uint32(src[8:]), le.Uint32(src[12:])
	h.Durable = LSN(le.Uint64(src[16:]))
	h.Hash = le.Uint64(src[24:])
	switch {
	case h.Kind == 0 || h.Kind > maxKind:
		return errFrameKind
	case src[6]|src[7] != 0:
		return errFrameReserved
	case h.Stored > MaxPayload || h.Durable > at || h.Durable%Align != 0:
		return errFrameField
	case h.Kind != Data && (h.Codec != None || h.Stored != 8):
		return errFrameField
	case h.Codec == None && h.Raw != h.Stored:
		return errFrameField
	case h.Codec != None && (h.Codec > maxCodec || h.Stored >= h.Raw || h.Raw > MaxCompress || h.Raw < MinCompress):
		return errFrameField
	}
	return nil
}

// Footer seals a segment. It lies right behind the last frame, outside the LSN
// space. It is optional for reading.
type Footer struct {
	Frames  uint64
	End     LSN    // end of the last frame
	Durable LSN    // highest durable mark among the frames
	Hash    uint64 // xxhash64 of the file's bytes before the footer
	Salt    uint64 // the header's
}

// Append appends the footer's FooterSize bytes to dst.
func (f *Footer) Append(dst []byte) []byte {
	var b [FooterSize]byte
	le := binary.LittleEndian
	copy(b[:], footerMagic)
	le.PutUint32(b[8:], Version)
	le.PutUint64(b[16:], f.Frames)
	le.PutUint64(b[24:], uint64(f.End))
	le.PutUint64(b[32:], uint64(f.Durable))
	le.PutUint64(b[40:], f.Hash)
	le.PutUint64(b[48:], f.Salt)
	le.PutUint64(b[footerSum:], xxhash.Sum64(b[:footerSum]))
	return append(dst, b[:]...)
}

// ParseFooter reads a footer of the segment with header h that lies at LSN at.
// Its Hash has not been compared with the file.
func ParseFooter(b []byte, h *Header, at LSN) (Footer, error) {
	var f Footer
	if len(b) < FooterSize || string(b[:8]) != footerMagic {
		return f, corruptf("no footer")
	}
	b = b[:FooterSize]
	le := binary.LittleEndian
	if le.Uint64(b[footerSum:]) != xxhash.Sum64(b[:footerSum]) {
		return f, corruptf("footer checksum mismatch")
	}
	f = Footer{
		Frames:  le.Uint64(b[16:]),
		End:     LSN(le.Uint64(b[24:])),
		Durable: LSN(le.Uint64(b[32:])),
		Hash:    le.Uint64(b[40:]),
		Salt:    le.Uint64(b[48:]),
	}
	if le.Uint32(b[8:]) != Version || le.Uint32(b[12:]) != 0 {
		return f, corruptf("footer version or reserved bytes")
	}
	if f.Salt != h.Salt || f.End != at || f.Durable > at {
		return f, corruptf("footer of another segment or place")
	}
	return f, nil
}

// IsZero reports whether all bytes are zero.
func IsZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
