package restart

import (
	"io"
	"slices"
	"sync"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/wal"
)

// A part that the image does not give any more, for whatever reason, is rebuilt
// from the older image and the log behind that, or from the log alone. The log
// is read once for all such parts of a region. Nothing has happened to one since
// the open: whoever changes or moves an entry loads its part first.

// rebuilt are parts of a region that were rebuilt together with another, until
// they are loaded.
type rebuilt struct {
	region *Region
	scan   sync.Mutex // held through a rebuild

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

// forget frees a part that the image gave after all.
func (b *rebuilt) forget(n int) {
	list, _ := b.take(n)
	b.region.freeReplayed(list)
}

// keep keeps parts until they are taken, in the place of those kept before: what
// of them is damaged still was rebuilt again.
func (b *rebuilt) keep(parts map[int][]replayed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		b.region.freeParts(parts)
		return
	}
	b.region.freeParts(b.parts)
	b.parts = parts
}

// close forgets what was kept.
func (b *rebuilt) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.region.freeParts(b.parts)
	b.parts, b.closed = nil, true
}

// freeParts empties the lists of parts.
func (r *Region) freeParts(parts map[int][]replayed) {
	for n, list := range parts {
		r.freeReplayed(list)
		parts[n] = nil
	}
}

// rebuildPart returns the records of part n, which is damaged.
func (r *Region) rebuildPart(n int) ([]replayed, error) {
	b := &r.lazy.rebuilt
	b.scan.Lock()
	defer b.scan.Unlock()
	if list, ok := b.take(n); ok || r.loadedPart(n) {
		return list, nil
	}
	parts := r.damagedParts(n)
	older := r.st.olderImage(r.lazy.image)
	err := r.rebuild(older, parts)
	if older != nil {
		_ = older.Close() // it was only read
	}
	if older != nil && err != nil { // perhaps the image's: the log has it all
		r.freeParts(parts)
		err = r.rebuild(nil, parts)
	}
	if err != nil {
		r.freeParts(parts)
		return nil, err
	}
	list := parts[n]
	delete(parts, n)
	b.keep(parts)
	return list, nil
}

// loadedPart reports whether a part is loaded, by somebody else perhaps.
func (r *Region) loadedPart(n int) bool {
	sh := r.shardOfPart(n)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return r.lazy.parts[n].loaded
}

// damagedParts returns part n and the others that cannot be read either.
func (r *Region) damagedParts(n int) map[int][]replayed {
	parts := map[int][]replayed{n: nil}
	var buf []byte
	for i := range r.lazy.parts {
		p := &r.lazy.parts[i]
		if r.loadedPart(i) {
			continue
		}
		var err error
		if buf, err = r.lazy.image.ReadPart(p.at, buf); err != nil {
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
func (r *Region) rebuild(older *openImage, parts map[int][]replayed) error {
	c := collector{builder: r.builder(), parts: parts}
	defer c.close()
	s, first := r.st.scanBehind(older)
	defer s.Close()
	if older != nil {
		if err := c.image(older, max(first, r.lazy.dead)); err != nil {
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
			err = c.frame(f)
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

// collector gathers records of some parts of a region, in the order in which
// they are to be replayed.
type collector struct {
	*builder
	parts   map[int][]replayed
	records int // in parts
	thinned int // of them after the last thinning
}

// thinAt is how many records are gathered at least before those that were
// superseded are dropped.
const thinAt = 1 << 16

// add takes in a record, or frees it if it is of another part.
func (c *collector) add(p replayed) {
	n := index.Part(p.hash, c.region.lazy.bits)
	list, ok := c.parts[n]
	if !ok {
		index.FreeCell(c.region.arena, p.ref)
		return
	}
	c.parts[n] = append(list, p)
	if c.records++; c.records < 2*c.thinned+thinAt {
		return
	}
	c.records = 0
	for n, list := range c.parts {
		c.parts[n] = c.region.newestPuts(list)
		c.records += len(c.parts[n])
	}
	c.thinned = c.records
}

// newestPuts keeps the newest record of each key, if it is a put, and frees the
// others. Nothing older than a delete is gathered after it.
func (r *Region) newestPuts(list []replayed) []replayed {
	at := make(map[string]int)
	newest := list[:0]
	for _, p := range list {
		key := r.cell(p.ref).Key()
		i, ok := at[string(key)]
		switch {
		case !ok:
			at[string(key)] = len(newest)
			newest = append(newest, p)
		case newest[i].lsn >= p.lsn:
			index.FreeCell(r.arena, p.ref)
		default:
			index.FreeCell(r.arena, newest[i].ref)
			newest[i] = p
		}
	}
	puts := newest[:0]
	for _, p := range newest {
		if p.put {
			puts = append(puts, p)
		} else {
			index.FreeCell(r.arena, p.ref)
		}
	}
	return puts
}

// image adds the entries that an older image has, as long as their records are
// in the log.
func (c *collector) image(im *openImage, dead LSN) error {
	r := c.region
	i := slices.IndexFunc(im.Regions, func(from index.ImageRegion) bool { return from.ID == r.id })
	if i < 0 {
		return nil // created later
	}
	from := &im.Regions[i]
	for m := range overlapping(c.parts, r.lazy.bits, from.PartBits) {
		b, err := im.ReadPart(from.Parts[m], nil)
		if err != nil {
			return err
		}
		entries, err := r.decodePart(b, from.Parts[m].Entries, dead)
		for _, e := range entries {
			c.add(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// frame adds the records that are in one frame.
func (c *collector) frame(f *segment.Frame) error {
	r := c.region
	var x operation
	return r.st.eachOp(f, &x, func() error {
		if x.Region != r.id || x.Kind != op.KindPut && x.Kind != op.KindDelete {
			return nil
		}
		p := replayed{hash: index.HashKey(x.Key)}
		if _, ok := c.parts[index.Part(p.hash, r.lazy.bits)]; !ok {
			return nil
		}
		err := c.record(&p, &x)
		if err == nil {
			c.add(p)
		}
		return err
	})
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
