package op_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/fastrestart/frs/internal/op"
)

// FuzzDecode: what decodes re-encodes to the same bytes, what does not is
// corrupt or unsupported, and nothing panics.
func FuzzDecode(f *testing.F) {
	for _, s := range append(samples(), batchSample()) {
		f.Add(s.enc)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := op.Decode(b)
		if err == nil && o.Kind == op.KindBatch {
			err = readAll(b)
		}
		if err != nil {
			if errors.Is(err, op.ErrCorrupt) == errors.Is(err, op.ErrUnsupported) {
				t.Fatalf("neither corrupt nor unsupported, or both: %v", err)
			}
			return
		}
		if again := encode(t, o); !bytes.Equal(again, b) {
			t.Fatalf("%x decodes to %+v, which encodes to %x", b, o, again)
		}
	})
}

// FuzzBatch: any operations put in a batch come out of it, and one at a time.
func FuzzBatch(f *testing.F) {
	f.Add(uint32(1), []byte("key"), []byte("value"), int64(7), uint64(0), 3)
	f.Add(uint32(1<<31), []byte{}, []byte{}, int64(0), uint64(4096), 1)
	f.Fuzz(func(t *testing.T, region uint32, key, value []byte, expiry int64, version uint64, n int) {
		n = n&31 + 1
		if len(key) > op.MaxKeySize || expiry < 0 {
			return
		}
		p := op.Put{Region: region, Key: key, Value: value, Expiry: expiry, Version: version}
		e := op.BeginBatch(nil, n)
		for i := range n {
			if i%2 == 0 {
				e.Put(p)
			} else {
				e.Delete(region, key)
			}
		}
		enc, err := e.Finish()
		if err != nil {
			t.Fatal(err)
		}
		o, err := op.Decode(enc)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			got, err := o.Batch.At(i)
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 && !bytes.Equal(op.AppendPut(nil, putOf(got)), op.AppendPut(nil, p)) {
				t.Fatalf("put %d came out as %+v", i, got)
			}
			if i%2 == 1 && (got.Kind != op.KindDelete || !bytes.Equal(got.Key, key)) {
				t.Fatalf("delete %d came out as %+v", i, got)
			}
		}
	})
}

func BenchmarkPut(b *testing.B) {
	p := op.Put{Region: 1, Key: make([]byte, 16), Value: make([]byte, 256)}
	buf := make([]byte, 0, p.Size())
	b.SetBytes(int64(p.Size()))
	b.ReportAllocs()
	for b.Loop() {
		buf = op.AppendPut(buf[:0], p)
	}
}

func BenchmarkDecodePut(b *testing.B) {
	enc := op.AppendPut(nil, op.Put{Region: 1, Key: make([]byte, 16), Value: make([]byte, 256)})
	b.SetBytes(int64(len(enc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := op.Decode(enc); err != nil {
			b.Fatal(err)
		}
	}
}
