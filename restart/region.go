package restart

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/offheap"
	"github.com/fastrestart/frs/segment"
)

// Region is a named map of byte keys to byte values. All methods may be
// called concurrently.
type Region struct {
	st    *Store
	id    uint32
	name  string
	arena *offheap.Arena

	// Under st.catalog.mu.
	opts     RegionOptions // as stored
	pinned   Durability    // what a handle of this process asked for
	position LSN           // of the catalogue record in force; moved by the compactor

	durability atomic.Uint32 // the region's own; Inherit: the store's
	// state changes only while every shard lock of the region is held, so
	// whoever holds one sees it stand still.
	state atomic.Uint32
	// floor: an entry at a lower position was cleared. Written under every
	// shard lock.
	floor LSN

	order  order
	lazy   *lazyRegion // what may still be in the image; nil: nothing was
	shards [numShards]shard
}

// States of a region.
const (
	regionLive = iota
	regionDropped
	regionClosed
)

// shard is the unit of locking: the keys whose hash starts with its number.
type shard struct {
	mu   sync.RWMutex
	hash *index.Hash
	// live is the bytes that the shard's entries would occupy in a log
	// without garbage. expiring counts the entries that carry an expiry.
	live     int64
	expiring int64
	absent   int64 // entries whose values are not in memory
	content  contentSum
	pending  int // parts of the shard that are not loaded yet
	hits     atomic.Int64
	misses   atomic.Int64
	_        [64]byte // the next shard's lock has a cache line of its own
}

// Every region has the most shards that the hash has bits for.
const numShards = 1 << index.ShardBits

func shardOf(hash uint64) int { return index.Shard(hash, index.ShardBits) }

func newRegion(st *Store, id uint32) *Region { return newRegionIn(st, id, st.pool.NewArena()) }

func newRegionIn(st *Store, id uint32, arena *offheap.Arena) *Region {
	r := &Region{st: st, id: id, arena: arena}
	for i := range r.shards {
		r.shards[i].hash = index.NewHash(r.arena)
	}
	return r
}

// Name returns the region's name.
func (r *Region) Name() string { return r.name }

// Store returns the store that the region belongs to.
func (r *Region) Store() *Store { return r.st }

// Options returns the region's options as they are in force.
func (r *Region) Options() RegionOptions {
	r.st.catalog.mu.Lock()
	defer r.st.catalog.mu.Unlock()
	o := r.opts
	o.Durability = Durability(r.durability.Load())
	return o
}

// Len returns the number of entries. Entries whose time to live is over count
// until they are swept. After an open it loads the keys that are not loaded yet.
func (r *Region) Len() int {
	n := 0
	_ = r.loadAll(context.Background()) // what cannot be read is an error of Get
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.RLock()
		n += sh.hash.Len()
		sh.mu.RUnlock()
	}
	return n
}

// usable says why the region cannot be used, if it cannot.
// REQUIRES: a shard lock of the region is held, or the answer may be stale.
func (r *Region) usable() error {
	switch r.state.Load() {
	case regionLive:
		return nil
	case regionDropped:
		return fmt.Errorf("%w: %q", ErrDropped, r.name)
	}
	return ErrClosed
}

// lockAll takes every shard lock, in order.
func (r *Region) lockAll() {
	for i := range r.shards {
		r.shards[i].mu.Lock()
	}
}

func (r *Region) unlockAll() {
	for i := range r.shards {
		r.shards[i].mu.Unlock()
	}
}

// resolve returns the durability in force for a write that asks for d.
func (r *Region) resolve(d Durability) Durability {
	if d == Inherit {
		d = Durability(r.durability.Load())
	}
	if d == Inherit {
		d = r.st.durability
	}
	return d
}

func (r *Region) cell(ref offheap.Ref) index.Cell { return index.At(r.arena, ref) }

// logSize is what the entry would occupy as a record of its own.
func logSize(id uint32, keyLen, valueLen int, expiring bool) int64 {
	return segment.FrameSize(op.PutSize(id, keyLen, valueLen, expiring, false))
}
