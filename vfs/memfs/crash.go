package memfs

import (
	"math/rand/v2"
	"slices"
)

// Fate is what a crash leaves of one unsynced operation.
type Fate struct {
	// Happened is whether the name was changed, or the size of the file was.
	Happened bool
	// Sectors tells for each sector of an OpWrite, counted from 0, whether it
	// reached the disk. Nil means all if Happened, none otherwise. What lies
	// beyond the size that the file has by then does not survive.
	Sectors func(i int) bool
}

// Lost leaves nothing of an operation.
func Lost() Fate { return Fate{} }

// Kept leaves all of an operation.
func Kept() Fate { return Fate{Happened: true} }

// SizeOnly leaves the size that an operation gave to a file, and zeros or the
// old bytes in place of the new ones.
func SizeOnly() Fate { return Torn(0) }

// Torn leaves the size and the first n sectors of a write.
func Torn(n int) Fate {
	return Fate{Happened: true, Sectors: func(i int) bool { return i < n }}
}

// TornFront leaves the size and all sectors of a write but the first n.
func TornFront(n int) Fate {
	return Fate{Happened: true, Sectors: func(i int) bool { return i >= n }}
}

// Crash says what survives a power failure beside everything synced. The zero
// value: nothing.
type Crash struct {
	// Choose decides about each pending operation; it is called in their
	// order. If it is nil the probabilities below decide, each from 0 to 1.
	Choose func(op Op) Fate

	// Seed makes the choices reproducible.
	Seed uint64
	// Names is the probability of each change of a directory.
	Names float64
	// Data is the probability of each write, truncation and allocation.
	Data float64
	// Tear is the probability that a write which survives does so in part:
	// then each of its sectors does with probability 1/2.
	Tear float64
	// Sizes is the probability that a write which does not survive leaves the
	// size that it gave to the file.
	Sizes float64
}

// Nothing is the crash after which only what was synced is there.
func Nothing() Crash { return Crash{} }

// Everything is the crash after which everything is there that a failed sync
// did not lose.
func Everything() Crash { return Crash{Names: 1, Data: 1} }

// Random is a crash whose probabilities, too, come from the seed. Extremes are
// frequent, so that names without data and data without names are.
func Random(seed uint64) Crash {
	r := rand.New(rand.NewPCG(seed, 0))
	p := []float64{0, 0, 0.1, 0.5, 0.9, 1, 1}
	pick := func() float64 { return p[r.IntN(len(p))] }
	return Crash{Seed: seed, Names: pick(), Data: pick(), Tear: pick(), Sizes: pick()}
}

// fates returns the function that decides.
func (c Crash) fates() func(Op) Fate {
	if c.Choose != nil {
		return c.Choose
	}
	if c.Names+c.Data+c.Sizes == 0 {
		return func(Op) Fate { return Lost() }
	}
	r := rand.New(rand.NewPCG(c.Seed, 1))
	return func(op Op) Fate {
		// Every operation takes the same amount of randomness, so that a seed
		// means the same to those that follow.
		keep, size, tear, sectors := r.Float64(), r.Float64(), r.Float64(), r.Uint64()
		switch {
		case op.Kind.IsName():
			return Fate{Happened: keep < c.Names}
		case keep >= c.Data:
			return Fate{Happened: op.Kind == OpWrite && size < c.Sizes, Sectors: none}
		case tear < c.Tear:
			return Fate{Happened: true, Sectors: func(i int) bool { return mix(sectors+uint64(i))&1 == 0 }}
		}
		return Kept()
	}
}

func none(int) bool { return false }

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Pending returns the operations that no sync covers, in their order: those
// whose fate a crash now would decide. Those of files that can have no name
// after a crash are left out.
func (m *FS) Pending() []Op {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ops []Op
	for _, ch := range m.pending() {
		ops = append(ops, ch.op)
	}
	return ops
}

// CrashClone returns the file system as it may be after a power failure now.
// What was synced is there; of what was not, as much as crash says. No file is
// open and no lock held in the clone, and nothing in it is unsynced. The
// original is not affected.
//
// Choices that no disk could make are corrected: an operation that survives
// takes those with it without which a renamed file would have lost both its
// names.
func (m *FS) CrashClone(crash Crash) *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	decide := crash.fates()
	changes := m.pending()
	for _, ch := range changes {
		fate := decide(ch.op)
		ch.happened, ch.survivors = fate.Happened, fate.Sectors
		if !fate.Happened && fate.Sectors == nil {
			ch.survivors = none
		}
	}
	for _, ch := range slices.Backward(changes) {
		if ch.happened {
			for _, req := range ch.requires {
				req.happened = true
			}
		}
	}
	c := New()
	c.capacity = m.capacity
	m.walk++
	c.root = m.survivor(c, m.root)
	return c
}

// survivor returns the node of clone c that n becomes.
func (m *FS) survivor(c *FS, n *node) *node {
	if n.visit == m.walk {
		return n.twin
	}
	n.visit, n.twin = m.walk, &node{isDir: n.isDir}
	if n.isDir {
		names := n.survivingNames()
		n.twin.names = make(map[string]*node, len(names))
		for name, child := range names {
			twin := m.survivor(c, child)
			twin.links++
			n.twin.names[name] = twin
		}
		return n.twin
	}
	disk := n.disk.share()
	for _, ch := range n.pending {
		ch.applyData(&disk, ch.happened, n.surviving(ch))
	}
	n.twin.cur, n.twin.disk = disk.share(), disk.share()
	c.used += int64(disk.blocks) * pageSize
	return n.twin
}

// surviving returns which sectors of a write survive; nil means all.
func (n *node) surviving(ch *change) func(int) bool {
	reach := n.reachesDisk(ch)
	switch {
	case ch.survivors == nil:
		return reach
	case reach == nil:
		return ch.survivors
	}
	return func(i int) bool { return reach(i) && ch.survivors(i) }
}

// survivingNames returns a directory's entries after the crash.
func (n *node) survivingNames() map[string]*node {
	if n.diskNames == nil {
		return n.names
	}
	names := make(map[string]*node, len(n.diskNames)+len(n.pending))
	for name, child := range n.diskNames {
		names[name] = child
	}
	for _, ch := range n.pending {
		if ch.happened {
			ch.applyName(names)
		}
	}
	return names
}

// pending returns the changes of all nodes that may have a name after a crash,
// in their order.
func (m *FS) pending() []*change {
	m.walk++
	changes := m.collect(nil, m.root)
	slices.SortFunc(changes, bySeq)
	return changes
}

func (m *FS) collect(changes []*change, n *node) []*change {
	if n == nil || n.visit == m.walk {
		return changes
	}
	n.visit, n.twin = m.walk, nil
	changes = append(changes, n.pending...)
	if !n.isDir {
		return changes
	}
	for _, child := range n.names {
		changes = m.collect(changes, child)
	}
	for _, child := range n.diskNames {
		changes = m.collect(changes, child)
	}
	for _, ch := range n.pending {
		changes = m.collect(changes, ch.node)
	}
	return changes
}
