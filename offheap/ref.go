package offheap

// Ref addresses one allocation of one [Pool]. It is an offset in units of 8
// bytes into the pool's reference space, so it fits in 40 bits (8 TiB). The
// zero Ref is nil: no allocation ever has it. A Ref holds nothing the garbage
// collector follows.
type Ref uint64

const (
	// RefBits is the number of low bits of a Ref that can be set.
	RefBits = 40
	// MaxAlloc is the largest n that [Arena.Alloc] accepts, in bytes.
	MaxAlloc = 1 << 30
)

// A reference is {chunk number | offset in the chunk / 8}.
//
//	39                  19 18                                0
//	+---------------------+---------------------------------+
//	| chunk (21 bits)     | offset in 8-byte units (19)     |
//	+---------------------+---------------------------------+
//
// Chunk 0 is never mapped, which keeps 0 free for nil. An allocation above
// maxClass owns as many consecutive chunk numbers as it covers, and only the
// first of them is ever referenced.
const (
	chunkShift = 22 // 4 MiB
	chunkSize  = 1 << chunkShift
	unitShift  = 16 // 64 KiB, the smallest slab
	unitSize   = 1 << unitShift
	chunkUnits = chunkSize / unitSize

	refShift   = 3
	refChunk   = chunkShift - refShift
	refOffMask = 1<<refChunk - 1

	// maxChunks bounds the table of chunks.
	maxChunks = 1 << chunkBits
)

// alignMask has a bit for every multiple of 2^order units in a chunk.
var alignMask = [...]uint64{
	^uint64(0), 0x5555555555555555, 0x1111111111111111, 0x0101010101010101,
	0x0001000100010001, 0x0000000100000001, 1,
}

const maxOrder = len(alignMask) - 1
