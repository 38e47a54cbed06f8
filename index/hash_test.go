package index_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
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
	hash  func(key []byte) uint64
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

// collide makes a table in which all hashes pass through f.
func collide(t testing.TB, f func(uint64) uint64) *table {
	tb := newTable(t)
	tb.hash = func(key []byte) uint64 { return f(index.HashKey(key)) }
	tb.h.SetHash(tb.hash)
	return tb
}

// Keys that collide in their tags, on purpose or by a weak hash, make the table
// slow but neither wrong nor big.
func TestHashCollisions(t *testing.T) {
	const tag = (index.EndTag - 1) << 34
	for name, f := range map[string]func(uint64) uint64{
		"one tag":         func(uint64) uint64 { return 0x123456 << 34 },
		"last tag":        func(uint64) uint64 { return tag },
		"four tags":       func(x uint64) uint64 { return x & 3 << 40 },
		"low bits only":   func(x uint64) uint64 { return x & 0xff << 34 },
		"high bits only":  func(x uint64) uint64 { return x & 0xff << 50 },
		"half collide":    func(x uint64) uint64 { return x & (tag * (x & 1)) },
		"first page only": func(x uint64) uint64 { return x & (tag >> 9) },
	} {
		t.Run(name, func(t *testing.T) {
			tb := collide(t, f)
			n := 1000
			if name == "one tag" {
				n = 3000 // more than a page of the usual limit holds
			}
			if name == "one tag" && testing.Short() {
				n = 1500
			}
			for i := range uint64(n) {
				tb.put(numKey(i), i)
			}
			tb.compare()
			// A directory that uses up the tag has 2^15 entries.
			if tb.h.Bytes() > 1<<20+int64(n)*128 {
				t.Fatalf("%d bytes for %d keys", tb.h.Bytes(), n)
			}
			for i := range uint64(n) {
				if i%3 != 0 {
					tb.delete(numKey(i))
				}
			}
			tb.compare()
			for i := range uint64(n) {
				tb.get(numKey(i))
				tb.delete(numKey(i))
			}
			if tb.pool.Used() != 0 {
				t.Fatalf("%d bytes used by an empty table", tb.pool.Used())
			}
		})
	}
}

// A scan in many steps, with the table growing by splits and shrinking between
// them, returns every key that stays exactly once, in tag order.
func TestScanWhileChanging(t *testing.T) {
	for name, f := range map[string]func(uint64) uint64{
		"spread":    func(x uint64) uint64 { return x },
		"few tags":  func(x uint64) uint64 { return x & (0x3f0 << 34) },
		"high bits": func(x uint64) uint64 { return x & (0xfff << 46) },
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 3))
			tb := collide(t, f)
			const stay = 2000
			for i := range uint64(stay) {
				tb.put(numKey(i), i)
			}
			seen, last := map[string]int{}, uint32(0)
			next := uint64(stay)
			for from, step := uint32(0), 0; from < index.EndTag; step++ {
				refs, after := tb.h.Scan(from, 20, nil)
				for _, r := range refs {
					key := index.At(tb.arena, r).Key()
					tag := index.Tag(tb.hash(key))
					if tag < from || tag >= after || tag < last {
						t.Fatalf("tag %06x in a scan of [%06x,%06x) after %06x", tag, from, after, last)
					}
					last = tag
					seen[string(key)]++
				}
				from = after
				// Grow to 10000 keys, then shrink, then replace.
				for range 200 {
					switch {
					case step < 40:
						tb.put(numKey(next), next)
						next++
					case step < 80 && next > stay:
						next--
						tb.delete(numKey(next))
					default:
						i := rng.Uint64N(stay)
						tb.put(numKey(i), i+1)
					}
				}
			}
			for i := range uint64(stay) {
				if seen[numKey(i)] != 1 {
					t.Fatalf("key %d returned %d times", i, seen[numKey(i)])
				}
			}
			for key, n := range seen {
				if n != 1 {
					t.Fatalf("%q returned %d times", key, n)
				}
			}
		})
	}
}

