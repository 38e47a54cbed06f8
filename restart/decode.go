package restart

import (
	"fmt"
	"io"
	"strings"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/invariant"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/offheap"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/wal"
)

// replayed is one record of a region, decoded: a put with its cell, or a delete
// with a cell that holds the key. Lists of them are long; without pointers the
// garbage collector does not look into them.
type replayed struct {
	hash  uint64
	lsn   LSN
	share share
	ref   offheap.Ref
	at    uint32 // of its region in decoded.regions
	put   bool
}

// decoded is what one segment held.
type decoded struct {
	shards   [numShards][]replayed
	regions  []*Region
	controls []control
}

// reset empties d and keeps its memory.
func (d *decoded) reset() {
	for n := range d.shards {
		d.shards[n] = d.shards[n][:0]
	}
	d.regions, d.controls = d.regions[:0], d.controls[:0]
}

// apply brings the records of one shard number into the regions' tables. What an
// error leaves stays in the list.
func (d *decoded) apply(n int) error {
	list := d.shards[n]
	for i := range list {
		p := &list[i]
		r := d.regions[p.at]
		if err := r.replayOrQueue(&r.shards[n], p); err != nil {
			d.shards[n] = list[i:]
			return err
		}
	}
	d.shards[n] = list[:0]
	return nil
}

// known are the regions that were seen in a segment, by id; nil: not asked for.
type known map[uint32]*knownRegion

type knownRegion struct {
	*builder
	at uint32 // in decoded.regions
}

func (k known) close() {
	for _, r := range k {
		if r != nil {
			r.close()
		}
	}
}

// decode reads one segment into d.
func (rec *recovery) decode(d *decoded, seg wal.SegmentInfo) error {
	k := make(known)
	defer k.close()
	s := rec.st.log.Scan(seg.Base, seg.End)
	defer s.Close()
	var x operation
	var records, behind int64
	var ask LSN
	for {
		f, err := s.Next()
		if err == io.EOF {
			rec.records.Add(records)
			rec.behind.Add(behind)
			rec.bytes.Add(int64(seg.End - seg.Base))
			return nil
		}
		if err != nil {
			return err
		}
		if f.Kind != segment.Data {
			continue
		}
		if f.LSN >= ask {
			if err := rec.ctx.Err(); err != nil {
				return err
			}
			ask = f.LSN + askEvery
		}
		records++
		if f.LSN >= rec.imageFrom {
			behind++
		}
		if err := rec.frame(d, k, f, &x); err != nil {
			return fmt.Errorf("%s, LSN %d: %w", seg.Name, f.LSN, err)
		}
	}
}

// askEvery is after how many bytes of log a context is asked whether it has ended.
const askEvery = 64 << 10

// frame decodes one frame into d.
func (rec *recovery) frame(d *decoded, k known, f *segment.Frame, x *operation) error {
	return rec.st.eachOp(f, x, func() error { return rec.record(d, k, x) })
}

// operation is one operation of a frame, with what of its cell is known before
// it is looked at: where it is.
type operation struct {
	op.Op
	cell index.CellSpec
}

// eachOp calls fn with each operation of a frame in x, in turn.
func (st *Store) eachOp(f *segment.Frame, x *operation, fn func() error) (err error) {
	x.cell = index.CellSpec{LSN: uint64(f.LSN)}
	if err = x.Op.Decode(f.Payload); err != nil {
		return st.readError(f.LSN, err)
	}
	if x.Kind != op.KindBatch {
		return fn()
	}
	n := uint32(0)
	for o, err := range x.Batch.All() {
		if err != nil {
			return st.readError(f.LSN, err)
		}
		x.Op, x.cell = o, index.CellSpec{LSN: uint64(f.LSN), InBatch: true, Op: n}
		if err := fn(); err != nil {
			return err
		}
		n++
	}
	return nil
}

// record takes in one operation.
func (rec *recovery) record(d *decoded, k known, x *operation) error {
	r, ok := k[x.Region]
	if !ok {
		if to := rec.region(x.Region); to != nil {
			r = &knownRegion{to.builder(), uint32(len(d.regions))}
			d.regions = append(d.regions, r.region)
		}
		k[x.Region] = r
	}
	if r == nil {
		return nil
	}
	if x.Kind != op.KindPut && x.Kind != op.KindDelete {
		x.Name = strings.Clone(x.Name)
		d.controls = append(d.controls, control{LSN(x.cell.LSN), x.Op})
		return nil
	}
	hash := index.HashKey(x.Key)
	n := shardOf(hash)
	d.shards[n] = append(d.shards[n], replayed{})
	p := &d.shards[n][len(d.shards[n])-1] // in place, as segment.FrameHeader is parsed
	p.hash, p.at = hash, r.at
	return r.record(p, x)
}

// builder makes cells for many records of a region. It must be closed.
type builder struct {
	region *Region
	stash  *offheap.Stash
}

func (r *Region) builder() *builder { return &builder{r, r.arena.NewStash()} }

func (b *builder) close() { b.stash.Close() }

// record gives p the cell of a put or delete. A value that does not fit the
// memory limit stays in the log. REQUIRES: p.hash is the key's.
func (b *builder) record(p *replayed, x *operation) error {
	c := &x.cell
	c.Key, c.Value, c.ValueLen, c.Expiry = x.Key, x.Value, len(x.Value), x.Expiry
	c.ValueHash = index.HashValue(x.Value)
	st := b.region.st
	c.NoValue = st.opts.Load == KeysOnly || st.pool.Used()+int64(c.Size()) > st.pool.Limit()
	p.put = x.Kind == op.KindPut
	return b.cell(p, c)
}

// cell makes p's cell and takes its share of the sums, without a look at the
// cell: that would wait for the memory it was just written to. REQUIRES: p.hash is
// the key's, spec.ValueLen and spec.ValueHash are the value's.
func (b *builder) cell(p *replayed, spec *index.CellSpec) (err error) {
	if p.ref, err = b.stash.Alloc(spec.Size()); err != nil {
		return err
	}
	index.FillCell(b.region.arena, p.ref, spec)
	p.lsn = LSN(spec.LSN)
	p.share.fill(b.region.id, p.hash, spec.ValueHash, len(spec.Key), spec.ValueLen, spec.Expiry, !spec.NoValue)
	if invariant.Enabled {
		invariant.Check(p.share == b.region.shareOf(p.ref), "restart: the share of a cell is not that of what it was made of")
	}
	return nil
}
