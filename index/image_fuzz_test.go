package index_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/vfs/memfs"
)

// FuzzNextImageEntry: what decodes is encoded in the same way again.
func FuzzNextImageEntry(f *testing.F) {
	for _, e := range sample().entries[0] {
		f.Add(index.AppendImageEntry(nil, e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, rest, err := index.NextImageEntry(b)
		if err != nil {
			if !errors.Is(err, index.ErrImage) {
				t.Fatal(err)
			}
			return
		}
		if got := index.AppendImageEntry(nil, e); !bytes.Equal(got, b[:len(b)-len(rest)]) {
			t.Fatalf("%x is encoded as %x", b[:len(b)-len(rest)], got)
		}
	})
}

// FuzzOpenImage changes two places of an image, cuts some of its end off, and
// makes the checksums right again, so that the decoders see it. What opens is
// written in the same way again, and claims no more than the file has. Numbers
// and not bytes are fuzzed, because a failing image would take minutes to
// minimize.
func FuzzOpenImage(f *testing.F) {
	good := sample().write(f)
	meta := int(binary.LittleEndian.Uint64(good[metaAt:]))
	f.Add(uint16(0), uint64(0), uint16(0), uint64(0), uint16(0))
	f.Add(uint16(fromAt), uint64(1), uint16(headerEnd), uint64(3), uint16(0))              // number of regions
	f.Add(uint16(headerEnd+24), uint64(7), uint16(headerEnd+25), uint64(1), uint16(8))     // part bits, name
	f.Add(uint16(headerEnd+60), uint64(1<<40), uint16(headerEnd+70), uint64(9), uint16(1)) // a part
	f.Fuzz(func(t *testing.T, at1 uint16, xor1 uint64, at2 uint16, xor2 uint64, cut uint16) {
		b := bytes.Clone(good)
		change := func(at uint16, xor uint64) { // a place in the header's fields, or behind them in the meta
			to := int(at)
			if to >= headerEnd {
				to += meta - headerEnd
			}
			if to+8 <= len(b) && (to < entriesAt-7 || to >= metaLenAt+8) {
				binary.LittleEndian.PutUint64(b[to:], binary.LittleEndian.Uint64(b[to:])^xor)
			}
		}
		change(at1, xor1)
		change(at2, xor2)
		clear(b[headerEnd:sumAt])
		b = resize(b, -min(int(cut), len(b)-meta))
		im, err := openImage(t, seal(b))
		if err != nil {
			if bytes.Equal(b, good) {
				t.Fatal(err)
			}
			return
		}
		names := map[string]bool{}
		for i, r := range im.Regions {
			if names[r.Name] || i > 0 && r.ID <= im.Regions[i-1].ID || r.ID >= im.NextRegion || r.Position >= im.To {
				t.Fatalf("region %d of %d: %d %q at %d", i, len(im.Regions), r.ID, r.Name, r.Position)
			}
			names[r.Name] = true
			for _, p := range r.Parts {
				checkPart(t, im, p, int64(meta))
			}
		}
		if again := rewrite(t, im, b[headerSize:meta]); !bytes.Equal(again, b) {
			t.Fatalf("%x is written as %x", b, again)
		}
	})
}

// checkPart reads a part, which may refuse.
func checkPart(t *testing.T, im *index.Image, p index.ImagePart, limit int64) {
	t.Helper()
	if p.Length > limit {
		t.Fatalf("part of %d bytes in %d", p.Length, limit)
	}
	list, _ := readPart(im, p)
	for _, e := range list {
		if e.LSN >= im.To || e.LSN == 0 || e.LSN%8 != 0 {
			t.Fatalf("entry at %d in an image to %d", e.LSN, im.To)
		}
	}
}

// rewrite writes what was read of an image, its parts as they are.
func rewrite(t *testing.T, im *index.Image, parts []byte) []byte {
	t.Helper()
	f, err := memfs.New().Create("/image")
	if err != nil {
		t.Fatal(err)
	}
	w := index.NewImageWriter(f)
	w.BeginPart()
	if err := w.Add(parts, int(im.Entries)); err != nil {
		t.Fatal(err)
	}
	size, err := w.Finish(publicHeader(im.ImageHeader), im.Regions)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}
