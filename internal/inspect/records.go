package inspect

import (
	"context"
	"encoding/binary"
	"iter"

	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/segment"
)

// LSN is a position in the log.
type LSN = segment.LSN

// Record is one thing the log says: a frame, or an operation of a batch.
type Record struct {
	LSN    LSN
	Number int    // of the operation in its batch; -1: the frame itself
	Kind   string // of the operation, or "mark" or "low-water"
	Codec  string // "none", "s2" or "zstd"
	Stored int    // bytes of the payload in the file
	// Durable is how far the log was known to be durable when the frame was
	// appended.
	Durable  LSN
	Op       op.Op // zero for marks and low-water records
	Time     int64 // mark: store time in Unix nanoseconds
	LowWater LSN   // low-water: below it nothing is needed any more
}

// Records yields the records of the range in the order of the log: each frame,
// and behind a batch its operations. Errors are as for [Log.Frames]; a record
// that cannot be decoded is damage. Keys and values are valid until the next
// step.
func (l *Log) Records(ctx context.Context, r Range, progress Progress) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for f, err := range l.Frames(ctx, r, progress) {
			if err != nil {
				if !yield(Record{}, err) {
					return
				}
				continue
			}
			if !expand(f, yield) {
				return
			}
		}
	}
}

// expand yields what one frame says.
func expand(f segment.Frame, yield func(Record, error) bool) bool {
	r := Record{LSN: f.LSN, Number: -1, Kind: f.Kind.String(), Codec: f.Codec.String(), Stored: f.Stored, Durable: f.Durable}
	switch f.Kind {
	case segment.Mark:
		r.Time = int64(binary.LittleEndian.Uint64(f.Payload))
		return yield(r, nil)
	case segment.LowWater:
		r.LowWater = LSN(binary.LittleEndian.Uint64(f.Payload))
		return yield(r, nil)
	}
	o, err := op.Decode(f.Payload)
	if err != nil {
		return yield(Record{}, recordError(f, err))
	}
	r.Op, r.Kind = o, o.Kind.String()
	if !yield(r, nil) {
		return false
	}
	for i := range o.Batch.Len() {
		one, err := o.Batch.At(i)
		if err != nil {
			return yield(Record{}, recordError(f, err))
		}
		r.Number, r.Op, r.Kind, r.Stored = i, one, one.Kind.String(), o.Batch.Entry(i).Length
		if !yield(r, nil) {
			return false
		}
	}
	return true
}
