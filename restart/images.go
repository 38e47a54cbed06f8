package restart

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
)

// chooseImage opens the newest image that fits the log. older says that a
// newer one was refused; reason says why each of those was, or why there is no
// image at all.
func (st *Store) chooseImage() (im *openImage, older bool, reason string, err error) {
	dir := st.checkpointDir()
	names, err := imageNames(st.fs.List(dir))
	if err != nil {
		return nil, false, "", err
	}
	if len(names) == 0 {
		return nil, false, "the store has no image", nil
	}
	var reasons []string
	for i := len(names) - 1; i >= 0; i-- {
		im, err := st.openImage(filepath.Join(dir, names[i]))
		if err == nil {
			return im, len(reasons) > 0, strings.Join(reasons, "; "), nil
		}
		if errors.Is(err, op.ErrUnsupported) || errors.Is(err, index.ErrImageVersion) {
			return nil, false, "", fmt.Errorf("%w: %s: %w", ErrUnsupported, names[i], err)
		}
		reasons = append(reasons, fmt.Sprintf("image %s: %v", names[i], err))
	}
	return nil, false, strings.Join(reasons, "; "), nil
}

// openImage opens an image and checks that it is one of this log.
func (st *Store) openImage(name string) (*openImage, error) {
	f, err := st.fs.Open(name)
	if err != nil {
		return nil, err
	}
	im, err := index.OpenImage(f)
	if err == nil {
		err = st.fits(im)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &openImage{Image: im, name: filepath.Base(name)}, nil
}

// unfitError says why an image is not one of the log's past.
type unfitError string

func (e unfitError) Error() string { return string(e) }

func unfitf(format string, args ...any) error { return unfitError(fmt.Sprintf(format, args...)) }

// fits says why an image is not one of this log's past, if it is not. Ids and
// segment tell the histories of copies of the store apart.
func (st *Store) fits(im *index.Image) error {
	switch end := st.log.End(); {
	case im.StoreID != st.current.storeID:
		return unfitError("of another store")
	case im.Lineage != st.current.lineage().id || im.Generation != st.current.generation:
		return unfitError("of another lineage")
	case LSN(im.To) > end:
		return unfitf("it reaches to LSN %d, the log ends at %d", im.To, end)
	case LSN(im.To) <= st.log.First():
		return unfitf("all of it left the log, which starts at LSN %d", st.log.First())
	}
	for _, s := range st.log.Segments() {
		if s.Base < LSN(im.To) && LSN(im.To) <= s.End {
			if uint64(s.Base) == im.SegmentBase && s.Epoch == im.Epoch && s.Salt == im.SegmentSalt {
				return nil
			}
			break
		}
	}
	return unfitError("the log was cut and continued since")
}

// promised returns how far the images say that the log was durable: they are
// published only after that (I21), so what is missing below is damage and not a
// torn tail. Only an image taken while the newest segment was the newest counts;
// what others say is older than that segment, or of another history. Images
// that cannot be read say nothing.
func (st *Store) promised(log string, cur current) (to LSN) {
	newest, err := newestSegment(st.fs, log)
	if err != nil {
		return 0 // the log's own open says so better
	}
	dir := filepath.Join(st.dir, generationName(cur.generation), checkpointName)
	names, err := imageNames(st.fs.List(dir))
	if err != nil {
		return 0
	}
	for _, name := range names {
		h, err := readImageHeader(st.fs, filepath.Join(dir, name))
		if err == nil && h.StoreID == cur.storeID && h.Lineage == cur.lineage().id && h.Generation == cur.generation &&
			h.SegmentBase == uint64(newest.Base) && h.Epoch == newest.Epoch && h.SegmentSalt == newest.Salt {
			to = max(to, LSN(h.To))
		}
	}
	return to
}

func readImageHeader(fsys vfs.FS, name string) (index.ImageHeader, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return index.ImageHeader{}, err
	}
	h, err := index.ReadImageHeader(f)
	return h, errors.Join(err, f.Close())
}

// newestSegment returns the header of the newest segment in a log's directory.
func newestSegment(fsys vfs.FS, dir string) (h segment.Header, err error) {
	names, err := fsys.List(dir)
	if err != nil {
		return h, err
	}
	newest := ""
	for _, name := range names {
		base, epoch, ok := segment.ParseFileName(name)
		last, lastEpoch, some := segment.ParseFileName(newest)
		if ok && (!some || epoch > lastEpoch || epoch == lastEpoch && base > last) {
			newest = name
		}
	}
	f, err := fsys.Open(filepath.Join(dir, newest))
	if err != nil {
		return h, err
	}
	h, err = segment.ReadFileHeader(f)
	return h, errors.Join(err, f.Close())
}

// adopt takes the regions of an image into a recovery, their parts unread.
func (rec *recovery) adopt(im *openImage) error {
	st := rec.st
	st.catalog.nextID = max(st.catalog.nextID, im.NextRegion)
	st.clock.start(max(st.clock.now(), im.Time))
	im.left.Store(1) // this function's
	for i := range im.Regions {
		from := &im.Regions[i]
		o, err := decodeOptions(from.Name, from.Options)
		if err != nil {
			return errors.Join(err, im.Close())
		}
		r := rec.region(from.ID)
		r.created, r.name, r.opts = true, from.Name, o
		r.position, r.floor = LSN(from.Position), LSN(from.Floor)
		r.durability.Store(uint32(o.Durability))
		r.attach(im, from)
	}
	im.done(1)
	return nil
}

// attach makes the parts of an image the region's.
func (r *Region) attach(im *openImage, from *index.ImageRegion) {
	r.lazy = &lazyRegion{image: im, bits: from.PartBits, dead: max(r.st.log.First(), r.floor), parts: make([]lazyPart, len(from.Parts))}
	per := len(from.Parts) / numShards
	for i, at := range from.Parts {
		p := &r.lazy.parts[i]
		p.at = at
		if at.Entries == 0 {
			p.loaded = true
			continue
		}
		r.shards[i/per].pending++
		r.lazy.left.Add(1)
		im.left.Add(1)
	}
}

func rungOf(older bool, records int64) Rung {
	switch {
	case older:
		return RungOlderImage
	case records == 0:
		return RungCleanImage
	}
	return RungImageTail
}
