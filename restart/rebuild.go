package restart

import (
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/wal"
)

// A part that the image does not give any more is rebuilt from the older image
// and the log behind that, or from the log alone. The log is read once for all
// damaged parts of a region. Nothing has happened to such a part since the open:
// whoever changes or moves an entry loads its part first.

// rebuilt are parts of a region that were rebuilt together with another, until
// they are loaded.
type rebuilt struct {
	scan sync.Mutex // held through a rebuild

	mu     sync.Mutex
	parts  map[int][]replayed
	closed bool // no part is loaded from the image any more
}

// take returns a part that was rebuilt before.
func (b *rebuilt) take(n int) ([]replayed, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list, ok := b.parts[n]
	delete(b.parts, n)
	return list, ok
}

// keep keeps parts until they are taken.
func (b *rebuilt) keep(parts map[int][]replayed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		freeParts(parts)
		return
	}
	b.parts = parts
}

// close forgets what was kept.
func (b *rebuilt) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	freeParts(b.parts)
	b.parts, b.closed = nil, true
}

// freeParts empties the lists of parts.
func freeParts(parts map[int][]replayed) {
	for n, list := range parts {
		freeReplayed(list)
		parts[n] = nil
	}
}

// rebuildPart returns the records of part n, which is damaged.
func (r *Region) rebuildPart(n int) ([]replayed, error) {
	b := &r.lazy.rebuilt
	b.scan.Lock()
	defer b.scan.Unlock()
	if list, ok := b.take(n); ok {
		return list, nil
	}
	parts := r.damagedParts(n)
	older := r.st.olderImage(r.lazy.image)
	err := r.st.rebuild(r, older, parts)
	if older != nil && errors.Is(err, index.ErrImage) {
		freeParts(parts)
		err = r.st.rebuild(r, nil, parts)
	}
	if older != nil {
		err = errors.Join(err, older.Close())
	}
	if err != nil {
		freeParts(parts)
		return nil, err
	}
	list := parts[n]
	delete(parts, n)
	b.keep(parts)
	return list, nil
}

// damagedParts returns part n and the others that will be found damaged.
func (r *Region) damagedParts(n int) map[int][]replayed {
	parts := map[int][]replayed{n: nil}
	var buf []byte
	for i := range r.lazy.parts {
		p := &r.lazy.parts[i]
		sh := &r.shards[i*numShards/len(r.lazy.parts)]
		sh.mu.RLock()
		loaded := p.loaded
		sh.mu.RUnlock()
		if loaded {
			continue
		}
		var err error
		if buf, err = r.lazy.image.ReadPart(p.at, buf); errors.Is(err, index.ErrImage) {
			parts[i] = nil
		}
	}
	return parts
}

// olderImage opens the newest image before another that fits the log, nil if
// there is none.
func (st *Store) olderImage(than *openImage) *openImage {
	names, err := st.images.Names()
	if err != nil {
		return nil
	}
	for i := slices.Index(names, than.name) - 1; i >= 0; i-- {
		if im, err := st.openImage(names[i]); err == nil {
			return im
		}
	}
	return nil
}

// rebuild collects the records of some parts, from an older image, if there is
// one, and then from the log. On an error parts may have lists.
func (st *Store) rebuild(r *Region, older *openImage, parts map[int][]replayed) error {
	b := r.builder()
	defer b.close()
	s, first := st.scanBehind(older)
	defer s.Close()
	if older != nil {
		if err := r.collectImage(older, max(first, r.lazy.dead), parts); err != nil {
			return err
		}
	}
	for {
		f, err := s.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = r.usable()
		}
		if err == nil && f.Kind == segment.Data {
			err = st.collectFrame(b, f, parts)
		}
		if err != nil {
			return err
		}
	}
}

// scanBehind returns a scanner from where an image was begun, or of the whole
// log, and where the log began then. What is released later is still read.
func (st *Store) scanBehind(im *openImage) (s *wal.Scanner, first LSN) {
	for {
		first = st.log.First()
		from := first
		if im != nil {
			from = max(from, LSN(im.From))
		}
		s = st.log.Scan(from, st.recoveredEnd)
		if st.log.First() == first {
			return s, first
		}
		_ = s.Close() // returns nil
	}
}

// collectImage adds the entries of some parts that an older image has, as long
// as their records are in the log.
func (r *Region) collectImage(im *openImage, dead LSN, parts map[int][]replayed) error {
	i := slices.IndexFunc(im.Regions, func(from index.ImageRegion) bool { return from.ID == r.id })
	if i < 0 {
		return nil // created later
	}
	from := &im.Regions[i]
	for m := range overlapping(parts, r.lazy.bits, from.PartBits) {
		b, err := im.ReadPart(from.Parts[m], nil)
		if err != nil {
			return err
		}
		entries, err := r.decodePart(b, from.Parts[m].Entries, dead)
		for _, e := range entries {
			n := index.Part(e.hash, r.lazy.bits)
			if list, ok := parts[n]; ok {
				parts[n] = append(list, e)
			} else {
				index.FreeCell(r.arena, e.ref)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// overlapping returns which of 1<<to parts hold entries of some of 1<<bits parts.
func overlapping(parts map[int][]replayed, bits, to uint8) map[int]bool {
	in := make(map[int]bool)
	for n := range parts {
		first := n << to >> bits
		for m := first; m <= first+(1<<to-1)>>bits; m++ {
			in[m] = true
		}
	}
	return in
}

// collectFrame adds the records of some parts that are in one frame.
func (st *Store) collectFrame(b *builder, f segment.Frame, parts map[int][]replayed) error {
	r := b.region
	return st.eachOp(f, func(o op.Op, spec index.CellSpec) error {
		if o.Region != r.id || o.Kind != op.KindPut && o.Kind != op.KindDelete {
			return nil
		}
		n := index.Part(index.HashKey(o.Key), r.lazy.bits)
		list, ok := parts[n]
		if !ok {
			return nil
		}
		p, err := b.record(f.LSN, o, spec)
		if err == nil {
			parts[n] = append(list, p)
		}
		return err
	})
}
