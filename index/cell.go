package index

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/offheap"
)

// A cell is one entry in memory, in one allocation:
//
//	offset  size
//	0       8     LSN
//	8       4     value length in bytes, resident or not
//	12      4     key length (17 bits) | flags (15 bits), accessed atomically
//	16      8     expiry, only with FlagExpiry
//	..      4     op number, only with FlagOp; noOp: none
//	..      n     key
//	..      m     value; with FlagNoValue 8 bytes, its hash
//
// The LSN, the op number and the flags may change in place, under the shard's
// exclusive lock (the recency flag under any lock). Everything else is written
// once: a new value is a new cell.
const (
	cellLSN    = 0
	cellValLen = 8
	cellMeta   = 12
	cellHeader = 16

	keyLenBits = 17
	keyLenMask = 1<<keyLenBits - 1

	noOp = ^uint32(0)
)

const (
	// MaxKey is the longest key in bytes.
	MaxKey = 64 << 10
	// MaxValue is the longest value in bytes.
	MaxValue = 256 << 20
	// MaxLSN is the largest log position that a cell holds.
	MaxLSN = 1<<60 - 1
)

// Flags of a cell.
type Flags uint32

const (
	// FlagExpiry: the cell has an expiry time.
	FlagExpiry Flags = 1 << (keyLenBits + iota)
	// FlagOp: the cell has room for an op number, as the entry was once
	// part of a batch.
	FlagOp
	// FlagNoValue: the value is not in memory; its length is still known.
	FlagNoValue
	// FlagTombstone: the entry is a delete that has to be remembered.
	FlagTombstone
	// FlagTransient: the entry has no position in the log.
	FlagTransient
	// FlagRecent: used since the last time an evictor looked.
	FlagRecent
	// FlagSwapped: the position is one in the swap log.
	FlagSwapped
	// FlagUser0 to FlagUser3 mean what the owner of the table wants.
	FlagUser0
	FlagUser1
	FlagUser2
	FlagUser3

	layoutFlags = FlagExpiry | FlagOp | FlagNoValue
)

// CellSpec is the content of a new cell. Key and Value are borrowed.
type CellSpec struct {
	Key   []byte // at most MaxKey bytes
	Value []byte // at most MaxValue bytes; ignored with NoValue
	LSN   uint64 // at most MaxLSN
	// Expiry is stored if it is not 0.
	Expiry int64
	// Op is the entry's number in its batch, with InBatch.
	Op      uint32
	InBatch bool
	// NoValue says that the value, of ValueLen bytes and with the hash
	// ValueHash, stays out of memory.
	NoValue   bool
	ValueLen  int
	ValueHash uint64
	// Flags are set in addition; FlagExpiry, FlagOp and FlagNoValue are
	// not taken from here.
	Flags Flags
}

// resident returns the number of bytes behind the key.
func (s *CellSpec) resident() int {
	if s.NoValue {
		return valueHashSize
	}
	return len(s.Value)
}

// Size returns the bytes that a cell with this content is allocated with;
// [offheap.ClassSize] of it is what it costs.
func (s *CellSpec) Size() int {
	n := cellHeader + len(s.Key) + s.resident()
	if s.Expiry != 0 {
		n += 8
	}
	if s.InBatch {
		n += 4
	}
	return n
}

// NewCell allocates a cell and fills it. The error is one of
// [offheap.Arena.Alloc].
//
// REQUIRES: the limits stated in CellSpec
func NewCell(a *offheap.Arena, s CellSpec) (offheap.Ref, error) {
	ref, err := a.Alloc(s.Size())
	if err != nil {
		return 0, err
	}
	FillCell(a, ref, &s)
	return ref, nil
}

// FillCell makes an allocation of s.Size() bytes a cell.
//
// REQUIRES: the limits stated in CellSpec
func FillCell(a *offheap.Arena, ref offheap.Ref, s *CellSpec) {
	p := a.Ptr(ref)
	flags := s.Flags &^ layoutFlags
	valueLen := len(s.Value)
	off := uintptr(cellHeader)
	if s.Expiry != 0 {
		flags |= FlagExpiry
		*(*int64)(unsafe.Add(p, off)) = s.Expiry
		off += 8
	}
	if s.InBatch {
		flags |= FlagOp
		*(*uint32)(unsafe.Add(p, off)) = s.Op
		off += 4
	}
	if s.NoValue {
		flags |= FlagNoValue
		valueLen = s.ValueLen
	}
	*(*uint64)(p) = s.LSN & MaxLSN
	*(*uint32)(unsafe.Add(p, cellValLen)) = uint32(valueLen)
	*(*uint32)(unsafe.Add(p, cellMeta)) = uint32(len(s.Key)) | uint32(flags)
	body := unsafe.Slice((*byte)(unsafe.Add(p, off)), len(s.Key)+s.resident())
	n := copy(body, s.Key)
	if s.NoValue {
		binary.NativeEndian.PutUint64(body[n:], s.ValueHash)
	} else {
		copy(body[n:], s.Value)
	}
}

// HashValue returns the hash of a value that a cell keeps when the value
// itself is not in memory.
func HashValue(value []byte) uint64 { return xxhash.Sum64(value) }

const valueHashSize = 8

// FreeCell frees a cell, which must be in no table and no tree any more.
func FreeCell(a *offheap.Arena, ref offheap.Ref) {
	a.Free(ref, At(a, ref).Size())
}

