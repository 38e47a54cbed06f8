package index_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/vfs/memfs"
)

// TestImageFields: what the checksums vouch for and still makes no sense. None
// of it allocates what it claims.
func TestImageFields(t *testing.T) {
	le := binary.LittleEndian
	good := sample().write(t)
	meta := int(le.Uint64(good[metaAt:]))
	part := meta + 4 + 24 + len("ships") + len(op.AppendRegionOptions(nil, sample().regions[0].Options))
	second := part + 24<<index.MinPartBits // region 11
	put64 := func(at int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { le.PutUint64(b[at:], v); return b }
	}
	put32 := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { le.PutUint32(b[at:], v); return b }
	}
	put8 := func(at int, v byte) func([]byte) []byte {
		return func(b []byte) []byte { b[at] = v; return b }
	}
	tests := map[string]func([]byte) []byte{
		"meta in the header":               put64(metaAt, 0),
		"meta behind the end":              put64(metaAt, 1<<62),
		"meta of 1 TiB":                    put64(metaLenAt, 1<<40),
		"meta of 1 GiB, as allowed":        put64(metaLenAt, 1<<30),
		"meta that wraps":                  put64(metaLenAt, ^uint64(0)-uint64(meta)+1),
		"from behind to":                   put64(fromAt, 10248),
		"to beyond every LSN":              put64(toAt, index.MaxLSN+1),
		"4 billion regions":                put32(meta, ^uint32(0)),
		"fewer regions than there are":     put32(meta, 1),
		"no region, but bytes":             put32(meta, 0),
		"too few parts":                    put8(meta+4+20, index.MinPartBits-1),
		"too many parts":                   put8(meta+4+20, index.MaxPartBits+1),
		"parts shifted out":                put8(meta+4+20, 255),
		"no name":                          put8(meta+4+21, 0),
		"name that runs into the options":  put8(meta+4+21, 7),
		"name with a slash":                put8(meta+4+24, '/'),
		"options of 64 KiB":                put8(meta+4+23, 255),
		"options too short":                put8(meta+4+22, 1),
		"part in the header":               put64(part, 0),
		"part behind the meta":             put64(part, 1<<40),
		"part at a negative offset":        put64(part, 1<<63),
		"part of 4 GiB":                    put32(part+8, ^uint32(0)),
		"part with more entries than room": put32(part+12, 1000),
		"part with 2 billion entries":      put32(part+12, 1<<31-1),
		"two regions with one id":          put32(second, 2),
		"regions in falling order":         put32(second, 1),
		"id above the next one":            put32(second, 12),
		"two regions with one name": func(b []byte) []byte {
			copy(b[second+24:], "ships")
			return b
		},
		"region created after the end": put64(second+4, 10240),
		"region cleared after the end": put64(second+12, 10248),
		"meta cut short":               func(b []byte) []byte { return resize(b, -1) },
		"meta cut to nothing":          func(b []byte) []byte { return resize(b, meta-len(b)) },
		"meta with a tail":             func(b []byte) []byte { return resize(b, 1) },
	}
	for name, change := range tests {
		b := seal(change(bytes.Clone(good)))
		m := memfs.New()
		f, err := m.Create("/image")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = index.OpenImage(f)
		runtime.ReadMemStats(&after)
		if err == nil || errors.Is(err, index.ErrImageVersion) || !errors.Is(err, index.ErrImage) && !strings.Contains(err.Error(), `region "`) {
			t.Errorf("%s: %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 256<<10 {
			t.Errorf("%s: %d bytes allocated for a file of %d", name, n, len(b))
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// resize makes the meta longer or shorter.
func resize(b []byte, by int) []byte {
	if by < 0 {
		b = b[:len(b)+by]
	} else {
		b = append(b, make([]byte, by)...)
	}
	n := binary.LittleEndian.Uint64(b[metaLenAt:])
	binary.LittleEndian.PutUint64(b[metaLenAt:], n+uint64(by))
	return b
}

// TestImageEntries: entries that nobody writes.
func TestImageEntries(t *testing.T) {
	le := binary.LittleEndian
	good := index.AppendImageEntry(nil, index.ImageEntry{Key: []byte("key"), LSN: 8, ValueLen: 1, Expiry: 5, Op: 3, InBatch: true})
	tests := map[string]func(b []byte) []byte{
		"unknown flag":     func(b []byte) []byte { b[7] |= 0x20; return b },
		"value of 4 GiB":   func(b []byte) []byte { le.PutUint32(b[8:], 1<<31-1); return b },
		"value too large":  func(b []byte) []byte { le.PutUint32(b[8:], index.MaxValue+1); return b },
		"key too large":    func(b []byte) []byte { le.PutUint32(b[12:], index.MaxKey+1); return b },
		"key of 4 GiB":     func(b []byte) []byte { le.PutUint32(b[12:], 1<<32-1); return b },
		"key beyond":       func(b []byte) []byte { le.PutUint32(b[12:], 4); return b },
		"no position":      func(b []byte) []byte { b[0] = 0; return b },
		"not aligned":      func(b []byte) []byte { b[0] = 12; return b },
		"expiry that says": func(b []byte) []byte { le.PutUint64(b[24:], 0); return b },
	}
	for n := range good {
		tests[fmt.Sprintf("cut to %d bytes", n)] = func(b []byte) []byte { return b[:n] }
	}
	for name, change := range tests {
		if e, _, err := index.NextImageEntry(change(bytes.Clone(good))); !errors.Is(err, index.ErrImage) {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	if _, rest, err := index.NextImageEntry(append(bytes.Clone(good), "rest"...)); err != nil || string(rest) != "rest" {
		t.Errorf("rest %q, %v", rest, err)
	}
}

// TestImagePartContent: what a part's checksum vouches for and still is no part
// of this image. The image opens, and the part is refused.
func TestImagePartContent(t *testing.T) {
	for name, tt := range map[string]struct {
		entry   index.ImageEntry
		entries int
		tail    string
		fine    bool
	}{
		"last position":           {index.ImageEntry{Key: []byte("k"), LSN: 10232}, 1, "", true},
		"at the end of the image": {index.ImageEntry{Key: []byte("k"), LSN: 10240}, 1, "", false},
		"far behind the end":      {index.ImageEntry{Key: []byte("k"), LSN: index.MaxLSN - 7}, 1, "", false},
		"no position":             {index.ImageEntry{Key: []byte("k")}, 1, "", false},
		"not aligned":             {index.ImageEntry{Key: []byte("k"), LSN: 4100}, 1, "", false},
		"bytes behind the entry":  {index.ImageEntry{Key: []byte("k"), LSN: 4096}, 1, "x", false},
		"entry that is not said":  {index.ImageEntry{Key: []byte("k"), LSN: 4096}, 0, "", false},
		"entry that is not there": {index.ImageEntry{Key: make([]byte, 40), LSN: 4096}, 2, "", false},
	} {
		c := sample()
		f, err := memfs.New().Create("/image")
		if err != nil {
			t.Fatal(err)
		}
		w := index.NewImageWriter(f)
		w.BeginPart()
		if err := w.Add(append(index.AppendImageEntry(nil, tt.entry), tt.tail...), tt.entries); err != nil {
			t.Fatal(err)
		}
		r := c.regions[0]
		r.Parts = make([]index.ImagePart, 1<<r.PartBits)
		r.Parts[0] = w.EndPart()
		for i := range r.Parts[1:] {
			w.BeginPart()
			r.Parts[1+i] = w.EndPart()
		}
		if _, err := w.Finish(c.header, []index.ImageRegion{r}); err != nil {
			t.Fatal(err)
		}
		im, err := index.OpenImage(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := im.ReadPart(im.Regions[0].Parts[0], nil); (err == nil) != tt.fine || err != nil && !errors.Is(err, index.ErrImage) {
			t.Errorf("%s: %v", name, err)
		}
		if err := im.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
