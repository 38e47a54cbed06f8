package restart

import (
	"bytes"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/offheap"
	"github.com/fastrestart/frs/wal"
)

// Entry is what a scan or Region.Entry returns. Key and Value belong to the
// receiver.
type Entry struct {
	Key, Value []byte
	// LSN is the position of the entry's record.
	LSN LSN
	// Expires is when the entry's time to live is over; zero: never.
	Expires time.Time
}

// Entry returns a copy of the entry under key, or ErrNotFound. Value, LSN and
// Expires are those of one and the same write. A value that is not in memory is
// read from the log and does not stay.
func (r *Region) Entry(key []byte) (Entry, error) {
	h := index.HashKey(key)
	var last position
	for {
		sh, err := r.rlock(h)
		if err != nil {
			return Entry{}, err
		}
		c, ok := r.lookup(sh, h, key)
		if !ok {
			sh.mu.RUnlock()
			sh.misses.Add(1)
			return Entry{}, ErrNotFound
		}
		it, _ := copyItem(c, nil)
		sh.mu.RUnlock()
		if it.missing {
			it.e.Value, err = r.st.readValue(r.id, it.e.Key, it.at)
			if errors.Is(err, wal.ErrReleased) && it.at != last {
				last = it.at
				continue // moved on since
			}
			if errors.Is(err, wal.ErrReleased) {
				err = leftBehind(r.id, key, it.at)
			}
			if err != nil {
				return Entry{}, err
			}
			r.st.metrics.faultIns.Add(1)
		}
		sh.hits.Add(1)
		return it.e, nil
	}
}

// A scan copies a chunk of entries under a lock, lets go, and yields them; it
// never holds a lock while it yields. Each key that is in the region from the
// scan's start to its end is seen once, and none is seen twice; keys that come
// and go meanwhile may be seen or not. An error is the last pair.
const (
	scanEntries = 512
	scanBytes   = 256 << 10
)

// All yields every entry, in no particular order.
func (r *Region) All() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		var c chunk
		for n := range r.shards {
			for from, more := uint32(0), true; more; {
				var err error
				if from, more, err = r.copyChunk(&c, n, from); err != nil {
					yield(Entry{}, err)
					return
				}
				if !r.yieldChunk(&c, yield) {
					return
				}
			}
		}
	}
}

// chunk is a copy of some entries.
type chunk struct {
	items []item
	refs  []offheap.Ref
}

// item is one copied entry; at says where its value is if that is not here.
type item struct {
	e       Entry
	missing bool
	at      position
}

// copyChunk copies entries of shard n from a hash position on, at least one
// and not much more than a chunk holds. It returns where to go on.
func (r *Region) copyChunk(c *chunk, n int, from uint32) (next uint32, more bool, err error) {
	if err := r.loadShard(n); err != nil {
		return 0, false, err
	}
	sh := &r.shards[n]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if err := r.usable(); err != nil {
		return 0, false, err
	}
	c.items, c.refs = c.items[:0], c.refs[:0]
	c.refs, next = sh.hash.Scan(from, scanEntries, c.refs)
	more = next < index.EndTag
	now := r.st.now()
	size := 0
	for _, ref := range c.refs {
		if cell := r.cell(ref); !(cell.Has(index.FlagExpiry) && cell.Expiry() <= now) {
			size += cell.KeyLen()
			if cell.Resident() {
				size += cell.ValueLen()
			}
		}
	}
	buf := make([]byte, 0, size)
	for _, ref := range c.refs {
		cell := r.cell(ref)
		if cell.Has(index.FlagExpiry) && cell.Expiry() <= now {
			continue
		}
		var it item
		it, buf = copyItem(cell, buf)
		c.items = append(c.items, it)
	}
	return next, more, nil
}

// copyItem copies an entry, its bytes behind buf.
func copyItem(cell index.Cell, buf []byte) (item, []byte) {
	it := item{e: Entry{LSN: LSN(cell.LSN())}}
	if cell.Has(index.FlagExpiry) {
		it.e.Expires = time.Unix(0, cell.Expiry())
	}
	at := len(buf)
	buf = append(buf, cell.Key()...)
	it.e.Key = buf[at:len(buf):len(buf)]
	if !cell.Resident() {
		it.missing, it.at = true, positionOf(cell)
		return it, buf
	}
	at = len(buf)
	buf = append(buf, cell.Value()...)
	it.e.Value = buf[at:len(buf):len(buf)]
	return it, buf
}

// yieldChunk reads the values that are not in memory, and yields. An entry
// that was deleted between copy and read is left out.
func (r *Region) yieldChunk(c *chunk, yield func(Entry, error) bool) bool {
	for i := range c.items {
		it := &c.items[i]
		if it.missing {
			var err error
			it.e.Value, err = r.faultIn([]byte{}, it.e.Key, index.HashKey(it.e.Key), it.at)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				yield(Entry{}, err)
				return false
			}
		}
		if !yield(it.e, nil) {
			return false
		}
	}
	return true
}

