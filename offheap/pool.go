package offheap

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"unsafe"
)

var (
	// ErrNoMemory says that the operating system refused memory, or that
	// the reference space is used up. The error also wraps the system's
	// cause. Nothing was changed; the call may be repeated later.
	ErrNoMemory = errors.New("offheap: out of memory")
	// ErrClosed says that the arena or the pool was closed before.
	ErrClosed = errors.New("offheap: closed")
	// ErrTooLarge says that more than MaxAlloc bytes were asked for.
	ErrTooLarge = errors.New("offheap: allocation too large")
)

// PoolOptions configures a [Pool]. The zero value is good.
type PoolOptions struct {
	// Limit is the budget in bytes that Reserve respects. 0: none.
	Limit int64
	// Cache is how many bytes of free memory the pool keeps mapped for
	// reuse. 0: 4 MiB. Negative: none.
	Cache int64
}

const defaultCache = 4 << 20

// Pool maps memory and accounts for it. All its methods may be called
// concurrently, except that nothing may follow Close.
type Pool struct {
	// table holds a chunkEntry for each chunk number and never moves. An
	// entry is written, under mu, before a reference into its chunk exists
	// and after the last one is gone, which is why readers need no lock.
	table    unsafe.Pointer
	tableErr error

	limit    atomic.Int64
	used     atomic.Int64 // class-rounded bytes of live allocations
	reserved atomic.Int64

	mu        sync.Mutex // below every size class's lock
	chunks    chunkSet
	cache     int64
	arenas    int
	lastArena uint32
	closed    bool
	// pins keeps mappings reachable where they are Go memory.
	pins map[uintptr]unsafe.Pointer
	// mapMemory is sysMap, unless a test wants the system to refuse.
	mapMemory func(size uintptr) (unsafe.Pointer, error)
}

// chunkEntry is one row of the table: addresses, kept as numbers so that the
// garbage collector does not look at them.
type chunkEntry struct {
	base uintptr // of the chunk, 0: not mapped
	meta uintptr // of its [chunkUnits]slab, 0: a large allocation
}

const (
	entrySize = unsafe.Sizeof(chunkEntry{})
	tableSize = maxChunks * entrySize
)

// NewPool returns an empty pool. It maps nothing but address space for its
// table of chunks; if the system refuses even that, every Alloc says so.
func NewPool(o PoolOptions) *Pool {
	p := &Pool{cache: o.Cache, mapMemory: sysMap}
	if p.cache == 0 {
		p.cache = defaultCache
	}
	if heapBacked {
		p.pins = map[uintptr]unsafe.Pointer{}
	}
	p.SetLimit(o.Limit)
	p.chunks.init()
	p.table, p.tableErr = p.mapLocked(tableSize)
	return p
}

// SetLimit changes the budget in bytes; 0 removes it. What is in use already
// stays in use.
func (p *Pool) SetLimit(n int64) {
	if n <= 0 {
		n = math.MaxInt64
	}
	p.limit.Store(n)
}

// Limit returns the budget in bytes, 0 if there is none.
func (p *Pool) Limit() int64 {
	if n := p.limit.Load(); n != math.MaxInt64 {
		return n
	}
	return 0
}

// Used returns the class-rounded bytes of all live allocations.
func (p *Pool) Used() int64 { return p.used.Load() }

// Reserved returns the bytes reserved and not yet unreserved.
func (p *Pool) Reserved() int64 { return p.reserved.Load() }

// Reserve sets n bytes of the budget aside and reports whether they were
// there, that is whether used and reserved bytes together stay within the
// limit. n is a sum of [ClassSize]. End the reservation with Unreserve after
// the allocations it was made for, or instead of them.
func (p *Pool) Reserve(n int64) bool {
	for {
		r := p.reserved.Load()
		if n > p.limit.Load()-p.used.Load()-r {
			return false
		}
		if p.reserved.CompareAndSwap(r, r+n) {
			return true
		}
	}
}

// Unreserve ends a reservation of n bytes, or a part of one.
func (p *Pool) Unreserve(n int64) { p.reserved.Add(-n) }

// PoolStats describes a pool, in bytes unless said otherwise. What a pool costs
// in resident memory is at most Slabs + Large + Cached.
type PoolStats struct {
	Used     int64 // class-rounded live allocations
	Reserved int64 // set aside by Reserve
	Limit    int64 // budget, 0: none
	Mapped   int64 // address space of chunks and large allocations
	Slabs    int64 // in slabs that arenas hold, used or not
	Large    int64 // in allocations above 1 MiB
	Cached   int64 // free, but not given back to the system
	Arenas   int   // open arenas, a count
}

// Stats returns the current figures. They are read one after the other: while
// others allocate they need not add up.
func (p *Pool) Stats() PoolStats {
	s := PoolStats{Used: p.Used(), Reserved: p.Reserved(), Limit: p.Limit()}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &p.chunks
	s.Mapped = int64(c.mapped)*chunkSize + c.large
	s.Slabs = int64(c.unitsUsed) * unitSize
	s.Large = c.large
	s.Cached = int64(c.unitsDirty) * unitSize
	s.Arenas = p.arenas
	return s
}

// Close gives all memory back to the system. Arenas of the pool and references
// into it must not be used any more.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.closed = true
	if p.table == nil {
		return nil
	}
	p.unmapAllLocked()
	p.unmapLocked(p.table, tableSize)
	p.used.Store(0)
	p.table, p.tableErr = nil, ErrClosed
	return nil
}

// entry returns the row of chunk number i.
func (p *Pool) entry(i int) *chunkEntry {
	return (*chunkEntry)(unsafe.Add(p.table, uintptr(i)*entrySize))
}

// mapLocked maps size bytes of zeroed memory.
func (p *Pool) mapLocked(size uintptr) (unsafe.Pointer, error) {
	m, err := p.mapMemory(size)
	if err != nil {
		return nil, fmt.Errorf("%w: mapping %d bytes: %w", ErrNoMemory, size, err)
	}
	if heapBacked {
		p.pins[uintptr(m)] = m
	}
	return m, nil
}

// unmapLocked undoes mapLocked.
func (p *Pool) unmapLocked(m unsafe.Pointer, size uintptr) {
	if heapBacked {
		delete(p.pins, uintptr(m))
	}
	sysUnmap(m, size)
}

// pointerAt reads an address that is kept as a number. The memory behind it is
// not the garbage collector's, or is pinned.
func pointerAt(addr *uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(addr))
}
