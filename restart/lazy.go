package restart

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/fastrestart/frs/index"
)

// A region that was opened from an image is loaded part by part: a part is a
// slice of the hash space, read when something first looks at it, or by the
// background loader. What the log's tail holds for a part that is not loaded
// waits in the part's queue. Parts are never unloaded, so whoever saw a part
// loaded may rely on it.

// lazyRegion is the part of a region that may still be in the image.
type lazyRegion struct {
	image *openImage
	bits  uint8
	// An entry of the image below dead left the log before the open: moved or
	// superseded. It is dropped at load.
	dead    LSN
	parts   []lazyPart
	left    atomic.Int64 // parts not loaded yet
	rebuilt rebuilt
}

type lazyPart struct {
	mu     sync.Mutex // held through the load
	read   bool       // its entries are in the queue, or were; changes under mu and the shard's lock
	loaded bool       // under the shard's lock
	at     index.ImagePart
	queue  []replayed // under the shard's lock; in LSN order
}

// openImage is an image that parts are read from. It is closed with the last
// part that may still be read from it, and after the reads under way.
type openImage struct {
	*index.Image
	name string
	left atomic.Int64 // parts of all regions, and reads
}

func (im *openImage) done(n int64) {
	if im.left.Add(-n) == 0 {
		_ = im.Close() // it was only read
	}
}

// lock takes the shard lock of a hash and loads its part. On an error nothing
// is locked.
func (r *Region) lock(h uint64) (*shard, error) {
	sh := &r.shards[shardOf(h)]
	for {
		sh.mu.Lock()
		if err := r.usable(); err != nil {
			sh.mu.Unlock()
			return nil, err
		}
		if sh.pending == 0 || r.lazy.loadedLocked(h) {
			return sh, nil
		}
		sh.mu.Unlock()
		if err := r.loadPart(index.Part(h, r.lazy.bits)); err != nil {
			return nil, err
		}
	}
}

// rlock is lock with the shared lock.
func (r *Region) rlock(h uint64) (*shard, error) {
	sh := &r.shards[shardOf(h)]
	for {
		sh.mu.RLock()
		if err := r.usable(); err != nil {
			sh.mu.RUnlock()
			return nil, err
		}
		if sh.pending == 0 || r.lazy.loadedLocked(h) {
			return sh, nil
		}
		sh.mu.RUnlock()
		if err := r.loadPart(index.Part(h, r.lazy.bits)); err != nil {
			return nil, err
		}
	}
}

// REQUIRES: the shard lock of the hash is held, shared or exclusive.
func (l *lazyRegion) loadedLocked(h uint64) bool { return l.parts[index.Part(h, l.bits)].loaded }

// shardOfPart returns the shard that part n belongs to.
func (r *Region) shardOfPart(n int) *shard { return &r.shards[n*numShards/len(r.lazy.parts)] }

// loadAll loads every part of the region that is not loaded yet.
func (r *Region) loadAll(ctx context.Context) error {
	if r.lazy == nil || r.lazy.left.Load() == 0 {
		return nil
	}
	return parallel(numShards, func(n int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return r.loadShard(n)
	})
}

// loadShard loads the parts of one shard.
func (r *Region) loadShard(n int) error {
	if r.lazy == nil || r.lazy.left.Load() == 0 {
		return nil
	}
	per := len(r.lazy.parts) / numShards
	for i := n * per; i < (n+1)*per; i++ {
		if err := r.loadPart(i); err != nil {
			return err
		}
	}
	return nil
}

// loadPart reads a part from the image, verifies it and puts it into its
// shard's table, with what waits in its queue. A damaged part is rebuilt; the
// others are not touched by that.
func (r *Region) loadPart(n int) error {
	damage, err := r.loadPartOnce(n)
	if damage != nil {
		r.st.opts.Events.partDamaged(r.name, damage)
	}
	return err
}

