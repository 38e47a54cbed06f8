package restart

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/offheap"
	"github.com/fastrestart/frs/wal"
)

// A store whose log fits in memory is loaded whole: one look at the log, as by an
// eager open, while everything else goes on. The log is replayed into regions that
// nobody sees, which end up with what the store held when it was opened. A part
// that is not loaded by then has not changed since: its entries move to the region
// that it is of. For a part that something else loaded, they are cells that its
// entries may get, as from the loader of values. The parts of a region that was
// emptied, dropped or closed meanwhile count as loaded, and no entry that they have
// is as old as those of the load.
//
// A segment is released only when every part is loaded (compactFront), so a load
// that misses a released one gives no part its entries.

const (
	// wholeFrom is how many bytes of log are loaded whole. Of fewer, the image's
	// parts are as quick.
	wholeFrom = 16 << 20
	// wholeRatio is how many bytes of log by live bytes are loaded whole. Of a log
	// that holds more garbage than that the newest segments have all values, and
	// the compactor, which waits for the keys, must not wait long.
	wholeRatio = 2
)

// loadsWhole reports whether a look at the whole log is the quickest way to what
// is not loaded yet.
func (st *Store) loadsWhole() bool {
	if st.opts.Load != Lazy || !st.logFits() {
		return false
	}
	log, live := st.logBytes(), int64(0)
	if log < wholeFrom && !st.opts.whole {
		return false
	}
	for _, r := range st.catalog.all() {
		if r.lazy == nil || r.lazy.left.Load() == 0 {
			continue
		}
		if st.opts.whole {
			return true
		}
		if live += r.guessLive(); log <= wholeRatio*live {
			return true
		}
	}
	return false
}

// guessLive guesses from one part of the image what the region's entries occupy in
// a log without garbage; 0 if that part cannot be read.
func (r *Region) guessLive() int64 {
	l, n := r.lazy, 0
	for i := range l.parts {
		if l.parts[i].at.Entries > l.parts[n].at.Entries {
			n = i
		}
	}
	sh := r.shardOfPart(n)
	sh.mu.RLock()
	loaded := l.parts[n].loaded
	if !loaded {
		l.image.left.Add(1) // the part itself keeps it open until here
	}
	sh.mu.RUnlock()
	if loaded {
		return 0
	}
	defer l.image.done(1)
	at := l.parts[n].at
	b, err := l.image.ReadPart(at, nil)
	live := int64(0)
	for range at.Entries {
		var e index.ImageEntry
		if err == nil {
			e, b, err = index.NextImageEntry(b)
		}
		if err != nil {
			return 0
		}
		live += logSize(r.id, len(e.Key), e.ValueLen, e.Expiry != 0)
	}
	return int64(float64(live) / float64(max(at.Entries, 1)) * float64(r.imaged()))
}

// imaged returns how many entries the region has in its image.
func (r *Region) imaged() (n int) {
	for i := range r.lazy.parts {
		n += r.lazy.parts[i].at.Entries
	}
	return n
}

// whole is a load under way.
type whole []wholeRegion

// wholeRegion is a region and what it is to get.
type wholeRegion struct {
	*Region
	all *Region // in the same arena
}

