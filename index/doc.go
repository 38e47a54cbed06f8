// Package index finds entries: an off-heap hash table for single keys and a
// tree for order, over cells that hold key, log position and value.
//
// # Cells
//
// A cell is one allocation: a 16-byte header (log position, lengths,
// flags), an expiry and an op number only where needed, the key, and the value
// unless it stays out of memory ([FlagNoValue]). [NewCell] makes one, [At]
// looks at it, [FreeCell] frees it. A value never changes in place: a new value
// is a new cell, put in the place of the old one by Replace.
//
// # Hash
//
// [Hash] is the table of one shard. It consists of 64-byte buckets with seven
// slots {24-bit tag, 40-bit reference}; a hit costs the bucket's cache line and
// the cell's, a miss the bucket's. Pages of 1 to 512 buckets double, then split
// (extendible hashing), so that no insert ever stops for more than the rehash
// of one 32 KiB page. Growth uses the tags in the slots and never looks at a
// key. 13 to 18 bytes a key.
//
//	hash := index.HashKey(key)
//	ref, ok := h.Find(hash, key)        // shard's read lock or better
//
//	ref, err := index.NewCell(arena, index.CellSpec{Key: key, Value: value, LSN: lsn})
//	err = h.Grow(hash)                  // whatever can fail, before the log
//	h.Insert(hash, ref)                 // cannot fail
//
// A batch makes room for all its keys with GrowAll. Remove keeps the table's
// memory, so that such promises hold; Shrink gives it back. Scan returns entries
// in the order of their tags in steps that are stable under growth, Walk in the
// cheapest order there is.
//
// # Ordered
//
// [Ordered] is a google/btree of 16-byte items over the cells of a whole region:
// the reference and the eight key bytes behind the prefix that all keys share.
// BulkLoad builds it, AscendFrom and DescendFrom copy a [Chunk] of keys, and
// values if wanted, under the tree's own lock.
//
//	o.Insert(ref); o.Replace(old, new); o.Delete(ref)   // before the cell is freed
//	var c index.Chunk
//	more := o.AscendFrom(from, index.ScanOptions{Values: true}, &c)
//
// # Concurrency
//
// A Hash and its cells belong to a shard, whose lock is the caller's. Readers
// of the table may run together, writers alone. Cells are read under the same
// lock, or, by [Ordered], while they are in the tree; what changes in a cell in
// place (position, op number, flags) is accessed atomically.
package index
