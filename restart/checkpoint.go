package restart

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/images"
	"github.com/fastrestart/frs/offheap"
	"github.com/fastrestart/frs/wal"
)

// A checkpoint writes an image of the index: every entry's key and position,
// no values. It is taken while writers go on. What they change meanwhile is
// found by replaying the log from where the checkpoint began.
//
// Crash windows: the image is written under a temporary name, synced, and
// renamed only when the log is durable up to where its last part was copied
// (I21), so that no image knows what the log might lose. Two images are kept;
// an older one is removed after the newer one's name is durable. Losing any of
// them costs time only.

const (
	keepImages = 2
	// imageChunk is how many entries at least are copied under one shard lock: a
	// bucket of the table or two, because one put in 64 finds that lock taken.
	imageChunk = 2
)

// DefaultRestartBudget is the restart time after a crash that checkpoints are
// paced for when Options.RestartBudget is zero.
const DefaultRestartBudget = time.Second

// imageSet is where the images of a store are, and what they have in common with
// it.
func (st *Store) imageSet(cur current) images.Set {
	return images.Set{
		FS: st.fs, Dir: filepath.Join(st.dir, generationName(cur.generation), images.DirName),
		StoreID: cur.storeID, Lineage: cur.lineage().id, Generation: cur.generation,
	}
}

// checkpointer is what a store knows of its images.
type checkpointer struct {
	cycle sync.Mutex // held through a checkpoint
	tries backoff    // of the background alone

	mu   sync.Mutex
	last imageInfo // the newest image; zero: none
	rate float64   // bytes of log replayed a second
	late bool      // the budget cannot be kept; said once
}

type imageInfo struct {
	from, to LSN
	epoch    uint32
	size     int64
	parts    int64
	// records is how many this process had appended when the image was begun;
	// negative: the open had to replay some.
	records int64
}

// assumedReplayRate is used until a recovery has measured one.
const assumedReplayRate = 300e6

// Checkpoint writes an image of the index now, so that a restart reads the log
// from here. It does nothing when nothing was written since the last one.
func (st *Store) Checkpoint(ctx context.Context) error {
	if st.readOnly {
		return ErrReadOnly
	}
	st.checkpoint.cycle.Lock()
	defer st.checkpoint.cycle.Unlock()
	if st.isClosed() {
		return ErrClosed
	}
	if !st.changedSinceImage() {
		return nil
	}
	start := time.Now()
	st.opts.Events.checkpointBegin()
	info, err := st.writeImage(ctx)
	if err == nil {
		st.metrics.checkpoints.Add(1)
		st.checkpoint.mu.Lock()
		st.checkpoint.last, st.checkpoint.late = info, false
		st.checkpoint.mu.Unlock()
		err = st.removeOldImages()
	}
	st.opts.Events.checkpointEnd(CheckpointInfo{
		From: info.from, To: info.to, Bytes: info.size, Took: time.Since(start), Err: err,
	})
	return st.logError(err)
}

// changedSinceImage says whether data was appended since the newest image.
func (st *Store) changedSinceImage() bool {
	if st.log.End() == st.log.First() {
		return false
	}
	st.checkpoint.mu.Lock()
	defer st.checkpoint.mu.Unlock()
	return st.checkpoint.last.to == 0 || int64(st.log.Metrics().Records) != st.checkpoint.last.records
}

// writeImage writes, syncs and publishes an image.
func (st *Store) writeImage(ctx context.Context) (info imageInfo, err error) {
	dir := st.images.Dir
	if err := st.fs.MkdirAll(dir); err != nil {
		return info, err
	}
	if err := st.loadParts(ctx); err != nil {
		return info, err
	}
	tmp := filepath.Join(dir, "image"+fsync.TempSuffix)
	if err := st.fs.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return info, err
	}
	f, err := st.fs.Create(tmp)
	if err != nil {
		return info, err
	}
	info, err = st.fillImage(ctx, index.NewImageWriter(f))
	if err = errors.Join(err, f.Close()); err != nil {
		return info, errors.Join(err, st.fs.Remove(tmp))
	}
	if err := st.fs.Rename(tmp, filepath.Join(dir, images.Name(info.to, info.epoch))); err != nil {
		return info, errors.Join(err, st.fs.Remove(tmp))
	}
	return info, st.fs.SyncDir(dir)
}

