package index_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

var update = flag.Bool("update", false, "rewrite the golden image (never once it is released)")

// Where things are in an image, as docs/format/image.md says.
const (
	headerSize = 4096
	versionAt  = 8
	fromAt     = 56
	toAt       = 64
	entriesAt  = 80
	metaAt     = 88
	metaLenAt  = 96
	metaSumAt  = 104
	headerEnd  = 128 // of the fields; then zeros
	sumAt      = headerSize - 8
)

// content is an image as it is meant.
type content struct {
	header  index.ImageHeader
	regions []index.ImageRegion // without parts
	entries [][]index.ImageEntry
}

// sample is a small image with everything an image can have.
func sample() content {
	c := content{header: index.ImageHeader{
		StoreID: [16]byte{1, 2, 3}, Lineage: [16]byte{4, 5, 15: 6}, Generation: 7,
		SegmentBase: 4096, Epoch: 3, SegmentSalt: 0xfeedfacecafebeef,
		From: 8192, To: 10240, Time: 1_700_000_000_000_000_000, NextRegion: 12,
	}}
	c.regions = []index.ImageRegion{
		{ID: 2, Name: "ships", Options: op.RegionOptions{Strategy: 1, Durability: 1, Ordered: true}, Position: 4096, Floor: 4200, PartBits: 6},
		{ID: 11, Name: "empty", Options: op.RegionOptions{Strategy: 1}, Position: 4160, PartBits: 6},
	}
	c.entries = [][]index.ImageEntry{{
		{Key: []byte{}, LSN: 4224, ValueLen: 0, ValueHash: index.HashValue(nil)},
		{Key: []byte("plain"), LSN: 4296, ValueLen: 5, ValueHash: index.HashValue([]byte("value"))},
		{Key: []byte("brief"), LSN: 4400, ValueLen: 1, ValueHash: 9, Expiry: 1_800_000_000_000_000_000},
		{Key: []byte("first of a batch"), LSN: 8192, ValueLen: index.MaxValue, ValueHash: 1<<64 - 1, InBatch: true},
		{Key: bytes.Repeat([]byte("k"), 300), LSN: 8192, ValueLen: 7, Op: 1<<32 - 1, InBatch: true, Expiry: -1},
	}, nil}
	return c
}

// write makes the image in a new file and returns its bytes.
func (c content) write(t testing.TB) []byte {
	t.Helper()
	m := memfs.New()
	f, err := m.Create("/image")
	if err != nil {
		t.Fatal(err)
	}
	size, err := c.writeTo(f)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if got, err := f.Size(); err != nil || got != size {
		t.Fatalf("file of %d bytes, said %d: %v", got, size, err)
	}
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return b
}

func (c content) writeTo(f vfs.File) (int64, error) {
	w := index.NewImageWriter(f)
	regions := make([]index.ImageRegion, len(c.regions))
	for i, r := range c.regions {
		r.Parts = make([]index.ImagePart, 1<<r.PartBits)
		for n := range r.Parts {
			w.BeginPart()
			for _, e := range c.entries[i] {
				if index.Part(index.HashKey(e.Key), r.PartBits) != n {
					continue
				}
				if err := w.Add(index.AppendImageEntry(nil, e), 1); err != nil {
					return 0, err
				}
			}
			r.Parts[n] = w.EndPart()
		}
		regions[i] = r
	}
	return w.Finish(c.header, regions)
}

// openImage opens an image that is in memory.
func openImage(t testing.TB, b []byte) (*index.Image, error) {
	t.Helper()
	f, err := memfs.New().Create("/image")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	im, err := index.OpenImage(f)
	if err != nil {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return nil, err
	}
	t.Cleanup(func() { _ = im.Close() }) // a file in memory that was only read
	return im, nil
}

// readAll opens an image and reads every entry of every part.
func readAll(t testing.TB, b []byte) (im *index.Image, entries [][]index.ImageEntry, err error) {
	t.Helper()
	if im, err = openImage(t, b); err != nil {
		return nil, nil, err
	}
	for _, r := range im.Regions {
		var list []index.ImageEntry
		for n, p := range r.Parts {
			part, err := readPart(im, p)
			if err != nil {
				return nil, nil, err
			}
			for _, e := range part {
				if got := index.Part(index.HashKey(e.Key), r.PartBits); got != n {
					t.Errorf("key %q is in part %d, want %d", e.Key, n, got)
				}
			}
			list = append(list, part...)
		}
		entries = append(entries, list)
	}
	return im, entries, nil
}

