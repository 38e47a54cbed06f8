package index

import (
	"bytes"
	"slices"

	"github.com/fastrestart/frs/offheap"
)

// BulkLoad fills an empty tree with cells of distinct keys, in any order:
// collect the prefixes, radix sort, insert in ascending order. It takes 24
// bytes a key beyond the tree while it runs. A tree that is not empty takes
// the cells in addition, sorted.
func (o *Ordered) BulkLoad(refs []offheap.Ref) {
	if len(refs) == 0 {
		return
	}
	o.mu.Lock()
	if o.tree.Len() > 0 {
		o.mu.Unlock()
		for _, ref := range refs {
			o.Insert(ref)
		}
		return
	}
	defer o.mu.Unlock()
	first := At(o.arena, refs[0]).Key()
	skip := len(first)
	for _, ref := range refs {
		skip = min(skip, commonLen(first[:skip], At(o.arena, ref).Key()))
	}
	o.setCommon(first[:skip])
	items := make([]item, len(refs))
	for i, ref := range refs {
		items[i] = o.item(ref)
	}
	items = radixSort(items, make([]item, len(items)))
	o.sortTies(items)
	for _, it := range items {
		o.tree.ReplaceOrInsert(it)
	}
}

// sortTies sorts the runs of equal prefix by key.
func (o *Ordered) sortTies(items []item) {
	for i := 0; i < len(items); {
		j := i + 1
		for j < len(items) && items[j].prefix == items[i].prefix {
			j++
		}
		if j-i > 1 {
			slices.SortFunc(items[i:j], func(a, b item) int { return bytes.Compare(o.key(a), o.key(b)) })
		}
		i = j
	}
}

const (
	radixBits = 11
	radixSize = 1 << radixBits
)

// radixSort sorts items by prefix, least significant digit first, leaving out
// digits that are equal everywhere. It returns items or tmp, whichever holds
// the result.
func radixSort(items, tmp []item) []item {
	for shift := 0; shift < 64; shift += radixBits {
		var count [radixSize]int
		for i := range items {
			count[items[i].prefix>>shift&(radixSize-1)]++
		}
		if count[items[0].prefix>>shift&(radixSize-1)] == len(items) {
			continue
		}
		sum := 0
		for d, n := range count {
			count[d], sum = sum, sum+n
		}
		for i := range items {
			d := &count[items[i].prefix>>shift&(radixSize-1)]
			tmp[*d] = items[i]
			*d++
		}
		items, tmp = tmp, items
	}
	return items
}
