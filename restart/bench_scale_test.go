package restart_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/restart"
)

// benchSizes are the numbers of entries; FRS_BENCH_10M=1 adds ten million,
// which takes minutes and 6 GB of disk.
func benchSizes() []int {
	sizes := []int{1_000_000}
	if os.Getenv("FRS_BENCH_10M") != "" {
		sizes = append(sizes, 10_000_000)
	}
	return sizes
}

// BenchmarkMemory reports bytes and Go heap objects per entry beyond key and
// value.
func BenchmarkMemory(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			for range b.N {
				var before, after runtime.MemStats
				st, r := benchStore(b, restart.Options{Durability: restart.Never, Compaction: restart.NoCompaction, RestartBudget: time.Hour})
				runtime.GC()
				runtime.ReadMemStats(&before)
				mapped := st.Metrics().MemoryMapped
				fill(b, r, n)
				start := time.Now()
				runtime.GC()
				gc := time.Since(start)
				runtime.ReadMemStats(&after)
				m := st.Metrics()
				b.ReportMetric(float64(m.MemoryUsed)/float64(n)-16-benchValue, "used-B/entry")
				b.ReportMetric(float64(m.MemoryMapped-mapped)/float64(n)-16-benchValue, "mapped-B/entry")
				b.ReportMetric(float64(after.HeapObjects)-float64(before.HeapObjects), "heap-objects")
				b.ReportMetric(gc.Seconds()*1000, "gc-ms")
			}
		})
	}
}

// BenchmarkLoad measures how long it takes until all of a store is in memory, from
// the call of Open, in rounds: a plain scan of the log's files in 1 MiB reads, an
// eager open, a lazy one until its loader reports done, each with a cold page cache.
// It reports the plain scan's time by the other two, median and extremes.
func BenchmarkLoad(b *testing.B) {
	for _, c := range loadSizes() {
		dir := filledStore(b, c.entries, c.value)
		files, err := filepath.Glob(filepath.Join(dir, "gen-*", "log", "*.seg"))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("n=%d,value=%d", c.entries, c.value), func(b *testing.B) {
			var raw []float64
			ratios := map[restart.LoadMode][]float64{}
			for range b.N {
				dropCaches(b)
				start := time.Now()
				scanRaw(b, files)
				plain := time.Since(start).Seconds()
				raw = append(raw, plain*1000)
				for _, mode := range []restart.LoadMode{restart.Eager, restart.Lazy} {
					dropCaches(b)
					ratios[mode] = append(ratios[mode], plain/loadTime(b, dir, mode).Seconds())
				}
			}
			slices.Sort(raw)
			b.ReportMetric(raw[len(raw)/2], "raw-ms")
			for mode, l := range ratios {
				slices.Sort(l)
				b.ReportMetric(l[len(l)/2], mode.String()+"/raw")
				b.ReportMetric(l[0], mode.String()+"/raw-min")
				b.ReportMetric(l[len(l)-1], mode.String()+"/raw-max")
			}
		})
	}
}

// loadTime opens a store and returns how long it took until everything was loaded.
func loadTime(b *testing.B, dir string, mode restart.LoadMode) time.Duration {
	b.Helper()
	loaded := make(chan time.Duration, 1)
	start := time.Now()
	st, err := restart.Open(dir, restart.Options{ReadOnly: true, Load: mode, Events: restart.Events{
		Loaded: func(restart.RecoveryReport) { loaded <- time.Since(start) },
	}})
	if err != nil {
		b.Fatal(err)
	}
	took := <-loaded
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	return took
}

// loadSizes are numbers of entries and sizes of values.
func loadSizes() []struct{ entries, value int } {
	list := []struct{ entries, value int }{{300_000, 1024}}
	for _, n := range benchSizes() {
		list = append(list, struct{ entries, value int }{n, benchValue})
	}
	return list
}

