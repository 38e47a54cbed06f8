package index

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"sync"

	"github.com/google/btree"

	"github.com/fastrestart/frs/offheap"
)

// Ordered keeps cells, of all shards of a region, in the order of their keys
// (bytes.Compare). All its methods may be called concurrently; it has its own
// lock, below the shards' locks. It reads the cells that are in it whenever it
// compares: so a cell is freed only after Delete or Replace took it out.
//
// An item is 16 bytes without pointers: the reference, and the eight key bytes
// that follow the prefix common to all keys, which decide nearly every
// comparison. A key without that prefix makes the tree start over with a
// shorter one; after maxBreaks times it does without.
type Ordered struct {
	arena *offheap.Arena

	mu     sync.Mutex
	tree   *btree.BTreeG[item]
	common []byte // prefix of all keys
	breaks int    // how often a key did not have it
	// pivot is the key that an item without reference stands for.
	pivot []byte
}

// item is a cell in the tree.
type item struct {
	prefix uint64 // eight bytes behind the common prefix, big endian, zero padded
	ref    offheap.Ref
}

const (
	orderedDegree = 64
	// prefixMin is the number of keys at which a tree first looks for
	// their common prefix.
	prefixMin = 256
	maxBreaks = 3
)

// NewOrdered returns an empty tree of cells in a.
func NewOrdered(a *offheap.Arena) *Ordered {
	o := &Ordered{arena: a}
	o.tree = btree.NewG(orderedDegree, o.less)
	return o
}

// key returns the key of an item.
func (o *Ordered) key(it item) []byte {
	if it.ref == 0 {
		return o.pivot
	}
	return At(o.arena, it.ref).Key()
}

func (o *Ordered) less(a, b item) bool {
	if a.prefix != b.prefix {
		return a.prefix < b.prefix
	}
	return a.ref != b.ref && bytes.Compare(o.key(a), o.key(b)) < 0
}

// prefixOf returns the eight bytes behind the first skip of a key. Equal
// prefixes say nothing, as a shorter key is padded.
func prefixOf(key []byte, skip int) uint64 {
	if key = key[skip:]; len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

// item returns the item of a cell whose key has the common prefix.
func (o *Ordered) item(ref offheap.Ref) item {
	return item{prefixOf(At(o.arena, ref).Key(), len(o.common)), ref}
}

// Len returns the number of cells in the tree.
func (o *Ordered) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tree.Len()
}

// Insert adds a cell, or puts it in the place of one with the same key. It
// takes about 0.3 µs in a tree of 1 M keys; a key that breaks the common
// prefix, and the 256th key, take about 0.1 µs for each key in the tree.
func (o *Ordered) Insert(ref offheap.Ref) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := At(o.arena, ref).Key()
	if !bytes.HasPrefix(key, o.common) {
		o.breaks++
		n := commonLen(key, o.common)
		if o.breaks >= maxBreaks {
			n = 0
		}
		o.rebuild(n)
	}
	o.tree.ReplaceOrInsert(o.item(ref))
	if o.tree.Len() == prefixMin && o.breaks == 0 && len(o.common) == 0 {
		o.findCommon()
	}
}

// Replace puts the cell new in the place of old, which has the same key, and
// reports whether old was there. If not nothing is changed.
func (o *Ordered) Replace(old, new offheap.Ref) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.mayHold(old) {
		return false
	}
	// One descent when all is well: put it in and look at what came out.
	switch got, ok := o.tree.ReplaceOrInsert(o.item(new)); {
	case !ok:
		o.tree.Delete(o.item(new))
		return false
	case got.ref != old:
		o.tree.ReplaceOrInsert(got)
		return false
	}
	return true
}

// Delete takes a cell out and reports whether it was there.
func (o *Ordered) Delete(ref offheap.Ref) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.mayHold(ref) {
		return false
	}
	got, ok := o.tree.Delete(o.item(ref))
	if ok && got.ref != ref {
		o.tree.ReplaceOrInsert(got)
		return false
	}
	if o.tree.Len() == 0 {
		o.resetLocked()
	}
	return ok
}

// mayHold reports whether the key of a cell has the common prefix.
func (o *Ordered) mayHold(ref offheap.Ref) bool {
	return bytes.HasPrefix(At(o.arena, ref).Key(), o.common)
}

// Clear takes all cells out. It looks at none of them.
func (o *Ordered) Clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.resetLocked()
}

func (o *Ordered) resetLocked() {
	o.tree = btree.NewG(orderedDegree, o.less)
	o.common, o.breaks = nil, 0
}

// findCommon computes the common prefix: that of the first and the last key.
func (o *Ordered) findCommon() {
	first, _ := o.tree.Min()
	last, _ := o.tree.Max()
	n := commonLen(o.key(first), o.key(last))
	if n == 0 {
		return
	}
	o.setCommon(o.key(first)[:n])
	o.rekey()
}

// rebuild keeps the first n bytes of the common prefix.
func (o *Ordered) rebuild(n int) {
	o.setCommon(o.common[:n])
	o.rekey()
}

func (o *Ordered) setCommon(p []byte) { o.common = append([]byte(nil), p...) }

// rekey makes the tree anew, in the same order, with the prefixes behind the
// present common prefix.
func (o *Ordered) rekey() {
	tree := btree.NewG(orderedDegree, o.less)
	o.tree.Ascend(func(it item) bool {
		tree.ReplaceOrInsert(o.item(it.ref))
		return true
	})
	o.tree = tree
}

// commonLen returns the length of the common prefix of two keys.
func commonLen(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:])
		if x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}
