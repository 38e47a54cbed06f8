package index

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/internal/op"
)

// A checkpoint image is one file:
//
//	0        header, a block of its own
//	4096     parts, each a sequence of entries, in any order
//	...      meta: the regions and where their parts are
//
// docs/format/image.md has the fields. Integers are little-endian. Every byte
// is covered by a checksum: the header's, a part's (in the meta) or the meta's
// (in the header).

// Part of the file format: never change.
const (
	imageMagic      = "frsIMAGE"
	imageVersion    = 1
	imageHeaderSize = 4096
	imageSumAt      = imageHeaderSize - 8
	imageFieldsEnd  = 128 // zeros follow

	// MinPartBits and MaxPartBits bound how many parts a region has: 64 to 4096.
	MinPartBits = ShardBits
	MaxPartBits = 12

	imagePartSize   = 24
	imageEntryFixed = 24
	maxImageMeta    = 1 << 30
	maxImagePart    = 1 << 30

	// lsnAlign is the alignment of positions in a log; the first is not zero.
	lsnAlign = 8

	imageFlagExpiry = 1 << 62
	imageFlagOp     = 1 << 63
)

// ErrImageVersion: the image was written by a later version. It is not damaged.
var ErrImageVersion = errors.New("index: unsupported image version")

// ErrImage: bytes are not what an image holds.
var ErrImage = errors.New("index: damaged image")

func imageError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrImage, fmt.Sprintf(format, args...))
}

// ImageHeader says what an image is of.
type ImageHeader struct {
	StoreID, Lineage [16]byte
	Generation       uint32
	// The segment that holds the last byte below To: base, epoch, salt. They
	// tell the histories of two copies of a store apart.
	SegmentBase uint64
	Epoch       uint32
	SegmentSalt uint64
	// From is where replay starts: every record below it is in the image or
	// was superseded. To is the end of the log when the last part was copied:
	// no record at or above it is in the image.
	From, To uint64
	// Time is the store's time when the image was finished, Unix nanoseconds.
	Time int64
	// NextRegion is above every region id given until then.
	NextRegion uint32
	Entries    uint64

	metaAt, metaLen, metaSum uint64
}

// ImageRegion is a region in an image.
type ImageRegion struct {
	ID       uint32
	Name     string
	Options  op.RegionOptions
	Position uint64 // LSN of its catalogue record
	Floor    uint64 // entries at lower positions were cleared
	PartBits uint8  // it has 1<<PartBits parts, by the upper bits of the hash
	Parts    []ImagePart
}

// ImagePart is where the entries of one part are.
type ImagePart struct {
	Offset  int64 // in the file
	Length  int64 // bytes
	Entries int   // a count
	Sum     uint64
}

func (h *ImageHeader) encode() []byte {
	b := make([]byte, 0, imageHeaderSize)
	b = append(b, imageMagic...)
	b = le.AppendUint32(b, imageVersion)
	b = le.AppendUint32(b, h.Generation)
	b = append(b, h.StoreID[:]...)
	b = append(b, h.Lineage[:]...)
	b = le.AppendUint32(b, h.Epoch)
	b = le.AppendUint32(b, h.NextRegion)
	for _, v := range []uint64{
		h.From, h.To, uint64(h.Time), h.Entries, h.metaAt, h.metaLen, h.metaSum, h.SegmentBase, h.SegmentSalt,
	} {
		b = le.AppendUint64(b, v)
	}
	b = append(b, make([]byte, imageSumAt-len(b))...)
	return le.AppendUint64(b, xxhash.Sum64(b))
}

var le = binary.LittleEndian

func decodeImageHeader(b []byte) (h ImageHeader, err error) {
	if len(b) != imageHeaderSize || string(b[:8]) != imageMagic {
		return h, imageError("no image header")
	}
	// The checksum's place is the same in every version, so that an intact
	// header of a later version is told from a damaged one.
	if xxhash.Sum64(b[:imageSumAt]) != le.Uint64(b[imageSumAt:]) {
		return h, imageError("header checksum")
	}
	if v := le.Uint32(b[8:]); v != imageVersion {
		return h, fmt.Errorf("%w: %d, this program reads %d", ErrImageVersion, v, imageVersion)
	}
	h.Generation = le.Uint32(b[12:])
	copy(h.StoreID[:], b[16:])
	copy(h.Lineage[:], b[32:])
	h.Epoch, h.NextRegion = le.Uint32(b[48:]), le.Uint32(b[52:])
	h.From, h.To, h.Time = le.Uint64(b[56:]), le.Uint64(b[64:]), int64(le.Uint64(b[72:]))
	h.Entries, h.metaAt, h.metaLen, h.metaSum = le.Uint64(b[80:]), le.Uint64(b[88:]), le.Uint64(b[96:]), le.Uint64(b[104:])
	h.SegmentBase, h.SegmentSalt = le.Uint64(b[112:]), le.Uint64(b[120:])
	if h.metaAt < imageHeaderSize || h.metaLen > maxImageMeta || h.From > h.To || h.To > MaxLSN {
		return h, imageError("header fields")
	}
	for _, reserved := range b[imageFieldsEnd:imageSumAt] {
		if reserved != 0 {
			return h, imageError("reserved bytes of the header")
		}
	}
	return h, nil
}

