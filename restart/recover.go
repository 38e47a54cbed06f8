package restart

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/offheap"
	"github.com/fastrestart/frs/wal"
)

// Recovery reads the log from where the image of the index ends, or all of it
// where there is no image, or where everything is to be loaded. Segments are
// decoded in parallel, a round of them at a time: each record gets its cell at
// once and goes to a list per shard number. Then the shards apply their lists in
// parallel, segment after segment and so in LSN order, while a shard's table fits
// the cache. A record below the entry's position or the region's floor is ignored.

// roundBytes bounds the log bytes decoded before they are applied, and so the
// memory that dead records take; a segment larger than that is a round.
const roundBytes = 128 << 20

// recovery is the state of one open.
type recovery struct {
	st  *Store
	ctx context.Context

	mu      sync.Mutex
	regions map[uint32]*recovering
	only    bool // these regions, no others

	segments []*decoded // of the last round: what is not applied yet, and their memory
	records  atomic.Int64
	bytes    atomic.Int64

	imageFrom LSN            // where the newest image that fits was begun, used or not
	behind    atomic.Int64   // records from there on
	loading   LoadInfo       // of a load from the log alone
	progress  func(LoadInfo) // is told how far that is; nil: it is none
}

// recovering is a region of which records were seen, its creation perhaps not
// yet: the compactor may have moved that record behind them.
type recovering struct {
	*Region
	created bool
	dropped bool
}

// control is a record about a whole region: creation, drop, clear.
type control struct {
	lsn LSN
	op  op.Op
}

// recover rebuilds the store's regions, from an image and the log behind it
// where there is one.
func (st *Store) recover(ctx context.Context) error {
	start := time.Now()
	rec := &recovery{st: st, ctx: ctx, regions: make(map[uint32]*recovering)}
	rep := RecoveryReport{Rung: RungFullScan}
	im, older, reason, err := st.chooseImage()
	if err != nil {
		return err
	}
	rep.Reason = reason
	all := im != nil && st.loadsByScan()
	if err := rec.run(im, all); err != nil {
		rec.abandon()
		return err
	}
	switch {
	case all:
		const why = "everything is to be loaded, and the log is read for that anyway"
		rep.Reason = strings.TrimPrefix(reason+"; "+why, "; ")
	case im != nil:
		rep.Rung, rep.Image = rungOf(older, rec.behind.Load()), im.name
	}
	rec.fill(&rep)
	rep.Took = time.Since(start)
	st.recoveredEnd = st.log.End()
	st.checkpoint.opened(im, rec.behind.Load(), rep)
	st.report.set(rep)
	return nil
}

// run adopts the image, if there is one, and replays the log behind it; or it
// replays all of the log.
func (rec *recovery) run(im *openImage, all bool) error {
	from := rec.st.log.First()
	if im != nil {
		rec.imageFrom = max(from, LSN(im.From))
		rec.outlive(im)
	}
	switch {
	case all:
		_ = im.Close() // it was only read
	case im != nil:
		if err := rec.adopt(im); err != nil {
			return err
		}
		from = rec.imageFrom
	}
	if rec.st.opts.Load == Eager && (all || im == nil) {
		rec.loading.Total = int64(rec.st.log.End() - from)
		rec.progress = rec.st.opts.Events.loadProgress
	}
	if err := rec.scan(from, rec.st.log.End()); err != nil {
		return err
	}
	return rec.finish()
}

// loadsByScan reports whether one look at the whole log is the quickest way to
// everything: an eager load reads all of it, and needs neither the image nor a
// second cell for each entry if memory has room for what the log holds.
func (st *Store) loadsByScan() bool {
	return st.opts.Load == Eager && st.logFits()
}

// logFits reports whether memory has room for all that the log holds.
func (st *Store) logFits() bool {
	return st.opts.Compression == wal.None && st.pool.Used()+st.logBytes() <= st.pool.Limit()/4*3
}

