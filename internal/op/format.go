package op

// Kind is the first byte of an operation. Part of the file format: never
// change or reuse a number.
type Kind uint8

const (
	// KindPut sets the value of a key.
	KindPut Kind = 1
	// KindDelete removes a key.
	KindDelete Kind = 2
	// KindClear removes every key of a region.
	KindClear Kind = 3
	// KindRegionCreate gives a region its id, name and options.
	KindRegionCreate Kind = 4
	// KindRegionAlter replaces a region's options.
	KindRegionAlter Kind = 5
	// KindRegionDrop removes a region; its id is never used again.
	KindRegionDrop Kind = 6
	// KindBatch holds puts and deletes that take effect together.
	KindBatch Kind = 7

	// 8 prepare, 9 commit, 10 rollback, 11 queue cursor: reserved.
)

// String returns the kind's name as the tools print it.
func (k Kind) String() string {
	switch k {
	case KindPut:
		return "put"
	case KindDelete:
		return "delete"
	case KindClear:
		return "clear"
	case KindRegionCreate:
		return "region-create"
	case KindRegionAlter:
		return "region-alter"
	case KindRegionDrop:
		return "region-drop"
	case KindBatch:
		return "batch"
	}
	return "unknown"
}

// Flags of put, region create and region alter: which optional fields follow,
// in this order. Part of the file format: never change.
const (
	flagExpiry  = 1 << 0 // int64, put only
	flagVersion = 1 << 1 // uint64
)

// Layout of a batch. Part of the file format: never change.
//
//	0        1          4        8                    8+16n
//	| kind=7 | zero (3) | n u32  | n entries of 16 B  | op 0 | op 1 | ...
//
//	entry: | offset u32 | length u32 | checksum u64 |
//
// Offsets count from the kind byte; operations follow each other without gaps
// in table order and the last one ends the payload.
const (
	// BatchHeaderSize is the number of bytes of a batch before its table.
	BatchHeaderSize = 8
	// EntrySize is the number of bytes of one table entry.
	EntrySize = 16
)

// minOpSize is the size of the smallest operation a batch can hold: a delete
// of an empty key in a region below 128.
const minOpSize = 2