// Cell is a view of a cell. It and the slices it returns are valid while the
// shard's lock is held that keeps the cell from being freed.
type Cell struct{ p unsafe.Pointer }

// At returns the cell at ref.
func At(a *offheap.Arena, ref offheap.Ref) Cell { return Cell{a.Ptr(ref)} }

func (c Cell) metaPtr() *uint32 { return (*uint32)(unsafe.Add(c.p, cellMeta)) }
func (c Cell) meta() uint32     { return atomic.LoadUint32(c.metaPtr()) }

// optional returns the bytes of the optional fields: 8 for an expiry and 4 for
// an op number, without branches.
func optional(meta uint32) uintptr {
	return uintptr(meta>>(keyLenBits-3)&8 + meta>>(keyLenBits+1-2)&4)
}

// keyIn returns the key of a cell with the given meta word.
func (c Cell) keyIn(meta uint32) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(c.p, cellHeader+optional(meta))), meta&keyLenMask)
}

// Key returns the key. Do not change it.
func (c Cell) Key() []byte { return c.keyIn(c.meta()) }

// Value returns the value, nil if it is not in memory. Do not change it.
func (c Cell) Value() []byte {
	m := c.meta()
	if Flags(m)&FlagNoValue != 0 {
		return nil
	}
	off := cellHeader + optional(m) + uintptr(m&keyLenMask)
	return unsafe.Slice((*byte)(unsafe.Add(c.p, off)), c.valueLen())
}

// ValueHash returns the hash of the value, in memory or not.
func (c Cell) ValueHash() uint64 {
	m := c.meta()
	if Flags(m)&FlagNoValue == 0 {
		return HashValue(c.Value())
	}
	off := cellHeader + optional(m) + uintptr(m&keyLenMask)
	return binary.NativeEndian.Uint64(unsafe.Slice((*byte)(unsafe.Add(c.p, off)), valueHashSize))
}

func (c Cell) valueLen() uint32 { return *(*uint32)(unsafe.Add(c.p, cellValLen)) }

// ValueLen returns the length of the value in bytes, in memory or not.
func (c Cell) ValueLen() int { return int(c.valueLen()) }

// KeyLen returns the length of the key in bytes.
func (c Cell) KeyLen() int { return int(c.meta() & keyLenMask) }

// Resident reports whether the value is in memory.
func (c Cell) Resident() bool { return Flags(c.meta())&FlagNoValue == 0 }

// LSN returns the log position.
func (c Cell) LSN() uint64 { return atomic.LoadUint64((*uint64)(c.p)) }

// Expiry returns the expiry time, 0 if there is none.
func (c Cell) Expiry() int64 {
	if Flags(c.meta())&FlagExpiry == 0 {
		return 0
	}
	return *(*int64)(unsafe.Add(c.p, cellHeader))
}

// opPtr returns where the op number is, if there is room for one.
func (c Cell) opPtr() (*uint32, bool) {
	m := c.meta()
	if Flags(m)&FlagOp == 0 {
		return nil, false
	}
	return (*uint32)(unsafe.Add(c.p, cellHeader+optional(m)-4)), true
}

// Op returns the entry's number in the batch at LSN; ok is false if the record
// there is not a batch.
func (c Cell) Op() (op uint32, ok bool) {
	p, ok := c.opPtr()
	if !ok {
		return 0, false
	}
	if op = atomic.LoadUint32(p); op == noOp {
		return 0, false
	}
	return op, true
}

// SetLSN moves the entry to a record that is not a batch.
//
// REQUIRES: the shard's exclusive lock
func (c Cell) SetLSN(lsn uint64) {
	if p, ok := c.opPtr(); ok {
		atomic.StoreUint32(p, noOp)
	}
	atomic.StoreUint64((*uint64)(c.p), lsn&MaxLSN)
}

// SetBatchLSN moves the entry to op of a batch and reports whether the cell
// has room for the number. If not it is unchanged, and a new cell is needed.
//
// REQUIRES: the shard's exclusive lock
func (c Cell) SetBatchLSN(lsn uint64, op uint32) bool {
	p, ok := c.opPtr()
	if ok {
		atomic.StoreUint32(p, op)
		atomic.StoreUint64((*uint64)(c.p), lsn&MaxLSN)
	}
	return ok
}

// Flags returns all flags.
func (c Cell) Flags() Flags { return Flags(c.meta() &^ keyLenMask) }

// Has reports whether all of f are set.
func (c Cell) Has(f Flags) bool { return Flags(c.meta())&f == f }

// Set sets flags other than FlagExpiry, FlagOp and FlagNoValue. It may run
// concurrently with readers and with itself.
func (c Cell) Set(f Flags) { atomic.OrUint32(c.metaPtr(), uint32(f&^layoutFlags)&^keyLenMask) }

// Clear clears flags, as Set sets them.
func (c Cell) Clear(f Flags) { atomic.AndUint32(c.metaPtr(), ^(uint32(f&^layoutFlags) &^ keyLenMask)) }

// Touch sets FlagRecent. It writes only if it is not set yet, so that a hot
// cell's cache line stays shared.
func (c Cell) Touch() {
	if c.meta()&uint32(FlagRecent) == 0 {
		c.Set(FlagRecent)
	}
}

// Size returns the bytes that the cell was allocated with.
func (c Cell) Size() int {
	m := c.meta()
	n := cellHeader + int(optional(m)) + int(m&keyLenMask)
	if Flags(m)&FlagNoValue != 0 {
		return n + valueHashSize
	}
	return n + int(c.valueLen())
}
