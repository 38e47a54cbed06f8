package index_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/offheap"
)

var big = flag.Bool("big", false, "also run benchmarks with 10 M keys")

const benchShardBits = 6

// benchStore is what a region is made of: 64 tables with 16-byte keys.
type benchStore struct {
	pool   *offheap.Pool
	arena  *offheap.Arena
	shards [1 << benchShardBits]*index.Hash
}

func newBenchStore() *benchStore {
	s := &benchStore{pool: offheap.NewPool(offheap.PoolOptions{})}
	s.arena = s.pool.NewArena()
	for i := range s.shards {
		s.shards[i] = index.NewHash(s.arena)
	}
	return s
}

const hexDigits = "0123456789abcdef"

// benchKey writes 16 hex digits, in random order of i.
func benchKey(b *[16]byte, i uint64) []byte {
	x := i * 0x9E3779B97F4A7C15
	x ^= x >> 29
	x *= 0xBF58476D1CE4E5B9
	for j := range b {
		b[j] = hexDigits[x&15]
		x >>= 4
	}
	return b[:]
}

func (s *benchStore) insert(hash uint64, ref offheap.Ref) {
	h := s.shards[index.Shard(hash, benchShardBits)]
	if h.Grow(hash) == nil {
		h.Insert(hash, ref)
	}
}

func (s *benchStore) fill(tb testing.TB, n int) {
	var b [16]byte
	for i := range n {
		key := benchKey(&b, uint64(i))
		ref, err := index.NewCell(s.arena, index.CellSpec{Key: key, LSN: uint64(i), Value: key})
		if err != nil {
			tb.Fatal(err)
		}
		s.insert(index.HashKey(key), ref)
	}
}

func (s *benchStore) bytes() (n int64) {
	for _, h := range s.shards {
		n += h.Bytes()
	}
	return n
}

func forSizes(b *testing.B, f func(b *testing.B, n int)) {
	b.Run("keys=1M", func(b *testing.B) { f(b, 1_000_000) })
	if *big {
		b.Run("keys=10M", func(b *testing.B) { f(b, 10_000_000) })
	}
}

// BenchmarkHash measures single operations on uniformly random keys, which are
// prepared; every row includes hashing the key, as row "hash" does alone.
func BenchmarkHash(b *testing.B) {
	forSizes(b, func(b *testing.B, n int) {
		s := newBenchStore()
		s.fill(b, n)
		defer s.pool.Close()
		rng := rand.New(rand.NewPCG(1, 1))
		hits, misses := make([][16]byte, 1<<20), make([][16]byte, 1<<20)
		for i := range hits {
			id := rng.Uint64N(uint64(n))
			benchKey(&hits[i], id)
			benchKey(&misses[i], id+1<<40)
		}
		each := func(name string, op func(key []byte, hash uint64)) {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				keys := hits
				if name == "miss" {
					keys = misses
				}
				for i := 0; b.Loop(); i++ {
					key := keys[i&(len(keys)-1)][:]
					op(key, index.HashKey(key))
				}
			})
		}
		var sink uint64
		each("hash", func(key []byte, hash uint64) { sink += hash })
		find := func(key []byte, hash uint64) {
			if _, ok := s.shards[index.Shard(hash, benchShardBits)].Find(hash, key); ok {
				sink++
			}
		}
		each("find", find)
		each("miss", find)
		each("replace", func(key []byte, hash uint64) {
			h := s.shards[index.Shard(hash, benchShardBits)]
			old, ok := h.Find(hash, key)
			ref, err := index.NewCell(s.arena, index.CellSpec{Key: key, Value: key})
			if !ok || err != nil {
				b.Fatal(ok, err)
			}
			h.Replace(hash, old, ref)
			index.FreeCell(s.arena, old)
		})
		each("remove+insert", func(key []byte, hash uint64) {
			h := s.shards[index.Shard(hash, benchShardBits)]
			ref, _ := h.Find(hash, key)
			h.Remove(hash, ref)
			s.insert(hash, ref)
		})
		b.Run("scan", func(b *testing.B) {
			refs := make([]offheap.Ref, 0, 4096)
			done := 0
			for b.Loop() {
				for _, h := range s.shards {
					for from := uint32(0); from < index.EndTag; {
						refs, from = h.Scan(from, 256, refs[:0])
						done += len(refs)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(done), "ns/key")
		})
		b.Run("gc", func(b *testing.B) {
			for b.Loop() {
				runtime.GC()
			}
		})
	})
}

// BenchmarkHashInsert measures a fill from nothing, of cells that are there;
// ns/cell is what making them took.
func BenchmarkHashInsert(b *testing.B) {
	forSizes(b, func(b *testing.B, n int) {
		s := newBenchStore()
		defer s.pool.Close()
		refs, hashes := make([]offheap.Ref, n), make([]uint64, n)
		var buf [16]byte
		start := time.Now()
		for i := range n {
			key := benchKey(&buf, uint64(i))
			hashes[i] = index.HashKey(key)
			refs[i], _ = index.NewCell(s.arena, index.CellSpec{Key: key, Value: key})
		}
		cells := time.Since(start)
		for _, divide := range []bool{false, true} {
			b.Run(fmt.Sprintf("divide=%v", divide), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					for i, h := range s.shards {
						h.Reset()
						s.shards[i] = index.NewHash(s.arena)
						if divide {
							s.shards[i].Divide(n >> benchShardBits)
						}
					}
					b.StartTimer()
					for i, hash := range hashes {
						s.insert(hash, refs[i])
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/key")
				b.ReportMetric(float64(cells.Nanoseconds())/float64(n), "ns/cell")
				b.ReportMetric(float64(s.bytes())/float64(n), "B/key")
			})
		}
	})
}

// BenchmarkSplit measures the longest stop of an insert: a Grow that splits a
// page of 512 buckets. ns/op is mostly filling that page.
func BenchmarkSplit(b *testing.B) {
	pool := offheap.NewPool(offheap.PoolOptions{})
	defer pool.Close()
	h := index.NewHash(pool.NewArena())
	rng := rand.New(rand.NewPCG(1, 1))
	var sum, longest time.Duration
	for b.Loop() {
		h.Reset()
		for depth := 0; depth == 0; {
			hash := rng.Uint64()
			start := time.Now()
			if err := h.Grow(hash); err != nil {
				b.Fatal(err)
			}
			took := time.Since(start)
			if _, depth = h.PageBits(hash); depth > 0 {
				sum += took
				longest = max(longest, took)
			}
			h.Insert(hash, 1)
		}
	}
	b.ReportMetric(float64(sum.Nanoseconds())/float64(b.N), "ns/split")
	b.ReportMetric(float64(longest.Nanoseconds()), "longest-ns")
}