// loadWhole loads all keys and values, or some or none of them, and then has
// freed the rest. It returns what it found damaged or could not read.
func (st *Store) loadWhole(ctx context.Context) error {
	// Callbacks may want memory, and so wait until the load has ended: it does not
	// wait for them.
	progress := make(chan LoadInfo, 1)
	var told sync.WaitGroup
	told.Go(func() {
		for info := range progress {
			st.opts.Events.loadProgress(info)
		}
	})
	defer told.Wait()
	defer close(progress)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	freed := make(chan struct{})
	defer close(freed)
	st.loader.Store(&loading{func(over func() int64) {
		cancel()
		for over() > 0 {
			select {
			case <-freed:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}})
	defer st.loader.Store(nil)
	err := st.replayWhole(ctx, func(info LoadInfo) {
		select {
		case <-progress: // nobody has seen it
		default:
		}
		progress <- info
	})
	if ctx.Err() != nil || errors.Is(err, wal.ErrReleased) || errors.Is(err, offheap.ErrNoMemory) {
		return nil
	}
	return err
}

// replayWhole replays the log as far as it went when the store was opened, and
// gives the regions what they held then.
func (st *Store) replayWhole(ctx context.Context, progress func(LoadInfo)) error {
	var w whole
	rec := &recovery{st: st, ctx: ctx, regions: make(map[uint32]*recovering), only: true, progress: progress}
	for _, r := range st.catalog.all() {
		if r.lazy == nil {
			continue // the log behind the image had all of it
		}
		all := newRegionIn(st, r.id, r.arena)
		rec.regions[r.id] = &recovering{Region: all}
		w = append(w, wholeRegion{r, all})
	}
	from := st.log.First()
	rec.loading.Total = int64(st.recoveredEnd - from)
	err := rec.scan(from, st.recoveredEnd)
	if err == nil {
		err = w.give(ctx)
	}
	if err == nil || !st.isClosed() { // Close frees all memory
		rec.free()
		w.free()
	}
	return err
}

// give gives the regions what they held.
func (w whole) give(ctx context.Context) error {
	for _, r := range w {
		// Nobody rebuilds parts meanwhile, and keeps them for others to take.
		b := &r.lazy.rebuilt
		for !b.scan.TryLock() { // a rebuild reads the log
			if pauseFor(ctx, time.Millisecond); ctx.Err() != nil {
				return ctx.Err()
			}
		}
		defer b.scan.Unlock()
	}
	return parallel(numShards, func(n int) error {
		for _, r := range w {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := r.give(n); err != nil {
				return err
			}
		}
		return nil
	})
}

// free frees what the regions did not get, and the tables.
func (w whole) free() {
	_ = parallel(numShards, func(n int) error {
		for _, r := range w {
			freeTable(r.all, r.all.shards[n].hash)
		}
		return nil
	})
}

// give gives the entries of a shard.
func (r *wholeRegion) give(n int) error {
	if r.giveShard(n) {
		return nil
	}
	per := len(r.lazy.parts) / numShards
	width := uint32(index.EndTag / per)
	for i := range per {
		tag := uint32(i) * width
		entries := r.take(n, tag, tag+width)
		given, err := r.givePart(n, n*per+i, entries)
		if err != nil {
			for i := range entries {
				index.FreeCell(r.arena, entries[i].ref)
			}
			return err
		}
		if !given {
			r.giveValues(n, entries)
		}
	}
	return nil
}

// giveShard gives a table as it is, if no part of the shard is loaded.
func (r *wholeRegion) giveShard(n int) bool {
	sh, all := &r.shards[n], &r.all.shards[n]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	per := len(r.lazy.parts) / numShards
	if sh.pending != per || sh.hash.Len() != 0 { // of a part that was read some entries may be there
		return false
	}
	sh.hash, all.hash = all.hash, sh.hash
	sh.live, sh.expiring, sh.absent, sh.content = all.live, all.expiring, all.absent, all.content
	for i := n * per; i < (n+1)*per; i++ {
		r.partGiven(sh, i)
	}
	return true
}

// take takes the entries of a shard whose tags are in [from, to) out of the table
// that nobody sees.
func (r *wholeRegion) take(n int, from, to uint32) []value {
	all := r.all.shards[n].hash
	refs, _ := all.ScanTo(from, to, all.Len(), nil)
	entries := make([]value, len(refs))
	for i, ref := range refs {
		c, v := r.cell(ref), &entries[i]
		v.hash, v.lsn, v.ref = index.HashKey(c.Key()), LSN(c.LSN()), ref
		v.op, v.inBatch = c.Op()
		all.Remove(v.hash, ref)
	}
	return entries
}

// givePart gives a part that is not loaded its entries; otherwise they stay the
// caller's.
func (r *wholeRegion) givePart(n, part int, entries []value) (given bool, err error) {
	sh, p := &r.shards[n], &r.lazy.parts[part]
	hashes := make([]uint64, len(entries))
	for i := range entries {
		hashes[i] = entries[i].hash
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if p.loaded || p.read {
		return false, nil
	}
	if err := sh.hash.GrowAll(hashes); err != nil {
		return false, err
	}
	for i := range entries {
		v := &entries[i]
		sh.hash.Insert(v.hash, v.ref)
		r.settle(sh, v.ref, 0, r.shareOf(v.ref))
	}
	r.partGiven(sh, part)
	return true, nil
}

// partGiven marks a part as loaded whose entries came from elsewhere.
// REQUIRES: sh.mu is held.
func (r *Region) partGiven(sh *shard, n int) {
	p := &r.lazy.parts[n]
	r.freeReplayed(p.queue)
	r.lazy.rebuilt.forget(n)
	r.partLoaded(sh, p)
}

// giveValues gives values to the entries of a shard that are there.
func (r *wholeRegion) giveValues(n int, entries []value) {
	values := slices.DeleteFunc(entries, func(v value) bool {
		if r.cell(v.ref).Resident() {
			return false
		}
		index.FreeCell(r.arena, v.ref)
		return true
	})
	for list := range slices.Chunk(values, pageEntries) {
		r.installValues(&r.shards[n], list)
	}
}
