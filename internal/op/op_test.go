package op_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fastrestart/frs/internal/op"
)

var update = flag.Bool("update", false, "rewrite the golden file (never once it is released)")

// sample is an operation, its encoding and the name it has in the golden file.
type sample struct {
	name string
	enc  []byte
	want op.Op
}

func samples() []sample {
	big := bytes.Repeat([]byte("k"), 300)
	s := []sample{
		{"put", op.AppendPut(nil, op.Put{Region: 1, Key: []byte("key"), Value: []byte("value")}),
			op.Op{Kind: op.KindPut, Region: 1, Key: []byte("key"), Value: []byte("value")}},
		{"put empty", op.AppendPut(nil, op.Put{}),
			op.Op{Kind: op.KindPut, Key: []byte{}, Value: []byte{}}},
		{"put expiry version", op.AppendPut(nil, op.Put{Region: math.MaxUint32, Key: big, Value: []byte("v"), Expiry: math.MaxInt64, Version: 4096}),
			op.Op{Kind: op.KindPut, Region: math.MaxUint32, Key: big, Value: []byte("v"), Expiry: math.MaxInt64, Version: 4096}},
		{"put expiry", op.AppendPut(nil, op.Put{Region: 128, Key: []byte("k"), Expiry: 1}),
			op.Op{Kind: op.KindPut, Region: 128, Key: []byte("k"), Value: []byte{}, Expiry: 1}},
		{"delete", op.AppendDelete(nil, 7, []byte("key")),
			op.Op{Kind: op.KindDelete, Region: 7, Key: []byte("key")}},
		{"delete empty key", op.AppendDelete(nil, 7, nil),
			op.Op{Kind: op.KindDelete, Region: 7, Key: []byte{}}},
		{"clear", op.AppendClear(nil, 300), op.Op{Kind: op.KindClear, Region: 300}},
		{"drop", op.AppendRegionDrop(nil, 3), op.Op{Kind: op.KindRegionDrop, Region: 3}},
		{"create", op.AppendRegionCreate(nil, op.Region{ID: 2, Name: "positions"}),
			op.Op{Kind: op.KindRegionCreate, Region: 2, Name: "positions"}},
		{"create options version", op.AppendRegionCreate(nil, op.Region{ID: 2, Name: "a.b-c_D9", Version: 8192,
			Options: op.RegionOptions{Strategy: 3, Durability: 200, Ordered: true}}),
			op.Op{Kind: op.KindRegionCreate, Region: 2, Name: "a.b-c_D9", Version: 8192,
				Options: op.RegionOptions{Strategy: 3, Durability: 200, Ordered: true}}},
		{"alter", op.AppendRegionAlter(nil, op.Region{ID: 2, Options: op.RegionOptions{Ordered: true}}),
			op.Op{Kind: op.KindRegionAlter, Region: 2, Options: op.RegionOptions{Ordered: true}}},
	}
	return s
}