// abandon lets go of the image that regions of a failed recovery hold.
func (rec *recovery) abandon() {
	for _, r := range rec.regions {
		r.abandonParts()
	}
}

// scan replays the log from one position to another.
func (rec *recovery) scan(from, to LSN) error {
	start := time.Now()
	var segs []wal.SegmentInfo
	for _, s := range rec.st.log.Segments() {
		if s.Base, s.End = max(s.Base, from), min(s.End, to); s.Base < s.End {
			segs = append(segs, s)
		}
	}
	for len(segs) > 0 {
		n, size := 1, segs[0].End-segs[0].Base
		for n < len(segs) && size+segs[n].End-segs[n].Base <= roundBytes {
			size += segs[n].End - segs[n].Base
			n++
		}
		if err := rec.round(segs, n); err != nil {
			return err
		}
		segs = segs[n:]
		if rec.progress != nil {
			rec.loading.advance(int64(size), time.Since(start))
			rec.progress(rec.loading)
		}
	}
	return nil
}

// round decodes and applies the first n segments.
func (rec *recovery) round(segs []wal.SegmentInfo, n int) error {
	for len(rec.segments) < n {
		rec.segments = append(rec.segments, new(decoded))
	}
	list := rec.segments[:n]
	err := parallel(n, func(i int) error {
		rec.st.prefetch(segs, i)
		list[i].reset()
		return rec.decode(list[i], segs[i])
	})
	if err != nil {
		return err
	}
	for _, d := range list {
		for _, c := range d.controls {
			if err := rec.control(c); err != nil {
				return err
			}
		}
	}
	return parallel(numShards, func(n int) error {
		if err := rec.ctx.Err(); err != nil {
			return err
		}
		for _, d := range list {
			if err := d.apply(n); err != nil {
				return err
			}
		}
		return nil
	})
}

// free frees the cells that a scan that failed decoded and did not apply.
func (rec *recovery) free() {
	for _, d := range rec.segments {
		for n := range d.shards {
			for i := range d.shards[n] {
				if p := &d.shards[n][i]; p.ref != 0 {
					index.FreeCell(d.regions[p.at].arena, p.ref)
				}
			}
		}
		d.reset()
	}
}

