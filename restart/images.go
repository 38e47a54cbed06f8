package restart

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
)

// chooseImage opens the newest image that fits the log. older says that a
// newer one was refused; reason says why each of those was, or why there is no
// image at all.
func (st *Store) chooseImage() (im *openImage, older bool, reason string, err error) {
	names, err := st.images.Names()
	if err != nil {
		return nil, false, "", err
	}
	if len(names) == 0 {
		return nil, false, "the store has no image", nil
	}
	var reasons []string
	for i := len(names) - 1; i >= 0; i-- {
		im, err := st.openImage(names[i])
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
	f, err := st.fs.Open(filepath.Join(st.images.Dir, name))
	if err != nil {
		return nil, err
	}
	im, err := index.OpenImage(f)
	if err == nil {
		err = st.images.Fit(im, st.log)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &openImage{Image: im, name: name}, nil
}

// outlive takes over what an image knows that the log may not know any more.
func (rec *recovery) outlive(im *openImage) {
	st := rec.st
	st.catalog.nextID = max(st.catalog.nextID, im.NextRegion)
	st.clock.start(max(st.clock.now(), im.Time))
}

// adopt takes the regions of an image into a recovery, their parts unread.
func (rec *recovery) adopt(im *openImage) error {
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
	r.lazy = &lazyRegion{
		image: im, bits: from.PartBits, parts: make([]lazyPart, len(from.Parts)), rebuilt: rebuilt{region: r},
		dead: max(r.st.log.First(), r.floor),
	}
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
