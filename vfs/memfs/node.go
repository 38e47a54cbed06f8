package memfs

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// node is a file or a directory. Each has a state that everybody sees, a state
// that is on disk, and between the two the list of changes that no sync covers.
// All fields are protected by FS.mu.
type node struct {
	isDir   bool
	pending []*change // oldest first

	// Of a file.
	cur, disk content
	lost      map[int64]struct{} // sectors that a failed sync lost for good
	links     int                // names now
	handles   int
	exclusive bool // locked
	sharers   int  // shared locks

	// Of a directory. diskNames is nil while it is equal to names.
	names, diskNames map[string]*node

	// Used by one walk over all nodes.
	visit uint64
	twin  *node
}

func newDir() *node { return &node{isDir: true, names: map[string]*node{}} }

// change is one operation that no sync covers yet.
type change struct {
	op Op

	// Of a file. A write carries all sectors it touches as the page cache held
	// them after it, since that is what reaches the disk; nil means zeros.
	first   int64 // first sector
	image   []byte
	sectors int // 0 once a failed sync lost them

	// Of the directory dir: the name set becomes node, the name del is removed
	// if it is gone. Either may be empty.
	dir       *node
	set, del  string
	node      *node
	gone      *node
	moved     bool      // gone lives on under another name
	requires  []*change // earlier ones that have happened if this one has
	settled   bool      // on disk
	happened  bool      // fate in the crash under way
	survivors func(sector int) bool
}

// applyData brings a change of a file into c: its size if resize is set, and
// the sectors that keep accepts (nil: all), as far as the size reaches.
func (ch *change) applyData(c *content, resize bool, keep func(sector int) bool) {
	switch {
	case ch.op.Kind == OpTruncate && resize:
		c.truncate(ch.op.Length)
	case ch.op.Kind == OpAllocate && resize:
		c.reserve(ch.op.Length)
	case ch.op.Kind == OpWrite:
		if end := ch.op.Offset + ch.op.Length; resize && end > c.size {
			c.truncate(end)
		}
		if keep == nil {
			ch.applySectors(c, 0, ch.sectors)
			return
		}
		for i := range ch.sectors {
			if keep(i) {
				ch.applySectors(c, i, i+1)
			}
		}
	}
}

func (ch *change) applySectors(c *content, from, to int) {
	off := (ch.first + int64(from)) * SectorSize
	n := min(int64(to-from)*SectorSize, c.size-off)
	if n <= 0 {
		return
	}
	if ch.image == nil {
		c.zero(off, n)
		return
	}
	at := int64(from) * SectorSize
	c.store(ch.image[at:at+n], off)
}

// applyName brings a change of a directory into names.
func (ch *change) applyName(names map[string]*node) {
	if ch.set != "" {
		names[ch.set] = ch.node
	}
	if ch.del != "" && names[ch.del] == ch.gone {
		delete(names, ch.del)
	}
}

// sync makes everything pending durable that a failed sync did not lose.
func (n *node) sync() {
	if n.isDir {
		n.syncNames(math.MaxUint64)
		return
	}
	for _, ch := range n.pending {
		if len(n.lost) > 0 {
			ch.applyData(&n.disk, true, n.reachesDisk(ch))
			continue
		}
		first, last := ch.touches()
		n.disk.adopt(&n.cur, first, last)
	}
	n.disk.truncate(n.cur.size)
	n.pending = nil
}

// touches returns the pages that a change may have altered.
func (ch *change) touches() (first, last int) {
	switch ch.op.Kind {
	case OpTruncate:
		return int(ch.op.Length / pageSize), math.MaxInt
	case OpAllocate:
		return 0, pagesOf(ch.op.Length) - 1
	}
	return int(ch.op.Offset / pageSize), pagesOf(ch.op.Offset+ch.op.Length) - 1
}

// reachesDisk returns which sectors of a write are not lost.
func (n *node) reachesDisk(ch *change) func(int) bool {
	if len(n.lost) == 0 {
		return nil
	}
	return func(i int) bool {
		_, lost := n.lost[ch.first+int64(i)]
		return !lost
	}
}

// failSync loses the pending bytes of a file: they stay readable, and their
// sectors never reach the disk again. Sizes are metadata and stay pending.
func (n *node) failSync() {
	if n.lost == nil {
		n.lost = map[int64]struct{}{}
	}
	for _, ch := range n.pending {
		for i := range ch.sectors {
			n.lost[ch.first+int64(i)] = struct{}{}
		}
		ch.sectors, ch.image, ch.op.Sectors = 0, nil, 0
	}
	n.pending = slices.DeleteFunc(n.pending, func(ch *change) bool {
		return ch.op.Kind == OpWrite && !ch.op.Grows
	})
}

// addName records a change of the directory and makes it visible.
func (n *node) addName(ch *change) {
	if n.diskNames == nil {
		n.diskNames = maps.Clone(n.names)
	}
	ch.dir = n
	// Whoever takes a name that a rename has vacated must not survive without
	// that rename, or the file that was there would have no name at all.
	for _, earlier := range n.pending {
		if ch.set != "" && earlier.moved && earlier.del == ch.set {
			ch.requires = append(ch.requires, earlier)
		}
	}
	n.pending = append(n.pending, ch)
	ch.applyName(n.names)
}

// syncNames makes the directory's changes up to and including sequence number
// upto durable, in order, and with each those that it requires.
func (n *node) syncNames(upto uint64) {
	done := 0
	for _, ch := range n.pending {
		if ch.op.Seq > upto {
			break
		}
		for _, req := range ch.requires {
			if !req.settled && req.dir != n {
				req.dir.syncNames(req.op.Seq)
			}
		}
		ch.applyName(n.diskNames)
		ch.settled = true
		done++
	}
	n.pending = slices.Delete(n.pending, 0, done)
	if len(n.pending) == 0 {
		n.diskNames = nil
	}
}

func bySeq(a, b *change) int { return cmp.Compare(a.op.Seq, b.op.Seq) }