func readPart(im *index.Image, p index.ImagePart) (list []index.ImageEntry, err error) {
	b, err := im.ReadPart(p, nil)
	if err != nil {
		return nil, err
	}
	for range p.Entries {
		e, rest, err := index.NextImageEntry(b)
		if err != nil {
			return nil, err
		}
		list, b = append(list, e), rest
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind a part", index.ErrImage, len(b))
	}
	return list, nil
}

// seal makes the checksums of header and meta right again.
func seal(b []byte) []byte {
	le := binary.LittleEndian
	at, n := le.Uint64(b[metaAt:]), le.Uint64(b[metaLenAt:])
	if at <= uint64(len(b)) && n <= uint64(len(b))-at {
		le.PutUint64(b[metaSumAt:], xxhash.Sum64(b[at:at+n]))
	}
	le.PutUint64(b[sumAt:], xxhash.Sum64(b[:sumAt]))
	return b
}

// TestImageGolden holds the bytes of version 1. They are part of the file format.
func TestImageGolden(t *testing.T) {
	got := sample().write(t)
	name := filepath.Join("testdata", "v1", "small.img")
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the image changed: %d bytes, want %d", len(got), len(want))
	}
	check(t, want, sample())
}

// check compares an image with what it is meant to be.
func check(t *testing.T, b []byte, want content) {
	t.Helper()
	im, entries, err := readAll(t, b)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, r := range im.Regions {
		byKey := map[string]index.ImageEntry{}
		for _, e := range entries[i] {
			byKey[string(e.Key)] = e
		}
		for _, e := range want.entries[i] {
			if got := byKey[string(e.Key)]; !reflect.DeepEqual(got, e) {
				t.Errorf("region %q: %+v, want %+v", r.Name, got, e)
			}
		}
		if len(byKey) != len(want.entries[i]) || len(entries[i]) != len(byKey) {
			t.Errorf("region %q: %d entries of %d keys, want %d", r.Name, len(entries[i]), len(byKey), len(want.entries[i]))
		}
		n += len(byKey)
		r.Parts = nil
		if !reflect.DeepEqual(r, want.regions[i]) {
			t.Errorf("region %+v, want %+v", r, want.regions[i])
		}
	}
	if im.Entries != uint64(n) || im.Size != int64(len(b)) || len(im.Regions) != len(want.regions) {
		t.Errorf("%d entries, %d bytes, %d regions, want %d, %d, %d", im.Entries, im.Size, len(im.Regions), n, len(b), len(want.regions))
	}
	got := publicHeader(im.ImageHeader)
	got.Entries = 0
	if got != want.header {
		t.Errorf("header %+v, want %+v", got, want.header)
	}
}

// publicHeader leaves out where the meta is.
func publicHeader(h index.ImageHeader) index.ImageHeader {
	return index.ImageHeader{
		StoreID: h.StoreID, Lineage: h.Lineage, Generation: h.Generation, SegmentBase: h.SegmentBase, Epoch: h.Epoch,
		SegmentSalt: h.SegmentSalt, From: h.From, To: h.To, Time: h.Time, NextRegion: h.NextRegion, Entries: h.Entries,
	}
}

// TestImageLarge: parts larger than the writer's buffer, more of them than the
// least, and no region at all.
func TestImageLarge(t *testing.T) {
	c := content{header: index.ImageHeader{From: 4096, To: index.MaxLSN, NextRegion: 3}}
	check(t, c.write(t), c)

	c.regions = []index.ImageRegion{{ID: 1, Name: "r", PartBits: index.MinPartBits + 1}, {ID: 2, Name: "s", PartBits: index.MinPartBits}}
	rng := rand.New(rand.NewPCG(1, 2))
	c.entries = make([][]index.ImageEntry, 2)
	for i := range 3000 {
		key := fmt.Appendf(make([]byte, rng.IntN(3000)), "-%d", i)
		c.entries[i%2] = append(c.entries[i%2], index.ImageEntry{Key: key, LSN: 8 * uint64(i+1), ValueLen: i, ValueHash: rng.Uint64()})
	}
	b := c.write(t)
	if len(b) < 4<<20 {
		t.Fatalf("only %d bytes", len(b))
	}
	check(t, b, c)
}