// GrowAll makes room for many inserts at once: none of them needs memory, which
// the account shows.
func TestGrowAll(t *testing.T) {
	for _, n := range []uint64{1, 7, 8, 100, 3000, 20000} {
		for _, before := range []uint64{0, 5, 6000} {
			tb := newTable(t)
			for i := range before {
				tb.put(numKey(i), i)
			}
			var hashes []uint64
			var refs []offheap.Ref
			for i := before; i < before+n; i++ {
				key := []byte(numKey(i))
				hashes = append(hashes, index.HashKey(key))
				refs = append(refs, tb.cell(index.CellSpec{Key: key, Value: key, LSN: i}))
				tb.want[string(key)] = i
			}
			if err := tb.h.GrowAll(hashes); err != nil {
				t.Fatal(err)
			}
			used, moves := tb.pool.Used(), tb.h.Moves()
			for i, hash := range hashes {
				tb.h.Insert(hash, refs[i])
			}
			if tb.pool.Used() != used || tb.h.Moves() != moves {
				t.Fatalf("%d inserts into %d: table changed after GrowAll", n, before)
			}
			tb.compare()
			if perKey := tb.h.Bytes() / int64(n+before); perKey > 64 && n > 100 {
				t.Fatalf("%d bytes a key", perKey)
			}
		}
	}
}

// A divided table with room for its entries takes them without growing; Reset
// gives all back.
func TestDivideReset(t *testing.T) {
	for _, n := range []int{0, 1, 100, 50000} {
		tb := newTable(t)
		tb.h.Divide(n)
		hashes := make([]uint64, n)
		for i := range hashes {
			hashes[i] = index.HashKey([]byte(numKey(uint64(i))))
		}
		if err := tb.h.GrowAll(hashes); err != nil {
			t.Fatal(err)
		}
		moves, pages := tb.h.Moves(), n/1300+2
		if moves > uint64(pages) {
			t.Fatalf("%d keys: room was made in %d steps, there are at most %d pages", n, moves, pages)
		}
		for i := range uint64(n) {
			tb.put(numKey(i), i)
		}
		if got := tb.h.Moves(); got != moves {
			t.Fatalf("%d keys: table grew %d times", n, got-moves)
		}
		tb.compare()
		for i := range uint64(n) {
			k := []byte(numKey(i))
			ref, _ := tb.h.Find(index.HashKey(k), k)
			defer index.FreeCell(tb.arena, ref)
		}
		before := tb.pool.Used()
		tb.h.Reset()
		if tb.h.Len() != 0 || tb.pool.Used() >= before && n > 0 {
			t.Fatal("Reset kept memory")
		}
		clear(tb.want)
		tb.compare()
	}
}

// FindAt finds an entry by its place in the log, and nothing at another place.
func TestFindAt(t *testing.T) {
	tb := newTable(t)
	const n = 3000
	for i := range uint64(n) {
		spec := index.CellSpec{Key: []byte(numKey(i)), LSN: 8 * (1 + i/3), InBatch: i%2 == 0, Op: uint32(i % 2)}
		if spec.InBatch {
			spec.Op = uint32(i)
		} else {
			spec.Op = 0
		}
		ref, err := index.NewCell(tb.arena, spec)
		if err != nil {
			t.Fatal(err)
		}
		h := index.HashKey(spec.Key)
		if got, ok := tb.h.FindAt(h, spec.LSN, spec.Op, spec.InBatch); ok {
			t.Fatalf("entry %d found as %d before it is there", i, got)
		}
		if err := tb.h.Grow(h); err != nil {
			t.Fatal(err)
		}
		tb.h.Insert(h, ref)
		if got, ok := tb.h.FindAt(h, spec.LSN, spec.Op, spec.InBatch); !ok || got != ref {
			t.Fatalf("entry %d: found %v, %v, want %v", i, got, ok, ref)
		}
		for _, other := range []struct {
			lsn     uint64
			op      uint32
			inBatch bool
		}{{spec.LSN + 8, spec.Op, spec.InBatch}, {spec.LSN, spec.Op + 1, true}, {spec.LSN, spec.Op, !spec.InBatch}} {
			if _, ok := tb.h.FindAt(h, other.lsn, other.op, other.inBatch); ok {
				t.Fatalf("entry %d found at %+v, it is at %d, op %d (%v)", i, other, spec.LSN, spec.Op, spec.InBatch)
			}
		}
	}
}

// Readers run together: Find, Scan and the recency bit, under a read lock.
func TestConcurrentReaders(t *testing.T) {
	tb := newTable(t)
	for i := range uint64(5000) {
		tb.put(numKey(i), i)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range uint64(5000) {
				key := []byte(numKey((i + uint64(g)) % 5000))
				ref, ok := tb.h.Find(index.HashKey(key), key)
				if !ok {
					t.Error("key lost")
					return
				}
				c := index.At(tb.arena, ref)
				c.Touch()
				if c.Clear(index.FlagRecent); c.KeyLen() != 8 {
					t.Error("length changed by a flag")
				}
			}
			refs, _ := tb.h.Scan(0, 1<<20, nil)
			if len(refs) != 5000 {
				t.Errorf("scan saw %d", len(refs))
			}
		})
	}
	wg.Wait()
	tb.compare()
}
