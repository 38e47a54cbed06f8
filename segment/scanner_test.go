package segment

import (
	"bytes"
	"strings"
	"testing"
)

// TestScannerReset: a scanner that is used again says what a new one says,
// whatever it read before.
func TestScannerReset(t *testing.T) {
	small := newFile(testHeader())
	small.add([]byte("one"), 0)
	small.add([]byte("two"), 0)
	small.seal()

	torn := newFile(testHeader())
	torn.add([]byte("three"), 0)
	torn.b = append(torn.b, 1, 2, 3)

	other := testHeader()
	other.Salt++
	large := newFile(other)
	large.add(bytes.Repeat([]byte("x"), ReadSize+1), 0)
	large.add([]byte("four"), 0)

	packed := newFile(testHeader())
	raw := bytes.Repeat([]byte("y"), 4096)
	stored, ok := new(Codecs).Compress(S2, nil, raw)
	if !ok {
		t.Fatal("not compressed")
	}
	packed.frame(FrameHeader{Kind: Data, Codec: S2, Raw: uint32(len(raw))}, stored)

	var used Scanner
	for round, f := range []*file{small, torn, large, small, packed, torn, packed, large, newFile(testHeader()), small} {
		s := f.scanner(ScanOptions{})
		want, wantErr := drain(s)
		used.Reset(bytes.NewReader(f.b), int64(len(f.b)), f.h, ScanOptions{})
		got, err := drain(&used)
		if strings.Join(got, "|") != strings.Join(want, "|") || err.Error() != wantErr.Error() {
			t.Fatalf("round %d: %d frames, %v; a new scanner %d frames, %v", round, len(got), err, len(want), wantErr)
		}
		if used.Stop() != s.Stop() || used.Pos() != s.Pos() || used.Footer() != s.Footer() {
			t.Fatalf("round %d: stop %v at %d, footer %+v; a new scanner %v at %d, %+v",
				round, used.Stop(), used.Pos(), used.Footer(), s.Stop(), s.Pos(), s.Footer())
		}
	}
	huge := newFile(other)
	huge.add(make([]byte, 5*ReadSize), 0)
	used.Reset(bytes.NewReader(huge.b), int64(len(huge.b)), huge.h, ScanOptions{})
	if f, err := used.Next(); err != nil || len(f.Payload) != 5*ReadSize {
		t.Fatal(err)
	}
	if used.Reset(nil, 0, Header{}, ScanOptions{}); cap(used.win) > 4*ReadSize {
		t.Errorf("keeps a window of %d bytes", cap(used.win))
	}
}