// loadPartOnce is loadPart, and says why the part had to be rebuilt, if it had.
func (r *Region) loadPartOnce(n int) (damage, err error) {
	p := &r.lazy.parts[n]
	p.mu.Lock()
	defer p.mu.Unlock()
	sh := r.shardOfPart(n)
	sh.mu.RLock()
	loaded, err := p.loaded, r.usable()
	if !loaded && err == nil {
		r.lazy.image.left.Add(1) // the part itself keeps it open until here
		// The cells are made outside the lock. Close takes every shard lock before
		// it waits for the background, so it leaves memory and log alone until here.
		r.st.background.Add(1)
		defer r.st.background.Done()
	}
	sh.mu.RUnlock()
	if loaded || err != nil {
		return nil, err
	}
	var entries []replayed
	if !p.read {
		entries, damage, err = r.readPart(n)
	}
	r.lazy.image.done(1)
	if err != nil {
		return damage, err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if err := r.usable(); err != nil || p.loaded { // cleared meanwhile
		r.freeReplayed(entries)
		return damage, err
	}
	return damage, r.applyPart(sh, p, entries)
}

// applyPart puts the entries of a part into its shard's table, and then what
// waits in its queue. On an error the rest waits there for another try.
// REQUIRES: sh.mu is held.
func (r *Region) applyPart(sh *shard, p *lazyPart, entries []replayed) error {
	p.read, p.queue = true, append(entries, p.queue...)
	if err := r.makeRoomFor(sh, entries); err != nil {
		return err
	}
	for i := range p.queue {
		if err := r.replay(sh, &p.queue[i]); err != nil {
			p.queue = p.queue[i:]
			return fmt.Errorf("region %q: %w", r.name, err)
		}
	}
	r.partLoaded(sh, p)
	return nil
}

// makeRoomFor lets a shard's table take the entries of a part without growing
// step by step.
// REQUIRES: sh.mu is held.
func (r *Region) makeRoomFor(sh *shard, entries []replayed) error {
	if sh.hash.Len() == 0 {
		// Parts have about as many entries each.
		sh.hash.Divide(len(entries) * len(r.lazy.parts) / numShards)
	}
	hashes := make([]uint64, len(entries))
	for i := range entries {
		hashes[i] = entries[i].hash
	}
	return sh.hash.GrowAll(hashes)
}

// partLoaded marks a part as loaded.
// REQUIRES: sh.mu is held.
func (r *Region) partLoaded(sh *shard, p *lazyPart) {
	p.loaded, p.queue = true, nil
	sh.pending--
	r.lazy.left.Add(-1)
	r.lazy.image.done(1)
}

// readPart returns the entries of part n, from the image unless that is damaged
// there or cannot be read: then it says why.
func (r *Region) readPart(n int) (entries []replayed, damage, err error) {
	p := &r.lazy.parts[n]
	b, damage := r.lazy.image.ReadPart(p.at, nil)
	if damage == nil {
		entries, err = r.decodePart(b, p.at.Entries, r.lazy.dead)
		if err == nil {
			r.lazy.rebuilt.forget(n)
			return entries, nil, nil
		}
		r.freeReplayed(entries)
		if !errors.Is(err, index.ErrImage) {
			return nil, nil, err
		}
		damage = err
	}
	r.st.partDamaged()
	entries, err = r.rebuildPart(n)
	return entries, damage, err
}

// decodePart gives the n entries of a part, which was verified when it was read,
// their cells, but for those at positions below dead.
func (r *Region) decodePart(b []byte, n int, dead LSN) ([]replayed, error) {
	entries := make([]replayed, 0, n)
	build := r.builder()
	defer build.close()
	for range n {
		e, rest, err := index.NextImageEntry(b)
		if err != nil {
			return entries, err
		}
		b = rest
		if LSN(e.LSN) < dead {
			continue
		}
		p := replayed{hash: index.HashKey(e.Key), put: true}
		err = build.cell(&p, &index.CellSpec{
			Key: e.Key, LSN: e.LSN, Expiry: e.Expiry, Op: e.Op, InBatch: e.InBatch,
			NoValue: true, ValueLen: e.ValueLen, ValueHash: e.ValueHash,
		})
		if err != nil {
			return entries, err
		}
		entries = append(entries, p)
	}
	return entries, nil
}

func (r *Region) freeReplayed(list []replayed) {
	for i := range list {
		if ref := list[i].ref; ref != 0 {
			index.FreeCell(r.arena, ref)
		}
	}
}

// abandonParts forgets what is still in the image, because the region was
// emptied.
// REQUIRES: every shard lock of the region is held.
func (r *Region) abandonParts() {
	if r.lazy == nil {
		return
	}
	n := int64(0)
	for i := range r.lazy.parts {
		p := &r.lazy.parts[i]
		if p.loaded {
			continue
		}
		r.freeReplayed(p.queue)
		p.loaded, p.queue = true, nil
		n++
	}
	for i := range r.shards {
		r.shards[i].pending = 0
	}
	r.lazy.rebuilt.close()
	r.lazy.left.Add(-n)
	r.lazy.image.done(n)
}

// indexed returns the number of entries in memory and in the image, without
// reading the image: what the log's tail says of entries in the image is not
// counted.
func (r *Region) indexed() (n int64) {
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.RLock()
		n += int64(sh.hash.Len())
		if sh.pending > 0 {
			per := len(r.lazy.parts) / numShards
			for j := i * per; j < (i+1)*per; j++ {
				if p := &r.lazy.parts[j]; !p.loaded {
					n += int64(p.at.Entries)
				}
			}
		}
		sh.mu.RUnlock()
	}
	return n
}
