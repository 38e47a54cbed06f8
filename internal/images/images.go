// Package images says which images of its index a store may use: for the store,
// which opens from one, and for the tools, which predict that it will.
package images

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/wal"
)

// LSN is a position in the log.
type LSN = segment.LSN

// DirName is the directory of a generation that holds its images.
const DirName = "checkpoint"

const suffix = ".img"

// Set is the images of one generation of a store.
type Set struct {
	FS  vfs.FS
	Dir string
	// StoreID, Lineage and Generation are what the images must have in common
	// with the store.
	StoreID, Lineage [16]byte
	Generation       uint32
}

// Name is the file name of an image of the log up to a position.
func Name(to LSN, epoch uint32) string {
	return fmt.Sprintf("%016x-%08x%s", uint64(to), epoch, suffix)
}

// ParseName is the inverse of Name.
func ParseName(name string) (to LSN, epoch uint32, ok bool) {
	var t uint64
	if _, err := fmt.Sscanf(name, "%016x-%08x"+suffix, &t, &epoch); err != nil {
		return 0, 0, false
	}
	return LSN(t), epoch, Name(LSN(t), epoch) == name
}

// Names returns the file names of the images, oldest first. Other files in the
// directory, or no directory, are not the images' concern.
func (s *Set) Names() ([]string, error) {
	list, err := s.FS.List(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	names := slices.DeleteFunc(list, func(name string) bool {
		_, _, ok := ParseName(name)
		return !ok
	})
	slices.SortFunc(names, func(a, b string) int {
		at, ae, _ := ParseName(a)
		bt, be, _ := ParseName(b)
		return cmp.Or(cmp.Compare(ae, be), cmp.Compare(at, bt))
	})
	return names, err
}

// Misfit says why an image is not one of the past of the store's log. It is an
// error.
type Misfit string

func (m Misfit) Error() string { return string(m) }

func misfitf(format string, args ...any) error { return Misfit(fmt.Sprintf(format, args...)) }

// Fit returns a Misfit if an image is not one of the log's past. Ids and the
// segment that it ends in tell the histories of copies of the store apart.
func (s *Set) Fit(im *index.Image, log *wal.Log) error {
	switch end := log.End(); {
	case im.StoreID != s.StoreID:
		return Misfit("of another store")
	case im.Lineage != s.Lineage || im.Generation != s.Generation:
		return Misfit("of another lineage")
	case LSN(im.To) > end:
		return misfitf("it reaches to LSN %d, the log ends at %d", im.To, end)
	case LSN(im.To) <= log.First():
		return misfitf("all of it left the log, which starts at LSN %d", log.First())
	}
	for _, seg := range log.Segments() {
		if seg.Base < LSN(im.To) && LSN(im.To) <= seg.End {
			if uint64(seg.Base) == im.SegmentBase && seg.Epoch == im.Epoch && seg.Salt == im.SegmentSalt {
				return nil
			}
			break
		}
	}
	return Misfit("the log was cut and continued since")
}

// Promised returns how far the images say that the log in a directory was
// durable: they are published only after that (I21), so what is missing below is
// damage and not a torn tail. Only an image taken while the newest segment was
// the newest counts; what others say is older than that segment, or of another
// history. Images that cannot be read say nothing.
func (s *Set) Promised(log string) (to LSN) {
	newest, err := newestSegment(s.FS, log)
	if err != nil {
		return 0 // opening the log says it better
	}
	names, err := s.Names()
	if err != nil {
		return 0
	}
	for _, name := range names {
		h, err := s.header(name)
		if err == nil && h.StoreID == s.StoreID && h.Lineage == s.Lineage && h.Generation == s.Generation &&
			h.SegmentBase == uint64(newest.Base) && h.Epoch == newest.Epoch && h.SegmentSalt == newest.Salt {
			to = max(to, LSN(h.To))
		}
	}
	return to
}

func (s *Set) header(name string) (index.ImageHeader, error) {
	f, err := s.FS.Open(filepath.Join(s.Dir, name))
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
		if ok && (!some || cmp.Or(cmp.Compare(epoch, lastEpoch), cmp.Compare(base, last)) > 0) {
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
