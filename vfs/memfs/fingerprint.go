package memfs

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Fingerprint returns a hash of all names, sizes and bytes as they read now.
// Equal file systems have equal fingerprints, so that a crash state that was
// checked already need not be checked again.
func (m *FS) Fingerprint() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	f := fingerprint{h: xxhash.New(), seen: map[*node]uint64{}}
	f.node(m.root)
	return f.h.Sum64()
}

type fingerprint struct {
	h    *xxhash.Digest
	seen map[*node]uint64 // tells a second name from a second file
}

func (f *fingerprint) number(x uint64) {
	f.h.Write(binary.LittleEndian.AppendUint64(nil, x))
}

func (f *fingerprint) node(n *node) {
	if id, ok := f.seen[n]; ok {
		f.number(id<<2 | 2)
		return
	}
	f.seen[n] = uint64(len(f.seen))
	if n.isDir {
		f.number(uint64(len(n.names))<<2 | 1)
		for _, name := range slices.Sorted(maps.Keys(n.names)) {
			f.number(uint64(len(name)))
			f.h.WriteString(name)
			f.node(n.names[name])
		}
		return
	}
	f.number(uint64(n.cur.size) << 2)
	for i, pg := range n.cur.pages {
		if pg != nil && pg != zeroPage && !isZero(pg.data[:]) {
			f.number(uint64(i))
			f.h.Write(pg.data[:])
		}
	}
}