// fillImage copies the catalogue and every part, and waits until the log is
// durable up to there.
func (st *Store) fillImage(ctx context.Context, w *index.ImageWriter) (info imageInfo, err error) {
	records := int64(st.log.Metrics().Records) // before from: too few costs an image, too many a replay
	regions, from, next := st.copyCatalog()
	info.from, info.records = from, records
	for i := range regions {
		r := &regions[i]
		for n := range r.Parts {
			if err := ctx.Err(); err != nil {
				return info, err
			}
			start, end := time.Now(), st.log.End()
			if r.Parts[n], err = r.region.copyPart(w, n, r.PartBits); err != nil {
				return info, err
			}
			info.parts++
			if st.log.End() != end {
				pauseFor(ctx, time.Since(start)/2) // writers are at work
			}
		}
	}
	var seg wal.SegmentInfo
	if info.to, seg, err = st.durableEnd(); err != nil {
		return info, err
	}
	info.epoch = seg.Epoch
	list := make([]index.ImageRegion, len(regions))
	for i := range regions {
		list[i] = regions[i].ImageRegion
	}
	info.size, err = w.Finish(index.ImageHeader{
		StoreID: st.current.storeID, Lineage: st.current.lineage().id, Generation: st.current.generation,
		Epoch: seg.Epoch, SegmentBase: uint64(seg.Base), SegmentSalt: seg.Salt,
		From: uint64(info.from), To: uint64(info.to), Time: st.now(), NextRegion: next,
	}, list)
	return info, err
}

// durableEnd makes the log durable to where it ends now, and returns that and
// the segment that the byte below is in. That segment may be compacted away
// before it is found; then the log has grown, and a later end does as well.
func (st *Store) durableEnd() (to LSN, seg wal.SegmentInfo, err error) {
	for last := LSN(0); ; last = to {
		to = st.log.End()
		if err := st.log.Sync(); err != nil {
			return to, seg, err
		}
		for _, seg := range st.log.Segments() {
			if seg.Base < to && to <= seg.End {
				return to, seg, nil
			}
		}
		if to == last {
			return to, seg, fmt.Errorf("restart: no segment holds LSN %d", to-1)
		}
	}
}

type copiedRegion struct {
	index.ImageRegion
	region *Region
}

// copyCatalog copies the catalogue, and returns where replay has to start: no
// record below that is still on its way into the index, because whoever
// appends holds a lock until the index is updated, and the copy of every part
// takes that lock later.
func (st *Store) copyCatalog() (regions []copiedRegion, from LSN, next uint32) {
	st.catalog.mu.Lock()
	defer st.catalog.mu.Unlock()
	from, next = st.log.End(), st.catalog.nextID
	for id, r := range st.catalog.byID {
		sh := &r.shards[0]
		sh.mu.RLock()
		floor := r.floor
		sh.mu.RUnlock()
		bits := index.PartBits(r.Len())
		regions = append(regions, copiedRegion{region: r, ImageRegion: index.ImageRegion{
			ID: id, Name: r.name, Options: encodeOptions(r.opts), Position: uint64(r.position), Floor: uint64(floor),
			PartBits: bits, Parts: make([]index.ImagePart, 1<<bits),
		}})
	}
	slices.SortFunc(regions, func(a, b copiedRegion) int { return cmp.Compare(a.ID, b.ID) })
	return regions, from, next
}