func filledStore(b *testing.B, n, size int) string {
	b.Helper()
	dir := b.TempDir()
	st, err := restart.Open(dir, restart.Options{Durability: restart.Never, Compaction: restart.NoCompaction, RestartBudget: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	r, err := st.Region("bench", restart.RegionOptions{})
	if err != nil {
		b.Fatal(err)
	}
	fillValues(b, r, n, size)
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	return dir
}

func scanRaw(b *testing.B, files []string) (n int64) {
	b.Helper()
	buf := make([]byte, 1<<20)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		for {
			m, err := f.Read(buf)
			n += int64(m)
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
	return n
}

// dropCaches empties the page cache where that is allowed (root, Linux);
// elsewhere the figures are of a warm cache.
func dropCaches(b *testing.B) {
	b.Helper()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		b.Logf("page cache stays warm: %v", err)
	}
}

// BenchmarkCheckpointStall reports the latency of puts alone, beside somebody who
// hashes memory on another core and takes no lock, and with a checkpoint under
// way, slices of each in turn.
func BenchmarkCheckpointStall(b *testing.B) {
	const n, turns = 1_000_000, 10
	st, r := benchStore(b, restart.Options{Durability: restart.Batched, Compaction: restart.NoCompaction, RestartBudget: time.Hour})
	fill(b, r, n)
	memory := make([]byte, 256<<20) // in no cache
	for i := range memory {
		memory[i] = byte(i >> 12)
	}
	for range b.N {
		var quiet, beside, busy []time.Duration
		for range turns {
			quiet = append(quiet, putDuring(r, n, 300*time.Millisecond, nil)...)
			stop := hashMemory(memory)
			beside = append(beside, putDuring(r, n, 300*time.Millisecond, nil)...)
			stop()
			done := make(chan struct{})
			go func() {
				defer close(done)
				if err := st.Checkpoint(context.Background()); err != nil {
					panic(err)
				}
			}()
			busy = append(busy, putDuring(r, n, time.Minute, done)...)
		}
		for name, l := range map[string][]time.Duration{"quiet": quiet, "beside": beside, "checkpoint": busy} {
			b.ReportMetric(percentile(l, 0.99).Seconds()*1e6, name+"-p99-µs")
			b.ReportMetric(percentile(l, 0.999).Seconds()*1e6, name+"-p99.9-µs")
			b.ReportMetric(percentile(l, 1).Seconds()*1e3, name+"-max-ms")
		}
	}
}

// hashMemory keeps a core busy with pieces of b, until stopped.
func hashMemory(b []byte) (stop func()) {
	var end atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		const piece = 320
		for sum := uint64(0); !end.Load(); {
			at := sum % uint64(len(b)-piece)
			sum = xxhash.Sum64(b[at:at+piece]) + sum*31
		}
	})
	return func() { end.Store(true); wg.Wait() }
}

// putDuring overwrites from one goroutine until a time or an event, and returns
// the latencies.
func putDuring(r *restart.Region, n uint64, d time.Duration, done <-chan struct{}) (l []time.Duration) {
	value := make([]byte, benchValue)
	var key []byte
	end := time.Now().Add(d)
	for i := uint64(0); ; i++ {
		start := time.Now()
		if start.After(end) {
			return l
		}
		select {
		case <-done:
			return l
		default:
		}
		key = benchKey(key, i*7919%n)
		if err := r.Put(key, value); err != nil {
			panic(err)
		}
		l = append(l, time.Since(start))
	}
}

func percentile(l []time.Duration, p float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	slices.Sort(l)
	return l[min(int(float64(len(l))*p), len(l)-1)]
}

// BenchmarkOverwrite overwrites five times the entries uniformly, and reports
// space, write amplification and latency.
func BenchmarkOverwrite(b *testing.B) {
	const n = 1_000_000
	for range b.N {
		st, r := benchStore(b, restart.Options{})
		fill(b, r, n)
		before := st.Metrics()
		var mu sync.Mutex
		var all []time.Duration
		var next atomic.Uint64
		var wg sync.WaitGroup
		start := time.Now()
		for range 2 {
			wg.Go(func() {
				value := make([]byte, benchValue)
				var key []byte
				l := make([]time.Duration, 0, 3*n)
				for i := next.Add(1); i <= 5*n; i = next.Add(1) {
					t := time.Now()
					key = benchKey(key, i*2654435761%n)
					if err := r.Put(key, value); err != nil {
						panic(err)
					}
					l = append(l, time.Since(t))
				}
				mu.Lock()
				all = append(all, l...)
				mu.Unlock()
			})
		}
		wg.Wait()
		took := time.Since(start)
		m := st.Metrics()
		b.ReportMetric(5*n/took.Seconds(), "puts/s")
		b.ReportMetric(float64(m.LogBytes)/float64(m.LiveBytes), "log/live")
		b.ReportMetric(float64(m.Written-before.Written)/(5*320*n), "write-amp")
		b.ReportMetric(percentile(all, 0.999).Seconds()*1e3, "p99.9-ms")
		b.ReportMetric(percentile(all, 1).Seconds()*1e3, "max-ms")
	}
}
