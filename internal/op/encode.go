package op

import (
	"encoding/binary"
	"math/bits"
)

// Put is what a put record says.
type Put struct {
	Region     uint32
	Key, Value []byte // borrowed
	// Expiry is the absolute time in Unix nanoseconds from which on the entry
	// is absent; 0: never. It must not be negative.
	Expiry int64
	// Version is the LSN at which this value first entered the log, set on a
	// record that compaction moved; 0: this record is the first.
	Version uint64
}

// PutSize returns the exact number of bytes [AppendPut] appends.
func PutSize(region uint32, keyLen, valueLen int, expiry, version bool) int {
	n := 2 + uvarintLen(uint64(region)) + uvarintLen(uint64(keyLen)) + keyLen + valueLen
	if expiry {
		n += 8
	}
	if version {
		n += 8
	}
	return n
}

// Size returns the exact number of bytes [AppendPut] appends for p.
func (p Put) Size() int {
	return PutSize(p.Region, len(p.Key), len(p.Value), p.Expiry != 0, p.Version != 0)
}

// AppendPut appends the encoding of p to dst and returns the extended buffer.
// REQUIRES: key and value within the limits, expiry not negative.
func AppendPut(dst []byte, p Put) []byte {
	dst = append(dst, byte(KindPut), putFlags(p.Expiry, p.Version))
	dst = binary.AppendUvarint(dst, uint64(p.Region))
	if p.Expiry != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(p.Expiry))
	}
	if p.Version != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, p.Version)
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.Key)))
	dst = append(dst, p.Key...)
	return append(dst, p.Value...)
}

func putFlags(expiry int64, version uint64) (f byte) {
	if expiry != 0 {
		f |= flagExpiry
	}
	if version != 0 {
		f |= flagVersion
	}
	return f
}

// DeleteSize returns the exact number of bytes [AppendDelete] appends.
func DeleteSize(region uint32, keyLen int) int {
	return 1 + uvarintLen(uint64(region)) + keyLen
}

// AppendDelete appends a delete of key in region to dst.
// REQUIRES: key within the limit.
func AppendDelete(dst []byte, region uint32, key []byte) []byte {
	return append(appendRegion(dst, KindDelete, region), key...)
}

// AppendClear appends a clear of region to dst.
func AppendClear(dst []byte, region uint32) []byte {
	return appendRegion(dst, KindClear, region)
}

// AppendRegionDrop appends a drop of region to dst.
func AppendRegionDrop(dst []byte, region uint32) []byte {
	return appendRegion(dst, KindRegionDrop, region)
}

// Region is what a region create or alter record says.
type Region struct {
	ID      uint32
	Name    string // create only
	Options RegionOptions
	Version uint64 // as for [Put]
}

// AppendRegionCreate appends the creation of a region to dst.
// REQUIRES: a valid name.
func AppendRegionCreate(dst []byte, r Region) []byte {
	dst = appendRegionHeader(dst, KindRegionCreate, r)
	dst = append(dst, byte(len(r.Name)))
	dst = append(dst, r.Name...)
	return AppendRegionOptions(dst, r.Options)
}

// AppendRegionAlter appends a change of a region's options to dst; r.Name is
// not part of it.
func AppendRegionAlter(dst []byte, r Region) []byte {
	return AppendRegionOptions(appendRegionHeader(dst, KindRegionAlter, r), r.Options)
}

func appendRegionHeader(dst []byte, k Kind, r Region) []byte {
	dst = append(dst, byte(k), putFlags(0, r.Version))
	dst = binary.AppendUvarint(dst, uint64(r.ID))
	if r.Version != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, r.Version)
	}
	return dst
}

func appendRegion(dst []byte, k Kind, region uint32) []byte {
	return binary.AppendUvarint(append(dst, byte(k)), uint64(region))
}

// uvarintLen returns the length of v as a uvarint.
func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }
