package index_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/offheap"
)

// table is a Hash with cells, as a shard has it, beside the Go map that it
// must agree with.
type table struct {
	t     testing.TB
	pool  *offheap.Pool
	arena *offheap.Arena
	h     *index.Hash
	want  map[string]uint64 // key: LSN
	// collide maps keys to few tags, by rewriting hashes. Check cannot be
	// used then.
	hash func(key []byte) uint64
}

func newTable(t testing.TB) *table {
	pool := offheap.NewPool(offheap.PoolOptions{})
	a := pool.NewArena()
	t.Cleanup(func() { pool.Close() })
	return &table{t: t, pool: pool, arena: a, h: index.NewHash(a), want: map[string]uint64{}, hash: index.HashKey}
}

func (tb *table) cell(s index.CellSpec) offheap.Ref {
	tb.t.Helper()
	ref, err := index.NewCell(tb.arena, s)
	if err != nil {
		tb.t.Fatal(err)
	}
	return ref
}

func (tb *table) put(key string, lsn uint64) {
	tb.t.Helper()
	k := []byte(key)
	hash := tb.hash(k)
	ref := tb.cell(index.CellSpec{Key: k, Value: k, LSN: lsn})
	if old, ok := tb.h.Find(hash, k); ok {
		if !tb.h.Replace(hash, old, ref) {
			tb.t.Fatalf("found %q, but not to replace", key)
		}
		index.FreeCell(tb.arena, old)
	} else {
		if err := tb.h.Grow(hash); err != nil {
			tb.t.Fatal(err)
		}
		tb.h.Insert(hash, ref)
	}
	tb.want[key] = lsn
}

func (tb *table) delete(key string) {
	tb.t.Helper()
	k := []byte(key)
	hash := tb.hash(k)
	ref, ok := tb.h.Find(hash, k)
	if _, want := tb.want[key]; ok != want {
		tb.t.Fatalf("found %q: %v, want %v", key, ok, want)
	}
	if ok {
		if !tb.h.Remove(hash, ref) {
			tb.t.Fatalf("found %q, but not to remove", key)
		}
		index.FreeCell(tb.arena, ref)
	}
	if tb.h.Remove(hash, 1) || tb.h.Replace(hash, 1, 2) {
		tb.t.Fatal("removed or replaced what was never inserted")
	}
	tb.h.Shrink(hash)
	delete(tb.want, key)
}

func (tb *table) get(key string) {
	tb.t.Helper()
	ref, ok := tb.h.Find(tb.hash([]byte(key)), []byte(key))
	lsn, want := tb.want[key]
	if ok != want {
		tb.t.Fatalf("found %q: %v, want %v", key, ok, want)
	}
	if ok && index.At(tb.arena, ref).LSN() != lsn {
		tb.t.Fatalf("%q has LSN %d, want %d", key, index.At(tb.arena, ref).LSN(), lsn)
	}
}

// compare checks structure and content against the map.
func (tb *table) compare() {
	tb.t.Helper()
	if err := tb.h.Check(); err != nil {
		tb.t.Fatal(err)
	}
	if tb.h.Len() != len(tb.want) {
		tb.t.Fatalf("%d entries, want %d", tb.h.Len(), len(tb.want))
	}
	for _, step := range []int{1 << 30, 100} {
		seen := map[string]bool{}
		for _, walk := range []func(uint32, int, []offheap.Ref) ([]offheap.Ref, uint32){tb.h.Scan, tb.h.Walk} {
			clear(seen)
			for from := uint32(0); from < index.EndTag; {
				var refs []offheap.Ref
				if refs, from = walk(from, step, nil); len(refs) < step && from < index.EndTag {
					tb.t.Fatalf("stopped at %06x after %d", from, len(refs))
				}
				for _, r := range refs {
					c := index.At(tb.arena, r)
					if lsn, ok := tb.want[string(c.Key())]; !ok || lsn != c.LSN() || seen[string(c.Key())] {
						tb.t.Fatalf("%q: twice or not expected", c.Key())
					}
					seen[string(c.Key())] = true
				}
			}
			if len(seen) != len(tb.want) {
				tb.t.Fatalf("%d of %d entries returned", len(seen), len(tb.want))
			}
		}
	}
}

func numKey(i uint64) string {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], i)
	return string(b[:])
}

// Random operations agree with a map, in tables that grow to a few pages and
// shrink back; at the end nothing is left.
func TestHashAgainstMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	tb := newTable(t)
	steps := 1_000_000
	if testing.Short() {
		steps = 200_000
	}
	for step := range steps {
		key := numKey(rng.Uint64N(20000))
		grow := step/(steps/6)%2 == 0
		switch op := rng.IntN(10); {
		case op < 3, op < 6 && grow:
			tb.put(key, uint64(step))
		case op < 8:
			tb.delete(key)
		default:
			tb.get(key)
		}
		if step%(steps/20) == 0 {
			tb.compare()
		}
	}
	for key := range tb.want {
		tb.delete(key)
	}
	tb.compare()
	if tb.pool.Used() != 0 {
		t.Fatalf("%d bytes used by an empty table", tb.pool.Used())
	}
}

// The table is right at every size on its way up through doubling and
// splitting, and on its way down.
func TestHashEverySize(t *testing.T) {
	tb := newTable(t)
	for i := range uint64(9000) {
		tb.put(fmt.Sprint("key", i), i)
		if i < 300 || i%487 == 0 {
			tb.compare()
		}
	}
	for i := range uint64(9000) {
		tb.delete(fmt.Sprint("key", i))
		if i > 8700 || i%487 == 0 {
			tb.compare()
		}
	}
	if tb.pool.Used() != 0 {
		t.Fatalf("%d bytes used by an empty table", tb.pool.Used())
	}
}
