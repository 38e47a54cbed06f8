package index

import (
	"bytes"
	"math"
	"slices"

	"github.com/fastrestart/frs/offheap"
)

// Chunk is a copied part of an ordered scan. It belongs to the caller and is
// reused by passing it again; nothing in it refers to cells but the references,
// which may be stale as soon as the call that filled it returned.
type Chunk struct {
	entries []chunkEntry
	buf     []byte
	from    []byte // where the scan began, as the caller's may be in buf
	items   []item // to be copied, while the tree is locked
}

// chunkEntry describes one entry of a chunk; its bytes end at end in buf.
type chunkEntry struct {
	ref      offheap.Ref
	lsn      uint64
	expiry   int64
	flags    Flags
	op       uint32
	valueLen uint32
	keyEnd   int
	end      int
}

// Len returns the number of entries.
func (c *Chunk) Len() int { return len(c.entries) }

// Reset empties the chunk and keeps its memory.
func (c *Chunk) Reset() { c.entries, c.buf = c.entries[:0], c.buf[:0] }

func (c *Chunk) begin(i int) int {
	if i == 0 {
		return 0
	}
	return c.entries[i-1].end
}

// Key returns the key of entry i, valid until the chunk is filled again.
func (c *Chunk) Key(i int) []byte { return c.buf[c.begin(i):c.entries[i].keyEnd] }

// Value returns the copied value of entry i; ok is false if values were not
// asked for or this one was not in memory.
func (c *Chunk) Value(i int) (value []byte, ok bool) {
	e := &c.entries[i]
	if e.flags&FlagNoValue != 0 {
		return nil, false
	}
	return c.buf[e.keyEnd:e.end], true
}

// Ref returns the cell of entry i as it was; it may be gone.
func (c *Chunk) Ref(i int) offheap.Ref { return c.entries[i].ref }

// LSN returns the log position of entry i as it was.
func (c *Chunk) LSN(i int) uint64 { return c.entries[i].lsn }

// Op returns the op number of entry i as it was, as [Cell.Op] does.
func (c *Chunk) Op(i int) (op uint32, ok bool) {
	op = c.entries[i].op
	return op, op != noOp
}

// ValueLen returns the length of the value of entry i, copied or not.
func (c *Chunk) ValueLen(i int) int { return int(c.entries[i].valueLen) }

// Expiry returns the expiry time of entry i, 0 if there is none.
func (c *Chunk) Expiry(i int) int64 { return c.entries[i].expiry }

// Flags returns the flags of entry i as they were, with FlagNoValue if its
// value was not copied.
func (c *Chunk) Flags(i int) Flags { return c.entries[i].flags }

// add copies a cell.
func (c *Chunk) add(ref offheap.Ref, cell Cell, values bool) {
	e := chunkEntry{ref: ref, lsn: cell.LSN(), expiry: cell.Expiry(), flags: cell.Flags(), valueLen: cell.valueLen(), op: noOp}
	if op, ok := cell.Op(); ok {
		e.op = op
	}
	c.buf = append(c.buf, cell.Key()...)
	e.keyEnd = len(c.buf)
	if !values {
		e.flags |= FlagNoValue
	} else {
		c.buf = append(c.buf, cell.Value()...)
	}
	e.end = len(c.buf)
	c.entries = append(c.entries, e)
}

// ScanOptions bounds one chunk of an ordered scan.
type ScanOptions struct {
	// Max is the largest number of entries. 0: 256.
	Max int
	// MaxBytes ends a chunk when its keys and values reach so many bytes.
	// 0: 1 MiB.
	MaxBytes int
	// Values copies values that are in memory, too.
	Values bool
	// Exclusive leaves out the key that the scan begins at.
	Exclusive bool
}

func (o ScanOptions) withDefaults() ScanOptions {
	if o.Max <= 0 {
		o.Max = 256
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 20
	}
	return o
}

// AscendFrom fills c with entries in ascending order, beginning with the first
// key that is not below from; nil is below every key. It reports whether there
// may be more: then go on from the last key, Exclusive. from is borrowed and
// may be a key in c.
func (o *Ordered) AscendFrom(from []byte, opt ScanOptions, c *Chunk) (more bool) {
	return o.scan(from, false, opt.withDefaults(), c)
}

// DescendFrom fills c with entries in descending order, beginning with the last
// key that is not above from; nil is above every key.
func (o *Ordered) DescendFrom(from []byte, opt ScanOptions, c *Chunk) (more bool) {
	return o.scan(from, true, opt.withDefaults(), c)
}

func (o *Ordered) scan(from []byte, down bool, opt ScanOptions, c *Chunk) (more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	whole := from == nil
	opt.Exclusive = opt.Exclusive && !whole
	c.from = append(c.from[:0], from...)
	from = c.from
	c.Reset()
	c.items = c.items[:0]
	visit := func(it item) bool {
		c.items = append(c.items, it)
		return len(c.items) < opt.Max+2 // one may be excluded, one shows that there is more
	}
	o.pivot = from
	pivot := item{prefix: o.pivotPrefix(from)}
	switch {
	case whole && down:
		o.tree.Descend(visit)
	case whole:
		o.tree.Ascend(visit)
	case down:
		o.tree.DescendLessOrEqual(pivot, visit)
	default:
		o.tree.AscendGreaterOrEqual(pivot, visit)
	}
	o.pivot = nil
	return c.copy(o, from, opt)
}

// copy adds the items' cells as far as the bounds allow, and reports whether
// any are left.
//
// REQUIRES: Ordered.mu
func (c *Chunk) copy(o *Ordered, from []byte, opt ScanOptions) (more bool) {
	items := c.items
	if opt.Exclusive && len(items) > 0 && bytes.Equal(o.key(items[0]), from) {
		items = items[1:]
	}
	// Touch all cells first: in a loop this small the processor waits for
	// many cache misses at once.
	total := 0
	for _, it := range items {
		total += At(o.arena, it.ref).KeyLen()
	}
	c.buf = slices.Grow(c.buf, min(total, opt.MaxBytes))
	for _, it := range items {
		if c.Len() >= opt.Max || len(c.buf) >= opt.MaxBytes {
			return true
		}
		c.add(it.ref, At(o.arena, it.ref), opt.Values)
	}
	return false
}

// pivotPrefix returns the prefix of a key that need not have the common one:
// then it lies before or behind all keys of the tree, and either extreme
// prefix puts it there, as ties are decided by whole keys.
func (o *Ordered) pivotPrefix(key []byte) uint64 {
	switch {
	case bytes.HasPrefix(key, o.common):
		return prefixOf(key, len(o.common))
	case bytes.Compare(key, o.common) < 0:
		return 0
	default:
		return math.MaxUint64
	}
}
