package op_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/fastrestart/frs/internal/op"
)

func batchSample() sample {
	e := op.BeginBatch(nil, 3)
	e.Put(op.Put{Region: 1, Key: []byte("a"), Value: []byte("one")})
	e.Delete(2, []byte("b"))
	e.Put(op.Put{Region: 1, Key: []byte("c"), Expiry: 9})
	enc, err := e.Finish()
	if err != nil {
		panic(err)
	}
	return sample{name: "batch", enc: enc}
}

func TestBatch(t *testing.T) {
	enc := batchSample().enc
	o, err := op.Decode(enc)
	if err != nil {
		t.Fatal(err)
	}
	if o.Kind != op.KindBatch || o.Batch.Len() != 3 {
		t.Fatalf("decoded %+v", o)
	}
	keys := ""
	for o, err := range o.Batch.All() {
		if err != nil {
			t.Fatal(err)
		}
		keys += o.Kind.String() + " " + string(o.Key) + ";"
	}
	if want := "put a;delete b;put c;"; keys != want {
		t.Errorf("operations %q, want %q", keys, want)
	}
	for range o.Batch.All() {
		break // stopping early is allowed
	}
}

// TestBatchSingle reads operations of a batch as a store does that has only
// the positions: the entry first, then the operation it names.
func TestBatchSingle(t *testing.T) {
	const n = 1000
	e := op.BeginBatch([]byte("prefix"), n)
	var opBytes int64
	for i := range uint32(n) {
		p := op.Put{Region: i, Key: binary.BigEndian.AppendUint32(nil, i), Value: bytes.Repeat([]byte{byte(i)}, int(i))}
		opBytes += int64(p.Size())
		e.Put(p)
	}
	enc, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	file := bytes.NewReader(bytes.TrimPrefix(enc, []byte("prefix")))
	if file.Size() != op.BatchSize(n, opBytes) {
		t.Errorf("%d bytes, BatchSize says %d", file.Size(), op.BatchSize(n, opBytes))
	}
	for i := range uint32(n) {
		row := make([]byte, op.EntrySize)
		if _, err := file.ReadAt(row, op.EntryOffset(i)); err != nil {
			t.Fatal(err)
		}
		entry, err := op.ReadEntry(row)
		if err != nil {
			t.Fatal(err)
		}
		one := make([]byte, entry.Length)
		if _, err := file.ReadAt(one, int64(entry.Offset)); err != nil {
			t.Fatal(err)
		}
		o, err := op.DecodeAt(entry, i, one)
		if err != nil {
			t.Fatal(err)
		}
		if o.Region != i || len(o.Value) != int(i) {
			t.Fatalf("operation %d: region %d, %d bytes of value", i, o.Region, len(o.Value))
		}
		if _, err := op.DecodeAt(entry, i+1, one); !errors.Is(err, op.ErrCorrupt) {
			t.Fatalf("operation %d taken for its neighbour: %v", i, err)
		}
	}
}

// TestBatchFlips flips every bit of a batch: the table or the operation's
// checksum must notice, whichever way the operations are read.
func TestBatchFlips(t *testing.T) {
	enc := batchSample().enc
	for bit := range len(enc) * 8 {
		b := bytes.Clone(enc)
		b[bit/8] ^= 1 << (bit % 8)
		if readAll(b) == nil {
			t.Errorf("byte %d bit %d flipped: not noticed", bit/8, bit%8)
		}
	}
	if err := readAll(enc); err != nil {
		t.Errorf("unharmed: %v", err)
	}
}

func readAll(b []byte) error {
	o, err := op.Decode(b)
	if err != nil {
		return err
	}
	if o.Kind != op.KindBatch {
		return errors.New("not a batch")
	}
	for _, err := range o.Batch.All() {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestBatchRejected(t *testing.T) {
	good := batchSample().enc
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	le := binary.LittleEndian
	tests := []struct {
		name string
		b    []byte
		want error
	}{
		{"header only", good[:op.BatchHeaderSize], op.ErrCorrupt},
		{"no operations", []byte{7, 0, 0, 0, 0, 0, 0, 0}, op.ErrCorrupt},
		{"4 G operations in few bytes", edit(func(b []byte) []byte { le.PutUint32(b[4:], 1<<32-1); return b }), op.ErrCorrupt},
		{"flag of a later version", edit(func(b []byte) []byte { b[2] = 1; return b }), op.ErrUnsupported},
		{"byte behind the last operation", append(bytes.Clone(good), 0), op.ErrCorrupt},
		{"last byte missing", good[:len(good)-1], op.ErrCorrupt},
		{"entry points before its place", edit(func(b []byte) []byte { le.PutUint32(b[8:], 9); return b }), op.ErrCorrupt},
		{"entry of length 0", edit(func(b []byte) []byte { le.PutUint32(b[12:], 0); return b }), op.ErrCorrupt},
		{"entry of 4 GiB", edit(func(b []byte) []byte { le.PutUint32(b[12:], 1<<32-1); return b }), op.ErrCorrupt},
	}
	for _, tt := range tests {
		if _, err := op.Decode(tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestReadEntryRejected(t *testing.T) {
	row := func(off, n uint32) []byte {
		b := binary.LittleEndian.AppendUint32(nil, off)
		b = binary.LittleEndian.AppendUint32(b, n)
		return binary.LittleEndian.AppendUint64(b, 1)
	}
	for name, b := range map[string][]byte{
		"short":               row(24, 2)[:15],
		"long":                append(row(24, 2), 0),
		"zeros":               make([]byte, op.EntrySize),
		"inside the table":    row(op.BatchHeaderSize, 2),
		"empty operation":     row(24, 0),
		"beyond the limit":    row(op.MaxBatchSize-1, 2),
		"sum above 32 bits":   row(1<<32-1, 1<<32-1),
		"length over a batch": row(24, 1<<31),
	} {
		if e, err := op.ReadEntry(b); !errors.Is(err, op.ErrCorrupt) {
			t.Errorf("%s: %+v, %v, want ErrCorrupt", name, e, err)
		}
	}
}

func TestDecodeAtRejected(t *testing.T) {
	o, err := op.Decode(batchSample().enc)
	if err != nil {
		t.Fatal(err)
	}
	e := o.Batch.Entry(0)
	one := batchSample().enc[e.Offset : e.Offset+e.Length]
	if _, err := op.DecodeAt(e, 0, one[:len(one)-1]); !errors.Is(err, op.ErrCorrupt) {
		t.Errorf("short: %v", err)
	}
	if _, err := op.DecodeAt(e, 0, one); err != nil {
		t.Errorf("unharmed: %v", err)
	}
}

func TestBatchEncoderCounts(t *testing.T) {
	for announced, added := range map[int]int{1: 2, 2: 1, 3: 0} {
		e := op.BeginBatch(nil, announced)
		for range added {
			e.Delete(1, []byte("k"))
		}
		if _, err := e.Finish(); err == nil {
			t.Errorf("%d operations in a batch of %d accepted", added, announced)
		}
	}
}
