package fuzz

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/fastrestart/frs/restart"
)

// FuzzCurrent: with another CURRENT file a store is refused, or it holds what
// it held. What the file is read as, it says.
func FuzzCurrent(f *testing.F) {
	f.Add(byte(0), []byte{})
	f.Add(byte(0), []byte("frsCURR\x00"))
	f.Add(byte(1), []byte{})
	f.Add(byte(1), []byte{0, 8, 1})  // version
	f.Add(byte(1), []byte{0, 12, 3}) // generation
	f.Add(byte(1), []byte{0, 16, 1}) // store
	f.Add(byte(1), []byte{0, 32, 1}) // number of lineages
	f.Add(byte(1), []byte{0, 36, 1}) // reserved
	f.Add(byte(1), []byte{0, 40, 1}) // lineage
	f.Add(byte(1), []byte{0, 56, 1}) // its first LSN
	f.Add(byte(2), []byte{3, 1, 2, 3, 4})
	f.Add(byte(2), []byte{255})
	f.Fuzz(func(t *testing.T, mode byte, input []byte) {
		s := specimens(t)[0]
		fs := s.fs.KillClone()
		name := filepath.Join(dir, "CURRENT")
		good, err := content(fs, name)
		if err != nil {
			t.Fatal(err)
		}
		b := forgeCurrent(mode, bytes.Clone(good), input)
		if err := create(fs, name, b); err != nil {
			t.Fatal(err)
		}
		bounded(t, storeMemory+2*len(b), func() {
			l, lock, err := restart.OpenLayout(fs, dir)
			if err != nil {
				if err := documented(err); err != nil {
					t.Fatal(err)
				}
				return
			}
			if err := lock.Close(); err != nil {
				t.Fatal(err)
			}
			lineage := b[len(b)-32 : len(b)-16]
			if l.Generation != binary.LittleEndian.Uint32(b[12:]) || !bytes.Equal(l.StoreID[:], b[16:32]) || !bytes.Equal(l.Lineage[:], lineage) {
				t.Fatalf("%x is read as %+v", b, l)
			}
			whole(t, s, fs)
		})
		noOpenFiles(t, fs)
		if after, err := content(fs, name); err != nil || !bytes.Equal(after, b) {
			t.Fatalf("CURRENT was changed: %v", err)
		}
	})
}

// forgeCurrent returns rubbish, a file with changed fields, or one with more
// lineages.
func forgeCurrent(mode byte, good, input []byte) []byte {
	const fixed, lineage = 40, 24
	switch mode % 3 {
	case 0:
		return input
	case 1:
		patch(&program{input}, good)
	case 2:
		p := &program{input}
		n := p.below(200)
		last := bytes.Clone(good[fixed : fixed+lineage])
		good = good[:fixed]
		for range n {
			good = append(good, noise(uint64(p.byte()), lineage)...)
		}
		good = append(append(good, last...), make([]byte, 8)...)
		binary.LittleEndian.PutUint32(good[32:], uint32(n+1))
		good = good[:max(len(good)-p.below(2)*lineage, fixed+lineage+8)]
	}
	seal(good)
	return good
}