func TestRoundTrip(t *testing.T) {
	for _, s := range samples() {
		got, err := op.Decode(s.enc)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		if !reflect.DeepEqual(got, s.want) {
			t.Errorf("%s: decoded %+v, want %+v", s.name, got, s.want)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, region := range []uint32{0, 1, 127, 128, 16383, 16384, 1 << 21, 1 << 28, math.MaxUint32} {
		for _, n := range []int{0, 1, 127, 128, 16384, op.MaxKeySize} {
			for flags := range 4 {
				p := op.Put{Region: region, Key: make([]byte, n), Value: make([]byte, n/2)}
				if flags&1 != 0 {
					p.Expiry = 5
				}
				if flags&2 != 0 {
					p.Version = 5
				}
				if got, want := len(op.AppendPut(nil, p)), p.Size(); got != want {
					t.Fatalf("put region %d key %d flags %d: %d bytes, PutSize says %d", region, n, flags, got, want)
				}
			}
			if got, want := len(op.AppendDelete(nil, region, make([]byte, n))), op.DeleteSize(region, n); got != want {
				t.Fatalf("delete region %d key %d: %d bytes, DeleteSize says %d", region, n, got, want)
			}
		}
	}
}

// TestTruncated cuts every sample at every length. Where the last field has no
// length of its own (a put's value, a delete's key, options) the frame's length
// delimits it, so a cut there is another valid operation; it must re-encode to
// what was left.
func TestTruncated(t *testing.T) {
	rejected := 0
	for _, s := range append(samples(), batchSample()) {
		for n := range len(s.enc) {
			o, err := op.Decode(s.enc[:n:n])
			if err != nil {
				if !errors.Is(err, op.ErrCorrupt) {
					t.Errorf("%s cut to %d: %v, want ErrCorrupt", s.name, n, err)
				}
				rejected++
				continue
			}
			if again := encode(t, o); !bytes.Equal(again, s.enc[:n]) {
				t.Errorf("%s cut to %d decodes to what encodes as %x", s.name, n, again)
			}
		}
	}
	if rejected == 0 {
		t.Error("no cut was rejected")
	}
}

func TestRejected(t *testing.T) {
	long := make([]byte, op.MaxKeySize+1)
	tests := []struct {
		name string
		hex  string
		want error
	}{
		{"nothing", "", op.ErrCorrupt},
		{"zeros", "0000000000000000", op.ErrCorrupt},
		{"prepare of a later version", "08", op.ErrUnsupported},
		{"kind of a later version", "ff01", op.ErrUnsupported},
		{"put with a flag of a later version", "0104" + "01" + "016b", op.ErrUnsupported},
		{"put without flags", "01", op.ErrCorrupt},
		{"put region in two bytes instead of one", "0100" + "8100" + "016b", op.ErrCorrupt},
		{"put region of 33 bits", "0100" + "8080808010" + "016b", op.ErrCorrupt},
		{"put region of 11 bytes", "0100" + "ffffffffffffffffffff01" + "016b", op.ErrCorrupt},
		{"put expiry zero", "0101" + "01" + "0000000000000000" + "016b", op.ErrCorrupt},
		{"put expiry negative", "0101" + "01" + "00000000000000ff" + "016b", op.ErrCorrupt},
		{"put version zero", "0102" + "01" + "0000000000000000" + "016b", op.ErrCorrupt},
		{"put key longer than what follows", "0100" + "01" + "026b", op.ErrCorrupt},
		{"put key over the limit", "0100" + "01" + "818004" + hex.EncodeToString(long), op.ErrCorrupt},
		{"put key length of 63 bits", "0100" + "01" + "ffffffffffffffff7f", op.ErrCorrupt},
		{"delete key over the limit", "0201" + hex.EncodeToString(long), op.ErrCorrupt},
		{"clear with more behind", "030100", op.ErrCorrupt},
		{"drop with more behind", "060100", op.ErrCorrupt},
		{"create with an expiry", "0401" + "01" + "0161" + "01", op.ErrUnsupported},
		{"create without name", "0400" + "01" + "00" + "01", op.ErrCorrupt},
		{"create named ..", "0400" + "01" + "022e2e" + "01", op.ErrCorrupt},
		{"create named a/b", "0400" + "01" + "03612f62" + "01", op.ErrCorrupt},
		{"create without options", "0400" + "01" + "0161", op.ErrCorrupt},
		{"options of version 2", "0500" + "01" + "02", op.ErrUnsupported},
		{"options of version 0", "0500" + "01" + "00", op.ErrUnsupported},
		{"options with a tag of a later version", "0500" + "01" + "01" + "0401", op.ErrUnsupported},
		{"options with tag 0", "0500" + "01" + "01" + "0001", op.ErrCorrupt},
		{"options out of order", "0500" + "01" + "01" + "02010101", op.ErrCorrupt},
		{"options twice", "0500" + "01" + "01" + "01010101", op.ErrCorrupt},
		{"options field zero", "0500" + "01" + "01" + "0100", op.ErrCorrupt},
		{"options field cut", "0500" + "01" + "01" + "01", op.ErrCorrupt},
		{"options durability of 9 bits", "0500" + "01" + "01" + "028002", op.ErrCorrupt},
		{"options ordered twice true", "0500" + "01" + "01" + "0302", op.ErrCorrupt},
	}
	for _, tt := range tests {
		b, err := hex.DecodeString(tt.hex)
		if err != nil {
			t.Fatal(err)
		}
		_, err = op.Decode(b)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		var de *op.DecodeError
		if !errors.As(err, &de) || de.Offset > len(b) || de.Reason == "" {
			t.Errorf("%s: no position in %v", tt.name, err)
		}
	}
}

func TestOptionsAlone(t *testing.T) {
	o := op.RegionOptions{Strategy: 2, Ordered: true}
	got, err := op.DecodeRegionOptions(op.AppendRegionOptions(nil, o))
	if err != nil || got != o {
		t.Errorf("decoded %+v, %v, want %+v", got, err, o)
	}
	if _, err := op.DecodeRegionOptions([]byte{2}); !errors.Is(err, op.ErrUnsupported) {
		t.Errorf("version 2: %v, want ErrUnsupported", err)
	}
	if _, err := op.DecodeRegionOptions(nil); !errors.Is(err, op.ErrCorrupt) {
		t.Errorf("nothing: %v, want ErrCorrupt", err)
	}
	if _, err := op.DecodeRegionOptions(make([]byte, op.MaxOptionsSize+1)); !errors.Is(err, op.ErrCorrupt) {
		t.Errorf("too large: %v, want ErrCorrupt", err)
	}
}

func TestLimits(t *testing.T) {
	if err := op.CheckKey(make([]byte, op.MaxKeySize)); err != nil {
		t.Error(err)
	}
	if err := op.CheckKey(make([]byte, op.MaxKeySize+1)); !errors.Is(err, op.ErrKeyTooLarge) {
		t.Errorf("key: %v", err)
	}
	if err := op.CheckValue(make([]byte, op.MaxValueSize)); err != nil {
		t.Error(err)
	}
	if err := op.CheckValue(make([]byte, op.MaxValueSize+1)); !errors.Is(err, op.ErrValueTooLarge) {
		t.Errorf("value: %v", err)
	}
	for _, name := range []string{"a", "...", ".a", "-", "A_b.c-9", strings.Repeat("n", op.MaxNameSize)} {
		if err := op.CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", `a\b`, "a b", "a\x00", "ä", strings.Repeat("n", op.MaxNameSize+1)} {
		if err := op.CheckName(name); !errors.Is(err, op.ErrInvalidName) {
			t.Errorf("%q: %v, want ErrInvalidName", name, err)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	p := op.Put{Region: 9, Key: []byte("key"), Value: []byte("value"), Expiry: 1, Version: 2}
	buf := make([]byte, 0, 4096)
	put, del, batch := op.AppendPut(nil, p), op.AppendDelete(nil, 9, p.Key), batchSample().enc
	allocs := testing.AllocsPerRun(100, func() {
		buf = op.AppendPut(buf[:0], p)
		buf = op.AppendDelete(buf, 9, p.Key)
		e := op.BeginBatch(buf[:0], 2)
		e.Put(p)
		e.Delete(9, p.Key)
		buf, _ = e.Finish()
		a, err1 := op.Decode(put)
		b, err2 := op.Decode(del)
		c, err3 := op.Decode(batch)
		d, err4 := c.Batch.At(1)
		if err := errors.Join(err1, err2, err3, err4); err != nil || len(a.Key)+len(b.Key)+len(d.Key) == 0 {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestKindNames(t *testing.T) {
	seen := map[string]bool{}
	for k := op.KindPut; k <= op.KindBatch; k++ {
		if s := k.String(); s == "unknown" || seen[s] {
			t.Errorf("kind %d is called %q", k, s)
		} else {
			seen[s] = true
		}
	}
	if s := op.Kind(99).String(); s != "unknown" {
		t.Errorf("kind 99 is called %q", s)
	}
}

// TestGolden holds the bytes of version 1. They are part of the file format.
func TestGolden(t *testing.T) {
	var b strings.Builder
	for _, s := range append(samples(), batchSample()) {
		fmt.Fprintf(&b, "%s: %x\n", s.name, s.enc)
	}
	name := filepath.Join("testdata", "v1", "ops.txt")
	if *update {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("encodings changed:\n%s\nwant:\n%s", got, want)
	}
}

// encode writes o again with the package's encoders.
func encode(t testing.TB, o op.Op) []byte {
	t.Helper()
	region := op.Region{ID: o.Region, Name: o.Name, Options: o.Options, Version: o.Version}
	switch o.Kind {
	case op.KindPut:
		return op.AppendPut(nil, putOf(o))
	case op.KindDelete:
		return op.AppendDelete(nil, o.Region, o.Key)
	case op.KindClear:
		return op.AppendClear(nil, o.Region)
	case op.KindRegionCreate:
		return op.AppendRegionCreate(nil, region)
	case op.KindRegionAlter:
		return op.AppendRegionAlter(nil, region)
	case op.KindRegionDrop:
		return op.AppendRegionDrop(nil, o.Region)
	}
	return encodeBatch(t, o.Batch)
}

func encodeBatch(t testing.TB, b op.Batch) []byte {
	t.Helper()
	e := op.BeginBatch(nil, b.Len())
	for o, err := range b.All() {
		switch {
		case err != nil:
			t.Fatal(err)
		case o.Kind == op.KindPut:
			e.Put(putOf(o))
		default:
			e.Delete(o.Region, o.Key)
		}
	}
	enc, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return enc
}

func putOf(o op.Op) op.Put {
	return op.Put{Region: o.Region, Key: o.Key, Value: o.Value, Expiry: o.Expiry, Version: o.Version}
}
