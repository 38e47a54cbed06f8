package inspect

import (
	"errors"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/images"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
)

// Store is a store to be looked at: where its log is, and which of the images
// beside it are its own.
type Store struct {
	Log              string // directory of the log
	StoreID, Lineage [16]byte
	Generation       uint32
}

// OpenStore finds the log of a store, as Open does, and its images. The store's
// lock is the caller's to hold.
func OpenStore(fsys vfs.FS, s Store) (*Log, error) {
	return start(&Log{fs: fsys, dir: s.Log, store: &s}, false)
}

// Image is an image of the index: what a restart reads instead of the log, up
// to some position.
type Image struct {
	Name    string        `json:"name"`
	Bytes   int64         `json:"bytes"`
	From    LSN           `json:"from_lsn"` // replay of the log starts here
	To      LSN           `json:"to_lsn"`   // nothing at or above it is in the image
	Time    time.Time     `json:"time,omitzero"`
	Entries int64         `json:"entries"`
	Parts   int           `json:"parts"`
	Regions []ImageRegion `json:"regions,omitempty"`

	// Fits means that a restart can use it. Reason says why not.
	Fits   bool   `json:"fits"`
	Reason string `json:"reason,omitempty"`
	// Later means that a later version wrote it, and that this one does not
	// open the store.
	Later bool `json:"later,omitempty"`
	// Damaged is the number of places that are not as they were written, once
	// the image was verified.
	Damaged int `json:"damaged,omitempty"`
	// Opened is how long it took to open, the parts unread.
	Opened time.Duration `json:"-"`

	err error // why it does not open
}

// ImageRegion is a region as an image has it.
type ImageRegion struct {
	Name       string `json:"name"`
	Entries    int64  `json:"entries"`
	Strategy   uint8  `json:"-"` // numbers of package restart
	Durability uint8  `json:"-"`
	Ordered    bool   `json:"-"`
}

// Images describes the images of the store, the newest first, without reading
// their parts. A log alone has none. An image that cannot be read is described
// by the reason.
func (l *Log) Images() (list []Image, err error) {
	names, err := l.imageNames()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		im, f := l.openImage(name)
		if f != nil {
			err = errors.Join(err, f.Close())
		}
		list = append(list, im)
	}
	return list, err
}

// imageNames returns the names of the images, the newest first, which is the
// order in which a restart tries them.
func (l *Log) imageNames() ([]string, error) {
	if l.store == nil {
		return nil, nil
	}
	names, err := l.images().Names()
	slices.Reverse(names)
	return names, err
}

// images are those of the store.
func (l *Log) images() *images.Set {
	return &images.Set{FS: l.fs, Dir: filepath.Join(filepath.Dir(l.store.Log), images.DirName),
		StoreID: l.store.StoreID, Lineage: l.store.Lineage, Generation: l.store.Generation}
}

// openImage opens an image and describes it. f is nil if it does not open.
func (l *Log) openImage(name string) (im Image, f *index.Image) {
	im.Name = name
	start := time.Now()
	file, err := l.fs.Open(filepath.Join(l.images().Dir, name))
	if err == nil {
		if im.Bytes, err = file.Size(); err == nil {
			f, err = index.OpenImage(file)
		}
		if err != nil {
			f, err = nil, errors.Join(err, file.Close())
		}
	}
	im.Opened = time.Since(start)
	if err != nil {
		im.err, im.Reason, im.Later = err, err.Error(), errors.Is(err, index.ErrImageVersion)
		return im, nil
	}
	im.describe(f)
	im.Reason = l.misfit(f)
	im.Fits = im.Reason == ""
	return im, f
}

// describe takes over what header and meta say.
func (im *Image) describe(f *index.Image) {
	im.From, im.To, im.Entries, im.Time = LSN(f.From), LSN(f.To), int64(f.Entries), time.Unix(0, f.Time).UTC()
	for _, r := range f.Regions {
		n := int64(0)
		for _, p := range r.Parts {
			n += int64(p.Entries)
		}
		im.Parts += len(r.Parts)
		im.Regions = append(im.Regions, ImageRegion{r.Name, n, r.Options.Strategy, r.Options.Durability, r.Options.Ordered})
	}
}

// misfit says why an image is not one of this log's past; "": it is.
func (l *Log) misfit(f *index.Image) string {
	if l.wal == nil {
		return "the log does not open"
	}
	if err := l.images().Fit(f, l.wal); err != nil {
		return err.Error()
	}
	return ""
}

// Behind says what a restart finds when it reads the log from a position on:
// whether there is data, and whether the front of the log was released, before
// the first of it. It reads no further.
func (l *Log) Behind(from LSN) (data, released bool, err error) {
	s := l.wal.Scan(max(from, l.tail.First), 0)
	defer s.Close()
	for {
		f, err := s.Next()
		switch {
		case err == io.EOF:
			return false, released, nil
		case err != nil:
			return false, released, err
		case f.Kind == segment.Data:
			return true, released, nil
		}
		released = released || f.Kind == segment.LowWater
	}
}
