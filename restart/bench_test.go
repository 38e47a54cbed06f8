package restart_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fastrestart/frs/restart"
)

// The benchmarks use 16-byte keys and 256-byte values, on a real directory.

const benchValue = 256

func benchKey(b []byte, i uint64) []byte {
	b = binary.BigEndian.AppendUint64(b[:0], i*0x9e3779b97f4a7c15)
	return binary.BigEndian.AppendUint64(b, i)
}

func benchStore(b *testing.B, o restart.Options) (*restart.Store, *restart.Region) {
	b.Helper()
	st, err := restart.Open(b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	r, err := st.Region("bench", restart.RegionOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return st, r
}

func fill(b *testing.B, r *restart.Region, n int) {
	b.Helper()
	fillValues(b, r, n, benchValue)
}

// fillValues puts n entries with values of a size.
func fillValues(b *testing.B, r *restart.Region, n, size int) {
	b.Helper()
	value := make([]byte, size)
	var key []byte
	for i := range n {
		key = benchKey(key, uint64(i))
		if err := r.Put(key, value); err != nil {
			b.Fatal(err)
		}
	}
}

// workers runs f n times in all, in k goroutines.
func workers(k, n int, f func(worker, i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range k {
		wg.Go(func() {
			for {
				i := int(next.Add(64)) - 64
				if i >= n {
					return
				}
				for j := i; j < min(i+64, n); j++ {
					f(w, j)
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkPutBatched is the time from the first put until Sync returns.
func BenchmarkPutBatched(b *testing.B) {
	st, r := benchStore(b, restart.Options{Compaction: restart.NoCompaction})
	value := make([]byte, benchValue)
	keys := make([][]byte, 2)
	b.SetBytes(16 + benchValue)
	b.ReportAllocs()
	b.ResetTimer()
	workers(2, b.N, func(w, i int) {
		keys[w] = benchKey(keys[w], uint64(i))
		if err := r.Put(keys[w], value); err != nil {
			panic(err)
		}
	})
	if err := st.Sync(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPutSync has a bare loop of write and fdatasync beside it.
func BenchmarkPutSync(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write(make([]byte, 64<<20)); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		record := make([]byte, 320)
		for i := 0; b.Loop(); i++ {
			if _, err := f.WriteAt(record, int64(i)*320%(60<<20)); err != nil {
				b.Fatal(err)
			}
			if err := fdatasync(f); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, k := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", k), func(b *testing.B) {
			st, r := benchStore(b, restart.Options{Durability: restart.Sync, Compaction: restart.NoCompaction})
			value := make([]byte, benchValue)
			keys := make([][]byte, k)
			before := st.Metrics().Syncs
			b.ResetTimer()
			var next atomic.Int64
			var wg sync.WaitGroup
			for w := range k {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						keys[w] = benchKey(keys[w], uint64(i))
						if err := r.Put(keys[w], value); err != nil {
							panic(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(st.Metrics().Syncs-before)/float64(b.N), "syncs/op")
		})
	}
}

// BenchmarkGet compares with a Go map behind an RWMutex, in the same run.
func BenchmarkGet(b *testing.B) {
	const n = 1_000_000
	b.Run("gomap", func(b *testing.B) {
		var mu sync.RWMutex
		m := make(map[string][]byte)
		for i := range n {
			m[string(benchKey(nil, uint64(i)))] = make([]byte, benchValue)
		}
		readers(b, func(key, dst []byte) []byte {
			mu.RLock()
			dst = append(dst, m[string(key)]...)
			mu.RUnlock()
			return dst
		})
	})
	runtime.GC()
	b.Run("store", func(b *testing.B) {
		_, r := benchStore(b, restart.Options{})
		fill(b, r, n)
		readers(b, func(key, dst []byte) []byte {
			dst, err := r.AppendGet(dst, key)
			if err != nil {
				panic(err)
			}
			return dst
		})
	})
}

// readers measures uniform gets by two goroutines.
func readers(b *testing.B, get func(key, dst []byte) []byte) {
	const n = 1_000_000
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 1))
			key, dst := make([]byte, 0, 16), make([]byte, 0, benchValue)
			for range b.N / 2 {
				key = benchKey(key, rnd.Uint64N(n))
				if len(get(key, dst[:0])) != benchValue {
					panic("wrong value")
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkReopen measures open to first get: by full scan, from an image.
func BenchmarkReopen(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		dir := b.TempDir()
		st, err := restart.Open(dir, restart.Options{Durability: restart.Never})
		if err != nil {
			b.Fatal(err)
		}
		r, err := st.Region("bench", restart.RegionOptions{})
		if err != nil {
			b.Fatal(err)
		}
		fill(b, r, n)
		if err := st.Close(); err != nil {
			b.Fatal(err)
		}
		images, _ := filepath.Glob(filepath.Join(dir, "gen-*", "checkpoint", "*.img"))
		for _, name := range []string{"image", "scan"} {
			if name == "scan" {
				for _, f := range images {
					if err := os.Remove(f); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.Run(fmt.Sprintf("%s/n=%d", name, n), func(b *testing.B) {
				var first time.Duration
				for range b.N {
					start := time.Now()
					st, err := restart.Open(dir, restart.Options{ReadOnly: true})
					if err != nil {
						b.Fatal(err)
					}
					r, err := st.Region("bench", restart.RegionOptions{})
					if err != nil {
						b.Fatal(err)
					}
					if _, err := r.Get(benchKey(nil, 77)); err != nil {
						b.Fatal(err)
					}
					first += time.Since(start)
					b.StopTimer()
					if err := st.Close(); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				b.ReportMetric(first.Seconds()*1000/float64(b.N), "first-read-ms")
				b.ReportMetric(float64(n)*float64(b.N)/first.Seconds(), "entries/s")
			})
		}
	}
}
