package memfs

import "maps"

// KillClone returns the file system as the next process finds it after this one
// was killed: everything reads as it did, what was unsynced still is, and what
// a failed sync lost is still shown. Locks and open files are gone. The
// original is not affected.
func (m *FS) KillClone() *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := New()
	c.capacity, c.seq = m.capacity, m.seq
	m.walk++
	k := killer{walk: m.walk, to: c, changes: map[*change]*change{}}
	c.root = k.node(m.root)
	return c
}

// killer copies a graph of nodes and changes.
type killer struct {
	walk    uint64
	to      *FS
	changes map[*change]*change
}

func (k *killer) node(n *node) *node {
	if n == nil {
		return nil
	}
	if n.visit == k.walk {
		return n.twin
	}
	twin := &node{isDir: n.isDir, links: n.links, lost: maps.Clone(n.lost)}
	n.visit, n.twin = k.walk, twin
	twin.cur, twin.disk = n.cur.share(), n.disk.share()
	if n.links > 0 {
		k.to.used += int64(n.cur.blocks) * pageSize
	}
	twin.names, twin.diskNames = k.names(n.names), k.names(n.diskNames)
	for _, ch := range n.pending {
		twin.pending = append(twin.pending, k.change(ch))
	}
	return twin
}

func (k *killer) names(names map[string]*node) map[string]*node {
	if names == nil {
		return nil
	}
	twins := make(map[string]*node, len(names))
	for name, n := range names {
		twins[name] = k.node(n)
	}
	return twins
}

func (k *killer) change(ch *change) *change {
	if ch == nil || k.changes[ch] != nil {
		return k.changes[ch]
	}
	twin := *ch
	k.changes[ch] = &twin
	twin.dir, twin.node, twin.gone = k.node(ch.dir), k.node(ch.node), k.node(ch.gone)
	twin.requires = nil
	for _, req := range ch.requires {
		twin.requires = append(twin.requires, k.change(req))
	}
	return &twin
}