// parallel runs f for 0 to n-1, two calls for each processor at a time: one works
// while the other waits for the disk. It returns the first error.
func parallel(n int, f func(i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, min(n, workers()))
	for w := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if errs[w] = f(i); errs[w] != nil {
					next.Store(int64(n))
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// prefetchBytes is how much of a segment is asked for before its turn. The
// system reads on by itself where reading has begun.
const prefetchBytes = 16 << 20

// prefetch asks for what the workers read when they are through with segment i
// and those in work beside it. A worker that waits for the disk keeps its
// processor for a while: so it is better that its bytes are there.
func (st *Store) prefetch(segs []wal.SegmentInfo, i int) {
	first := i + workers()
	last := min(first+1, len(segs))
	if i == 0 {
		first = 0
	}
	for ; first < last; first++ {
		s := &segs[first]
		st.log.Prefetch(s.Base, min(s.End, s.Base+prefetchBytes))
	}
}

func workers() int { return 2 * runtime.GOMAXPROCS(0) }

// region returns the region of that id, made known if it is new; nil for one that
// is not asked for.
func (rec *recovery) region(id uint32) *recovering {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	r := rec.regions[id]
	if r == nil && !rec.only {
		r = &recovering{Region: newRegion(rec.st, id)}
		rec.regions[id] = r
		rec.st.catalog.nextID = max(rec.st.catalog.nextID, id+1)
	}
	return r
}

// control carries out a catalogue record.
func (rec *recovery) control(c control) error {
	r := rec.region(c.op.Region)
	if r == nil {
		return nil
	}
	switch c.op.Kind {
	case op.KindRegionCreate:
		o, err := decodeOptions(c.op.Name, c.op.Options)
		if err != nil {
			return err
		}
		r.created, r.name, r.opts, r.position = true, c.op.Name, o, c.lsn
		r.durability.Store(uint32(o.Durability))
	case op.KindRegionDrop:
		r.dropped = true
		r.empty()
	case op.KindClear:
		r.floor = c.lsn
		r.empty()
	default:
		return fmt.Errorf("%w: operation %v in the log", ErrUnsupported, c.op.Kind)
	}
	return nil
}

// replayOrQueue brings one record of the log into the shard's table, or keeps
// it until its part is loaded. Records come in LSN order.
func (r *Region) replayOrQueue(sh *shard, p *replayed) error {
	if sh.pending > 0 && !r.lazy.loadedLocked(p.hash) {
		part := &r.lazy.parts[index.Part(p.hash, r.lazy.bits)]
		part.queue = append(part.queue, *p)
		return nil
	}
	return r.replay(sh, p)
}

// replay applies one record, which comes no earlier than those with lower
// LSNs. It consumes the record's cell.
// REQUIRES: sh.mu is held, or nobody else sees the region yet.
func (r *Region) replay(sh *shard, p *replayed) error {
	if p.lsn < r.floor {
		index.FreeCell(r.arena, p.ref)
		return nil
	}
	var old offheap.Ref
	found := sh.hash.HasTag(p.hash) // or the cell, long out of the cache, is not looked at
	if found {
		old, found = sh.hash.Find(p.hash, r.cell(p.ref).Key())
	}
	switch {
	case found && LSN(r.cell(old).LSN()) >= p.lsn:
		index.FreeCell(r.arena, p.ref)
		return nil
	case !p.put:
		index.FreeCell(r.arena, p.ref)
		if found {
			r.forget(sh, p.hash, old)
		}
		return nil
	case found:
		sh.hash.Replace(p.hash, old, p.ref)
	default:
		if err := sh.hash.Grow(p.hash); err != nil {
			return err
		}
		sh.hash.Insert(p.hash, p.ref)
	}
	r.settle(sh, p.ref, old, p.share)
	return nil
}

// empty takes everything out of a region that nobody else sees yet.
func (r *Region) empty() {
	for _, t := range r.detachAll() {
		freeTable(r, t)
	}
}

// finish puts the regions into the catalogue. Records of a region that was
// neither created nor dropped mean that the log lost something.
func (rec *recovery) finish() error {
	st := rec.st
	for id, r := range rec.regions {
		switch {
		case r.dropped:
			r.empty()
		case !r.created:
			return fmt.Errorf("%w: the log holds records of region %d but not its creation", ErrCorrupt, id)
		default:
			if other := st.catalog.byName[r.name]; other != nil {
				return fmt.Errorf("%w: regions %d and %d are both named %q", ErrCorrupt, other.id, id, r.name)
			}
			st.catalog.byName[r.name], st.catalog.byID[id] = r.Region, r.Region
		}
	}
	return nil
}

// fill adds what was found to a report.
func (rec *recovery) fill(rep *RecoveryReport) {
	t := rec.st.log.Tail()
	rep.Records, rep.Bytes = rec.records.Load(), rec.bytes.Load()
	rep.TornBytes, rep.TornFile, rep.Warnings = t.TornBytes, t.TornFile, t.Warnings
	rep.First, rep.End, rep.ProvenDurable = t.First, t.End, t.ProvenDurable
	for _, r := range rec.regions {
		if !r.dropped {
			rep.Regions++
			rep.Entries += r.indexed()
		}
	}
}

// freeTable frees a table that nobody can reach any more, and its cells.
func freeTable(r *Region, h *index.Hash) {
	for refs, cursor := []offheap.Ref(nil), uint32(0); cursor < index.EndTag; {
		refs, cursor = h.Walk(cursor, pageEntries, refs[:0])
		for _, ref := range refs {
			index.FreeCell(r.arena, ref)
		}
	}
	h.Reset()
}
