package index

import (
	"errors"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/vfs"
)

// ImageWriter writes an image into a new file. It is for one goroutine.
type ImageWriter struct {
	f       vfs.File
	at      int64 // where buf goes
	buf     []byte
	sum     xxhash.Digest
	part    ImagePart
	entries uint64
}

// imageBuffer is how much is written at a time.
const imageBuffer = 1 << 20

// NewImageWriter starts an image in an empty file.
func NewImageWriter(f vfs.File) *ImageWriter {
	return &ImageWriter{f: f, at: imageHeaderSize, buf: make([]byte, 0, imageBuffer+64<<10)}
}

// BeginPart starts the next part.
func (w *ImageWriter) BeginPart() {
	w.part = ImagePart{Offset: w.at + int64(len(w.buf))}
	w.sum.Reset()
}

// Add adds encoded entries to the part.
func (w *ImageWriter) Add(entries []byte, n int) error {
	_, _ = w.sum.Write(entries) // never fails
	w.part.Length += int64(len(entries))
	w.part.Entries += n
	w.entries += uint64(n)
	if w.part.Length > maxImagePart {
		return imageError("part of more than %d bytes", maxImagePart)
	}
	w.buf = append(w.buf, entries...)
	if len(w.buf) >= imageBuffer {
		return w.flush()
	}
	return nil
}

// EndPart returns where the part is.
func (w *ImageWriter) EndPart() ImagePart {
	w.part.Sum = w.sum.Sum64()
	return w.part
}

func (w *ImageWriter) flush() error {
	n, err := w.f.WriteAt(w.buf, w.at)
	w.at += int64(n)
	w.buf = w.buf[:0]
	return err
}

// Finish writes meta and header, and syncs the file. It returns the size of
// the image in bytes.
func (w *ImageWriter) Finish(h ImageHeader, regions []ImageRegion) (int64, error) {
	meta := le.AppendUint32(nil, uint32(len(regions)))
	for _, r := range regions {
		meta = appendImageRegion(meta, r)
	}
	h.metaAt, h.metaLen, h.metaSum = uint64(w.at)+uint64(len(w.buf)), uint64(len(meta)), xxhash.Sum64(meta)
	h.Entries = w.entries
	w.buf = append(w.buf, meta...)
	if err := w.flush(); err != nil {
		return 0, err
	}
	if _, err := w.f.WriteAt(h.encode(), 0); err != nil {
		return 0, err
	}
	return w.at, w.f.Sync()
}

// Image is an open image. Parts may be read concurrently.
type Image struct {
	ImageHeader
	Regions []ImageRegion
	Size    int64 // of the file, in bytes

	f vfs.File
}

// OpenImage reads and verifies header and meta, not the parts. The file stays
// the caller's until it succeeds; then Close closes it.
func OpenImage(f vfs.File) (*Image, error) {
	h, err := ReadImageHeader(f)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size < imageHeaderSize || h.metaAt > uint64(size) || h.metaLen != uint64(size)-h.metaAt {
		return nil, imageError("file of %d bytes, meta at %d with %d bytes", size, h.metaAt, h.metaLen)
	}
	meta := make([]byte, h.metaLen)
	if err := readFull(f, meta, int64(h.metaAt)); err != nil {
		return nil, err
	}
	if xxhash.Sum64(meta) != h.metaSum {
		return nil, imageError("meta checksum")
	}
	im := &Image{ImageHeader: h, Size: size, f: f}
	return im, im.decodeMeta(meta)
}

// ReadImageHeader reads and verifies the header of an image and nothing else.
func ReadImageHeader(f vfs.File) (ImageHeader, error) {
	b := make([]byte, imageHeaderSize)
	if err := readFull(f, b, 0); err != nil {
		return ImageHeader{}, err
	}
	return decodeImageHeader(b)
}

func (im *Image) decodeMeta(b []byte) error {
	if len(b) < 4 {
		return imageError("meta cut short")
	}
	n := le.Uint32(b)
	b = b[4:]
	entries := uint64(0)
	names := make(map[string]bool)
	for range n {
		r, rest, err := decodeImageRegion(b, int64(im.metaAt))
		if err == nil {
			err = im.checkRegion(&r, names)
		}
		if err != nil {
			return err
		}
		names[r.Name] = true
		im.Regions = append(im.Regions, r)
		b = rest
		for i := range r.Parts {
			entries += uint64(r.Parts[i].Entries)
		}
	}
	if entries != im.ImageHeader.Entries {
		return imageError("%d entries in the parts, %d in the header", entries, im.ImageHeader.Entries)
	}
	if len(b) != 0 {
		return imageError("%d bytes behind the meta", len(b))
	}
	return nil
}

// checkRegion refuses a region that cannot follow those read so far: of two
// with one id, or with one name, a store could show only one.
func (im *Image) checkRegion(r *ImageRegion, names map[string]bool) error {
	switch n := len(im.Regions); {
	case n > 0 && r.ID <= im.Regions[n-1].ID:
		return imageError("region %d behind region %d", r.ID, im.Regions[n-1].ID)
	case r.ID >= im.NextRegion:
		return imageError("region %d, the next one is %d", r.ID, im.NextRegion)
	case names[r.Name]:
		return imageError("two regions %q", r.Name)
	case r.Position >= im.To || r.Floor > im.To:
		return imageError("region %q at LSN %d, cleared at %d, in an image to %d", r.Name, r.Position, r.Floor, im.To)
	}
	return nil
}

// ReadPart reads a part into buf, which grows as needed, and verifies it: its
// checksum, and that it holds as many entries as it says, all of them from
// below To, and nothing else. The entries are NextImageEntry's to decode.
func (im *Image) ReadPart(p ImagePart, buf []byte) ([]byte, error) {
	if int64(cap(buf)) < p.Length {
		buf = make([]byte, p.Length)
	}
	buf = buf[:p.Length]
	if err := readFull(im.f, buf, p.Offset); err != nil {
		return buf, err
	}
	if xxhash.Sum64(buf) != p.Sum {
		return buf, imageError("checksum of the part at %d", p.Offset)
	}
	return buf, im.checkPart(p, buf)
}

// checkPart walks the entries of a part. It looks at positions and lengths only,
// since it is in the way of every restart; NextImageEntry looks at the rest.
func (im *Image) checkPart(p ImagePart, b []byte) error {
	for range p.Entries {
		if len(b) < imageEntryFixed {
			return imageError("entry cut short")
		}
		lsn, size := measureEntry(b)
		if size > int64(len(b)) {
			return imageError("entry of %d bytes, %d are left", size, len(b))
		}
		if lsn == 0 || lsn%lsnAlign != 0 || lsn >= im.To {
			return imageError("entry at LSN %d, above the end of what the image knows, %d, or none", lsn, im.To)
		}
		b = b[size:]
	}
	if len(b) != 0 {
		return imageError("%d bytes behind the entries of the part at %d", len(b), p.Offset)
	}
	return nil
}

// Close closes the file.
func (im *Image) Close() error { return im.f.Close() }

// readFull reads all of b; a file that ends before is a damaged image.
func readFull(f vfs.File, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return imageError("file ends at %d, in the middle of it", off+int64(n))
	}
	return err
}

// PartBits returns how many parts a region of n entries gets, as a power of
// two: about 2500 entries a part.
func PartBits(n int) uint8 {
	bits := uint8(MinPartBits)
	for bits < MaxPartBits && n>>bits > 2500 {
		bits++
	}
	return bits
}

// Part returns the part of a hash among 1<<bits parts.
func Part(hash uint64, bits uint8) int { return int(hash >> (64 - bits)) }
