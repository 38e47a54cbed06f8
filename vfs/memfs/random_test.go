package memfs_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// model is a file as two byte slices.
type model struct{ cur, disk []byte }

func (m *model) resize(n int) {
	if n > len(m.cur) {
		m.cur = append(m.cur, make([]byte, n-len(m.cur))...)
	}
	m.cur = m.cur[:n:n]
}

// Random writes, truncations, allocations, syncs, clones and kills of one file
// leave what two byte slices say: in memory, and after each kind of crash.
func TestFileAgainstTwoSlices(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			m := memfs.New()
			m.SetCapacity(1 << 20)
			f, err := m.Create("f")
			must(t, err)
			must(t, m.SyncDir("/"))
			var want model
			for range 80 {
				step(t, r, f, &want)
				if r.IntN(8) == 0 {
					must(t, f.SyncData())
					want.disk = bytes.Clone(want.cur)
				}
				check(t, m, want)
				if r.IntN(16) == 0 { // go on in a clone
					must(t, f.Close())
					m = m.KillClone()
					f, err = m.OpenWrite("f")
					must(t, err)
				}
			}
			must(t, f.Close())
			must(t, m.Remove("f"))
			if free, total, err := m.Free("/"); err != nil || free != total {
				t.Errorf("the file is gone, and %d of %d bytes are free, error %v", free, total, err)
			}
		})
	}
}

func step(t *testing.T, r *rand.Rand, f vfs.File, want *model) {
	t.Helper()
	n := r.IntN(20_000)
	switch r.IntN(6) {
	case 0:
		must(t, f.Truncate(int64(n)))
		want.resize(n)
	case 1:
		must(t, f.Allocate(int64(n)))
		want.resize(max(n, len(want.cur)))
	default:
		data := make([]byte, r.IntN(9000))
		if r.IntN(3) > 0 {
			for i := range data {
				data[i] = byte(r.Uint32())
			}
		}
		_, err := f.WriteAt(data, int64(n))
		must(t, err)
		if len(data) > 0 {
			want.resize(max(n+len(data), len(want.cur)))
			copy(want.cur[n:], data)
		}
	}
}

func check(t *testing.T, m *memfs.FS, want model) {
	t.Helper()
	nothing, everything := m.CrashClone(memfs.Nothing()), m.CrashClone(memfs.Everything())
	for what, x := range map[string]struct {
		got  string
		want []byte
	}{
		"in memory":                     {get(t, m, "f"), want.cur},
		"after a kill":                  {get(t, m.KillClone(), "f"), want.cur},
		"nothing unsynced survived":     {get(t, nothing, "f"), want.disk},
		"everything unsynced survived":  {get(t, everything, "f"), want.cur},
		"a crash after that":            {get(t, everything.CrashClone(memfs.Nothing()), "f"), want.cur},
		"everything, chosen one by one": {get(t, m.CrashClone(memfs.Crash{Choose: func(memfs.Op) memfs.Fate { return memfs.Kept() }}), "f"), want.cur},
	} {
		if x.got != string(x.want) {
			t.Fatalf("%s: %d bytes, want %d; they differ at %d", what, len(x.got), len(x.want), differ(x.got, x.want))
		}
	}
	a, _, err := m.Free("/")
	must(t, err)
	if b, _, err := everything.Free("/"); err != nil || a != b {
		t.Fatalf("%d bytes free, but %d in a clone of everything, error %v", a, b, err)
	}
}

func differ(a string, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// After a crash with torn writes each sector holds bytes that it had at some
// time since the last sync, or zeros where the file grew.
func TestTornSectorsAreOldOrNew(t *testing.T) {
	mixed := 0
	for seed := range uint64(200) {
		m := memfs.New()
		put(t, m, "f", sectors("aaaaaaaa"), 0, true)
		must(t, m.SyncDir("/"))
		put(t, m, "f", sectors("BBBBBBBB"), 2*memfs.SectorSize, false)
		put(t, m, "f", sectors("CCCC"), 6*memfs.SectorSize, false)
		got := letters(t, get(t, m.CrashClone(memfs.Crash{Seed: seed, Data: 0.8, Tear: 0.9, Sizes: 0.5}), "f"))
		if len(got) != 8 && len(got) != 10 {
			t.Fatalf("seed %d: %d sectors survived", seed, len(got))
		}
		kinds := map[rune]bool{}
		for i, s := range got {
			allowed := [...]string{"a", "a", "aB", "aB", "aB", "aB", "aBC", "aBC", ".BC", ".BC"}[i]
			if !bytes.ContainsRune([]byte(allowed), s) {
				t.Fatalf("seed %d: sector %d of %s is none of %q", seed, i, got, allowed)
			}
			kinds[s] = true
		}
		if len(kinds) == 4 {
			mixed++
		}
	}
	if mixed == 0 {
		t.Error("no seed tore a write")
	}
}