func appendImageRegion(b []byte, r ImageRegion) []byte {
	b = le.AppendUint32(b, r.ID)
	b = le.AppendUint64(b, r.Position)
	b = le.AppendUint64(b, r.Floor)
	options := op.AppendRegionOptions(nil, r.Options)
	b = append(b, r.PartBits, byte(len(r.Name)))
	b = le.AppendUint16(b, uint16(len(options)))
	b = append(b, r.Name...)
	b = append(b, options...)
	for _, p := range r.Parts {
		b = le.AppendUint64(b, uint64(p.Offset))
		b = le.AppendUint32(b, uint32(p.Length))
		b = le.AppendUint32(b, uint32(p.Entries))
		b = le.AppendUint64(b, p.Sum)
	}
	return b
}

// decodeImageRegion takes one region off the front of b. end is where the
// parts must end.
func decodeImageRegion(b []byte, end int64) (r ImageRegion, rest []byte, err error) {
	const fixed = 24
	if len(b) < fixed {
		return r, nil, imageError("meta cut short")
	}
	r.ID, r.Position, r.Floor = le.Uint32(b), le.Uint64(b[4:]), le.Uint64(b[12:])
	r.PartBits = b[20]
	name, options := int(b[21]), int(le.Uint16(b[22:]))
	b = b[fixed:]
	if r.PartBits < MinPartBits || r.PartBits > MaxPartBits || len(b) < name+options+imagePartSize<<r.PartBits {
		return r, nil, imageError("meta of region %d", r.ID)
	}
	r.Name = string(b[:name])
	if err := op.CheckName(r.Name); err != nil {
		return r, nil, imageError("name of region %d: %v", r.ID, err)
	}
	if r.Options, err = op.DecodeRegionOptions(b[name : name+options]); err != nil {
		return r, nil, fmt.Errorf("region %q: %w", r.Name, err)
	}
	b = b[name+options:]
	r.Parts = make([]ImagePart, 1<<r.PartBits)
	for i := range r.Parts {
		p := &r.Parts[i]
		*p = ImagePart{Offset: int64(le.Uint64(b)), Length: int64(le.Uint32(b[8:])), Entries: int(le.Uint32(b[12:])), Sum: le.Uint64(b[16:])}
		if p.Offset < imageHeaderSize || p.Length > end-p.Offset || int64(le.Uint32(b[12:]))*imageEntryFixed > p.Length {
			return r, nil, imageError("place of part %d of region %q", i, r.Name)
		}
		b = b[imagePartSize:]
	}
	return r, b, nil
}

// ImageEntry is an entry in an image: everything but the value.
type ImageEntry struct {
	Key       []byte
	LSN       uint64
	ValueLen  int
	ValueHash uint64
	Expiry    int64
	Op        uint32
	InBatch   bool
}

// AppendImageEntry appends the encoding of e to dst.
func AppendImageEntry(dst []byte, e ImageEntry) []byte {
	word := e.LSN & MaxLSN
	if e.Expiry != 0 {
		word |= imageFlagExpiry
	}
	if e.InBatch {
		word |= imageFlagOp
	}
	dst = le.AppendUint64(dst, word)
	dst = le.AppendUint32(dst, uint32(e.ValueLen))
	dst = le.AppendUint32(dst, uint32(len(e.Key)))
	dst = le.AppendUint64(dst, e.ValueHash)
	if e.Expiry != 0 {
		dst = le.AppendUint64(dst, uint64(e.Expiry))
	}
	if e.InBatch {
		dst = le.AppendUint32(dst, e.Op)
	}
	return append(dst, e.Key...)
}

// measureEntry returns the position and the length in bytes of the entry whose
// fixed part b begins with.
func measureEntry(b []byte) (lsn uint64, size int64) {
	word := le.Uint64(b)
	size = imageEntryFixed + int64(le.Uint32(b[12:]))
	if word&imageFlagExpiry != 0 {
		size += 8
	}
	if word&imageFlagOp != 0 {
		size += 4
	}
	return word & MaxLSN, size
}

// NextImageEntry takes one entry off the front of a part; its key is a view.
func NextImageEntry(b []byte) (e ImageEntry, rest []byte, err error) {
	if len(b) < imageEntryFixed {
		return e, nil, imageError("entry cut short")
	}
	word := le.Uint64(b)
	keyLen := le.Uint32(b[12:])
	e.LSN, e.ValueLen, e.ValueHash = word&MaxLSN, int(le.Uint32(b[8:])), le.Uint64(b[16:])
	if word&^(MaxLSN|imageFlagExpiry|imageFlagOp) != 0 || keyLen > MaxKey || le.Uint32(b[8:]) > MaxValue {
		return e, nil, imageError("fields of an entry")
	}
	if e.LSN == 0 || e.LSN%lsnAlign != 0 {
		return e, nil, imageError("entry at LSN %d", e.LSN)
	}
	b = b[imageEntryFixed:]
	if word&imageFlagExpiry != 0 {
		if len(b) < 8 || le.Uint64(b) == 0 {
			return e, nil, imageError("expiry of an entry")
		}
		e.Expiry, b = int64(le.Uint64(b)), b[8:]
	}
	if word&imageFlagOp != 0 {
		if len(b) < 4 {
			return e, nil, imageError("entry cut short")
		}
		e.Op, e.InBatch, b = le.Uint32(b), true, b[4:]
	}
	if int64(len(b)) < int64(keyLen) {
		return e, nil, imageError("key of an entry")
	}
	e.Key = b[:keyLen:keyLen]
	return e, b[keyLen:], nil
}