// TestImageFlips: a byte of an image that is not what was written is noticed,
// whichever it is, before anything that it says is believed.
func TestImageFlips(t *testing.T) {
	good := sample().write(t)
	for i := range good {
		for _, mask := range []byte{1, 0x80, 0xff} {
			b := bytes.Clone(good)
			b[i] ^= mask
			if _, _, err := readAll(t, b); !errors.Is(err, index.ErrImage) {
				t.Errorf("byte %d xor %#x: %v", i, mask, err)
			}
		}
	}
}

// TestImageFlipStaysInPart: a damaged part costs that part and no other.
func TestImageFlipStaysInPart(t *testing.T) {
	b := sample().write(t)
	im, err := openImage(t, b)
	if err != nil {
		t.Fatal(err)
	}
	parts := im.Regions[0].Parts
	for n, p := range parts {
		if p.Entries == 0 {
			continue
		}
		bad := bytes.Clone(b)
		bad[p.Offset+p.Length-1] ^= 4
		im, err := openImage(t, bad)
		if err != nil {
			t.Fatal(err)
		}
		for m, p := range parts {
			if _, err := im.ReadPart(p, nil); (m == n) != errors.Is(err, index.ErrImage) {
				t.Errorf("part %d with part %d damaged: %v", m, n, err)
			}
		}
	}
}

// TestImageTruncated: an image that ends early, at any byte, or goes on.
func TestImageTruncated(t *testing.T) {
	good := sample().write(t)
	for n := range good {
		if _, err := openImage(t, good[:n]); !errors.Is(err, index.ErrImage) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := openImage(t, append(bytes.Clone(good), 0)); !errors.Is(err, index.ErrImage) {
		t.Errorf("a byte too many: %v", err)
	}
	for n := 0; n < len(good); n += 512 { // a hole, as after a lost write of a sector
		b := bytes.Clone(good)
		clear(b[n:min(n+512, len(b))])
		if _, _, err := readAll(t, b); !errors.Is(err, index.ErrImage) && !bytes.Equal(b, good) {
			t.Errorf("zeros at %d: %v", n, err)
		}
	}
}

// TestImageLaterVersion: not damaged, this program just cannot read it.
func TestImageLaterVersion(t *testing.T) {
	for _, v := range []uint32{0, 2, 1 << 31} {
		b := sample().write(t)
		binary.LittleEndian.PutUint32(b[versionAt:], v)
		if _, err := openImage(t, seal(b)); !errors.Is(err, index.ErrImageVersion) || errors.Is(err, index.ErrImage) {
			t.Errorf("version %d: %v", v, err)
		}
	}
}

// TestImageDiskFull: no image is reported as written that is not.
func TestImageDiskFull(t *testing.T) {
	c := sample()
	size := int64(len(c.write(t)))
	failed := 0
	for room := int64(0); room < size+4096; room += 512 {
		m := memfs.New()
		f, err := m.Create("/image")
		if err != nil {
			t.Fatal(err)
		}
		m.SetCapacity(room)
		if _, err = c.writeTo(f); err != nil {
			if failed++; !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("room for %d bytes: %v", room, err)
			}
		} else if im, err := index.OpenImage(f); err != nil {
			t.Errorf("room for %d bytes: written, and does not open: %v", room, err)
		} else if err := im.Close(); err != nil {
			t.Error(err)
		}
	}
	if failed == 0 || failed == int(size+4096+511)/512 {
		t.Errorf("%d writes failed", failed)
	}
}

func TestPartBits(t *testing.T) {
	for n, want := range map[int]uint8{0: 6, 64 * 2500: 6, 65 * 2500: 7, 10_000_000: 12, 1 << 31 / 2: 12} {
		if got := index.PartBits(n); got != want {
			t.Errorf("PartBits(%d) = %d, want %d", n, got, want)
		}
	}
	if a, b := index.Part(0, 12), index.Part(1<<64-1, 12); a != 0 || b != 4095 {
		t.Errorf("parts %d to %d", a, b)
	}
}
