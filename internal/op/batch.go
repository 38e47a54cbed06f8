package op

import (
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/cespare/xxhash/v2"
)

// Batch is a decoded batch: a view into its payload. The zero Batch is empty.
// Puts and deletes in it take effect together; a batch holds at most one
// operation per region and key, which its writer ensures.
type Batch struct {
	payload []byte
	n       int
}

// Entry is one row of a batch's table.
type Entry struct {
	Offset int    // of the operation, from the first byte of the batch
	Length int    // of the operation, in bytes
	Sum    uint64 // of the operation's bytes, seeded with its number
}

// BatchSize returns the size of a batch of n operations whose encodings have
// opBytes bytes together.
func BatchSize(n int, opBytes int64) int64 {
	return BatchHeaderSize + int64(n)*EntrySize + opBytes
}

// EntryOffset returns where table entry i starts, from the first byte of the
// batch. It has [EntrySize] bytes.
func EntryOffset(i uint32) int64 { return BatchHeaderSize + int64(i)*EntrySize }

// ReadEntry decodes one table entry from its [EntrySize] bytes. The entry
// itself carries no checksum: its offset and length are within [MaxBatchSize]
// but may lie, so check them against the frame before reading. A wrong entry
// is found by [DecodeAt].
func ReadEntry(b []byte) (Entry, error) {
	if len(b) != EntrySize {
		return Entry{}, batchError(0, fmt.Sprintf("table entry of %d bytes", len(b)))
	}
	off, n := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	if off < BatchHeaderSize+EntrySize || n < minOpSize || uint64(off)+uint64(n) > MaxBatchSize {
		return Entry{}, batchError(0, "table entry out of range")
	}
	return Entry{Offset: int(off), Length: int(n), Sum: binary.LittleEndian.Uint64(b[8:])}, nil
}

// DecodeAt decodes operation i of a batch from its bytes b, after it verified
// their length and checksum against the entry. The result is a put or a
// delete; the error is a [*DecodeError] with offsets from b.
func DecodeAt(e Entry, i uint32, b []byte) (Op, error) {
	if len(b) != e.Length {
		return Op{}, batchError(0, "operation cut short")
	}
	if opSum(i, b) != e.Sum {
		return Op{}, batchError(0, "operation checksum")
	}
	var o Op
	err := o.decodeOne(b)
	if err == nil && o.Kind != KindPut && o.Kind != KindDelete {
		return Op{}, &DecodeError{Kind: o.Kind, Reason: "kind not allowed in a batch", Err: ErrCorrupt}
	}
	return o, err
}

// Len returns the number of operations.
func (b Batch) Len() int { return b.n }

// Entry returns table entry i. REQUIRES: 0 <= i < Len.
func (b Batch) Entry(i int) Entry {
	row := b.payload[EntryOffset(uint32(i)):]
	return Entry{
		Offset: int(binary.LittleEndian.Uint32(row)),
		Length: int(binary.LittleEndian.Uint32(row[4:])),
		Sum:    binary.LittleEndian.Uint64(row[8:]),
	}
}

// At verifies and decodes operation i. REQUIRES: 0 <= i < Len.
func (b Batch) At(i int) (Op, error) {
	e := b.Entry(i)
	end := e.Offset + e.Length
	return DecodeAt(e, uint32(i), b.payload[e.Offset:end:end])
}

// All yields the operations in order. After an error it stops.
func (b Batch) All() iter.Seq2[Op, error] {
	return func(yield func(Op, error) bool) {
		for i := range b.n {
			o, err := b.At(i)
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

// decodeBatch checks the table: operations follow each other without a gap and
// end with the payload.
func (o *Op) decodeBatch(payload []byte) error {
	*o = Op{}
	switch {
	case len(payload) < BatchHeaderSize:
		return batchError(len(payload), "header cut short")
	case len(payload) > MaxBatchSize:
		return batchError(0, "batch too large")
	case payload[1]|payload[2]|payload[3] != 0:
		return &DecodeError{Kind: KindBatch, Offset: 1, Reason: "unknown flag", Err: ErrUnsupported}
	}
	n := uint64(binary.LittleEndian.Uint32(payload[4:]))
	if n == 0 {
		return batchError(4, "no operations")
	}
	if n*(EntrySize+minOpSize) > uint64(len(payload)-BatchHeaderSize) {
		return batchError(4, "table cut short")
	}
	b := Batch{payload: payload, n: int(n)}
	next := int(EntryOffset(uint32(n)))
	for i := range b.n {
		e := b.Entry(i)
		if e.Offset != next || e.Length < minOpSize || e.Length > len(payload)-next {
			return batchError(int(EntryOffset(uint32(i))), "table entry out of order")
		}
		next += e.Length
	}
	if next != len(payload) {
		return batchError(next, "bytes after the end")
	}
	o.Kind, o.Batch = KindBatch, b
	return nil
}

// opSum is the checksum in a table entry. The operation's number is mixed in,
// so that an entry cannot be taken for another one. Part of the file format:
// never change.
func opSum(i uint32, b []byte) uint64 {
	return xxhash.Sum64(b) ^ (uint64(i)+1)*0x9e3779b97f4a7c15
}

func batchError(at int, reason string) error {
	return &DecodeError{Kind: KindBatch, Offset: at, Reason: reason, Err: ErrCorrupt}
}

// BatchEncoder writes one batch. Start it with [BeginBatch], add exactly the
// announced number of operations, and take the payload from Finish. It is a
// value for one goroutine and allocates nothing beyond the buffer's growth.
type BatchEncoder struct {
	buf   []byte
	start int // of the batch in buf
	n, at int // operations announced, added
}

// BeginBatch starts a batch of n operations at the end of dst. Its final size
// is [BatchSize]; a dst with that much room is not reallocated.
// REQUIRES: 0 < n <= MaxBatchSize/EntrySize.
func BeginBatch(dst []byte, n int) BatchEncoder {
	e := BatchEncoder{start: len(dst), n: n}
	dst = append(dst, byte(KindBatch), 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	e.buf = append(dst, make([]byte, n*EntrySize)...)
	return e
}

// Put adds a put. See [AppendPut].
func (e *BatchEncoder) Put(p Put) {
	from := len(e.buf)
	e.buf = AppendPut(e.buf, p)
	e.enter(from)
}

// Delete adds a delete. See [AppendDelete].
func (e *BatchEncoder) Delete(region uint32, key []byte) {
	from := len(e.buf)
	e.buf = AppendDelete(e.buf, region, key)
	e.enter(from)
}

// enter fills the table entry of the operation that starts at buf[from].
func (e *BatchEncoder) enter(from int) {
	if i := e.at; i < e.n && len(e.buf)-e.start <= MaxBatchSize {
		row := e.buf[e.start+int(EntryOffset(uint32(i))):]
		binary.LittleEndian.PutUint32(row, uint32(from-e.start))
		binary.LittleEndian.PutUint32(row[4:], uint32(len(e.buf)-from))
		binary.LittleEndian.PutUint64(row[8:], opSum(uint32(i), e.buf[from:]))
	}
	e.at++
}

// Finish returns dst with the batch behind it. It fails with an error wrapping
// [ErrBatchTooLarge] if the batch exceeds [MaxBatchSize], and if the number of
// operations added is not the announced one.
func (e *BatchEncoder) Finish() ([]byte, error) {
	if size := len(e.buf) - e.start; size > MaxBatchSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrBatchTooLarge, size, MaxBatchSize)
	}
	if e.at != e.n {
		return nil, fmt.Errorf("op: %d operations in a batch of %d", e.at, e.n)
	}
	return e.buf, nil
}
