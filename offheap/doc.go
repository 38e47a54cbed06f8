// Package offheap is memory outside the garbage collector, with a budget.
//
// A [Pool] maps anonymous memory from the operating system in chunks of 4 MiB
// and keeps the account. An [Arena] is one owner's share of it, for example
// that of one region: it cuts slabs of 64 KiB to 4 MiB into cells of one size
// class. Closing an arena gives everything back at once, without looking at
// single cells.
//
//	pool := offheap.NewPool(offheap.PoolOptions{Limit: 1 << 30})
//	defer pool.Close()
//	arena := pool.NewArena()
//	ref, err := arena.Alloc(100)
//	copy(arena.Bytes(ref, 100), data)
//	arena.Free(ref, 100)
//
// # References
//
// Memory is addressed by [Ref], 40 bits without pointers, so that tables of
// references cost the garbage collector nothing and a reference shares a word
// with other bits. [Arena.Ptr] translates one with two loads and no lock. A
// reference is valid until it is freed; who frees must know that nobody else
// still uses it (in this project: the shard's lock is held exclusively).
//
// # Budget
//
// [Pool.Used] is the sum of [ClassSize] over all live allocations, exactly; it
// is back at zero when the last one is freed. Allocating never fails because of
// the limit: who wants to respect it asks first with [Pool.Reserve], allocates,
// and ends the reservation with [Pool.Unreserve]. An allocation fails only when
// the operating system refuses memory ([ErrNoMemory]).
//
// # Shape of memory
//
//	chunk   4 MiB, aligned to 2 MiB, huge pages where the system has them
//	slab    1, 2, 4 ... 64 units of 64 KiB of a chunk, buddy-aligned
//	cell    16 B steps up to 128 B, then 8 classes per doubling up to 1 MiB
//	large   above 1 MiB: a mapping of its own, rounded to 16 KiB
//
// Cells are aligned to 16 bytes, and those of a power-of-two class to their
// size or to 64 KiB, whichever is smaller. Fresh memory is not zeroed.
//
// An empty slab goes back to the pool, which keeps a bounded amount of such
// memory and gives the rest back to the operating system: pages first, whole
// chunks when nothing is left in them. When the mix of sizes shifts, slabs
// stay sparsely used: [Arena.MarkSparse] picks those worth emptying, and their
// owner moves the cells for which [Arena.Evacuating] is true by allocating
// anew, copying and freeing.
//
// # Checking
//
// Built with the tag "invariants" every arena remembers its live allocations:
// a double free, a free with the wrong size, a use after free and a write
// after free panic. Under the race detector, and on systems without a mapping
// call that this package knows, memory comes from the Go heap.
package offheap