// copyPart writes one part, a chunk of entries under the lock at a time. A
// region that is dropped meanwhile has empty parts: the log says so later.
func (r *Region) copyPart(w *index.ImageWriter, n int, bits uint8) (index.ImagePart, error) {
	perShard := 1 << (bits - index.ShardBits)
	sh := &r.shards[n/perShard]
	width := uint32(index.EndTag / perShard)
	tag := uint32(n%perShard) * width
	end := tag + width
	w.BeginPart()
	var refs []offheap.Ref
	var buf []byte
	for tag < end {
		refs, buf = refs[:0], buf[:0]
		sh.mu.RLock()
		if err := r.usable(); err != nil {
			sh.mu.RUnlock()
			if !errors.Is(err, ErrDropped) {
				return index.ImagePart{}, err // a closed region looks empty and is not
			}
			break
		}
		refs, tag = sh.hash.ScanTo(tag, end, imageChunk, refs)
		need := 0 // looking at all cells first lets the memory reads overlap
		for _, ref := range refs {
			need += r.cell(ref).KeyLen() + 64
		}
		buf = slices.Grow(buf, need)
		for _, ref := range refs {
			c := r.cell(ref)
			at := positionOf(c)
			buf = index.AppendImageEntry(buf, index.ImageEntry{
				Key: c.Key(), LSN: uint64(at.lsn), ValueLen: at.valueLen, ValueHash: c.ValueHash(),
				Expiry: c.Expiry(), Op: at.op, InBatch: at.inBatch,
			})
		}
		sh.mu.RUnlock()
		if err := w.Add(buf, len(refs)); err != nil {
			return index.ImagePart{}, err
		}
	}
	return w.EndPart(), nil
}

// removeOldImages keeps the newest images, and removes the others, oldest first,
// and those that an open would refuse.
func (st *Store) removeOldImages() error {
	dir := st.images.Dir
	names, err := st.images.Names()
	if err != nil {
		return err
	}
	var remove []string
	for i := len(names) - 1; i >= 0; i-- {
		if len(names)-i-len(remove) > keepImages || st.refusesImage(names[i]) {
			remove = append(remove, names[i])
		}
	}
	if len(remove) == 0 {
		return nil
	}
	for _, name := range slices.Backward(remove) {
		if err := st.fs.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return st.fs.SyncDir(dir)
}

// refusesImage says whether an open would refuse an image, whatever happens, for
// what its header and meta say.
func (st *Store) refusesImage(name string) bool {
	im, err := st.openImage(name)
	if err == nil {
		err = im.Close()
	}
	var unfit images.Misfit
	return errors.As(err, &unfit) || errors.Is(err, index.ErrImage)
}

// PredictedRestart estimates how long the next open takes until the first
// read if the process died now.
func (st *Store) PredictedRestart() time.Duration {
	st.checkpoint.mu.Lock()
	defer st.checkpoint.mu.Unlock()
	return st.checkpoint.predict(st.log.First(), st.log.End())
}

// opened takes in what an open found, the records behind the newest image among
// it, and how fast it was.
func (c *checkpointer) opened(im *openImage, behind int64, rep RecoveryReport) {
	if im != nil {
		c.last = imageInfo{from: LSN(im.From), to: LSN(im.To), epoch: im.Epoch, size: im.Size}
		for i := range im.Regions {
			c.last.parts += int64(len(im.Regions[i].Parts))
		}
		if behind > 0 {
			c.last.records = -1
		}
	}
	if rep.Bytes >= 16<<20 && rep.Took > 0 {
		c.rate = float64(rep.Bytes) / rep.Took.Seconds()
	}
}

// A part in the image's list costs about 30 ns to read, a segment 20 µs.
func (c *checkpointer) predict(first, end LSN) time.Duration {
	rate := c.rate
	if rate == 0 {
		rate = assumedReplayRate
	}
	from := max(first, c.last.from)
	return 2*time.Millisecond + time.Duration(c.last.parts)*30 + time.Duration(float64(end-from)/rate*1e9)
}

// pace starts a checkpoint when a restart would take longer than the budget,
// but only after the log grew by twice the size of the last image.
func (st *Store) pace(ctx context.Context) {
	predicted := st.PredictedRestart()
	if predicted <= st.opts.RestartBudget || !st.checkpoint.tries.due() {
		return
	}
	st.checkpoint.mu.Lock()
	grown := int64(st.log.End()-max(st.checkpoint.last.to, st.log.First())) >= 2*st.checkpoint.last.size
	say := !grown && !st.checkpoint.late
	st.checkpoint.late = st.checkpoint.late || !grown
	st.checkpoint.mu.Unlock()
	if grown {
		st.checkpoint.tries.tried(st.Checkpoint(ctx)) // its event reports an error
	} else if say {
		st.opts.Events.budgetMissed(predicted)
	}
}