// Ascend yields the entries with from <= key < to in rising order of keys,
// compared as bytes. A nil from starts at the first key, a nil to ends with
// the last. The first ordered scan of a region that is not Ordered builds the
// order.
func (r *Region) Ascend(from, to []byte) iter.Seq2[Entry, error] {
	return r.ordered(from, to, false)
}

// Descend yields the same entries as Ascend, in falling order.
func (r *Region) Descend(from, to []byte) iter.Seq2[Entry, error] {
	return r.ordered(from, to, true)
}

// Prefix yields the entries whose keys start with prefix, in rising order.
func (r *Region) Prefix(prefix []byte) iter.Seq2[Entry, error] {
	return r.Ascend(prefix, prefixEnd(prefix))
}

// Keys yields the keys with from <= key < to in rising order. It reads no
// values and never the disk, once the keys are loaded.
func (r *Region) Keys(from, to []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		k := keyCursor{r: r, from: from, to: to}
		for k.next() {
			for i := range k.n {
				if !k.expired(i) && !yield(slices.Clip(k.c.Key(i)), nil) {
					return
				}
			}
		}
		if k.err != nil {
			yield(nil, k.err)
		}
	}
}

// prefixEnd returns the first key behind all that start with prefix; nil:
// there is none.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// ordered yields entries in order, a chunk at a time.
func (r *Region) ordered(from, to []byte, down bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		k := keyCursor{r: r, from: from, to: to, down: down, values: true}
		var c chunk
		for k.next() {
			c.items = c.items[:0]
			for i := range k.n {
				if !k.expired(i) {
					c.items = append(c.items, k.item(i))
				}
			}
			if !r.yieldChunk(&c, yield) {
				return
			}
		}
		if k.err != nil {
			yield(Entry{}, k.err)
		}
	}
}

// keyCursor is an ordered scan's place.
type keyCursor struct {
	r        *Region
	from, to []byte
	down     bool
	values   bool

	c    *index.Chunk // its bytes become the receiver's
	n    int          // entries of it that are in the range
	last []byte       // key that the chunk ended with
	done bool
	err  error
}

// next copies the next chunk; false: the scan is over, or failed with err.
func (k *keyCursor) next() bool {
	if k.done {
		return false
	}
	opt := index.ScanOptions{Max: scanEntries, MaxBytes: scanBytes, Values: k.values, Exclusive: k.last != nil}
	start := k.last
	if start == nil {
		start = k.from
		if k.down {
			start, opt.Exclusive = k.to, true
		}
	}
	k.c = new(index.Chunk)
	more, err := k.r.order.chunk(k.r, start, k.down, opt, k.c)
	if err != nil {
		k.err, k.done = err, true
		return false
	}
	k.done = !more
	for k.n = 0; k.n < k.c.Len(); k.n++ {
		if key := k.c.Key(k.n); k.beyond(key) {
			k.done = true
			break
		}
	}
	if k.c.Len() > 0 {
		k.last = k.c.Key(k.c.Len() - 1)
	}
	return k.n > 0 || !k.done
}

// beyond says whether a key is past the end of the range.
func (k *keyCursor) beyond(key []byte) bool {
	if k.down {
		return bytes.Compare(key, k.from) < 0
	}
	return k.to != nil && bytes.Compare(key, k.to) >= 0
}

func (k *keyCursor) expired(i int) bool {
	at := k.c.Expiry(i)
	return at != 0 && at <= k.r.st.now()
}

func (k *keyCursor) item(i int) item {
	it := item{e: Entry{Key: slices.Clip(k.c.Key(i)), LSN: LSN(k.c.LSN(i))}}
	if at := k.c.Expiry(i); at != 0 {
		it.e.Expires = time.Unix(0, at)
	}
	value, ok := k.c.Value(i)
	if ok {
		it.e.Value = slices.Clip(value)
		return it
	}
	n, inBatch := k.c.Op(i)
	it.missing, it.at = true, position{lsn: it.e.LSN, op: n, inBatch: inBatch, valueLen: k.c.ValueLen(i)}
	return it
}

// chunk copies the next entries in order.
func (o *order) chunk(r *Region, start []byte, down bool, opt index.ScanOptions, c *index.Chunk) (more bool, err error) {
	for {
		if err := o.ensure(r); err != nil {
			return false, err
		}
		o.mu.Lock()
		tree := o.tree
		if tree == nil { // emptied since
			o.mu.Unlock()
			continue
		}
		if down {
			more = tree.DescendFrom(start, opt, c)
		} else {
			more = tree.AscendFrom(start, opt, c)
		}
		o.mu.Unlock()
		return more, nil
	}
}
