package restart_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

// Everything at once. A writer owns its keys, so that it knows what each of
// them holds; a value starts with its key, so that any reader can tell a wrong
// one.

// writer puts and deletes keys of its own.
type writer struct {
	r    *restart.Region
	rnd  *rand.Rand
	id   int
	mine map[string]string
}

func newWriter(r *restart.Region, seed uint64, id int) *writer {
	return &writer{r: r, rnd: rand.New(rand.NewPCG(seed, uint64(id))), id: id, mine: map[string]string{}}
}

func (w *writer) key() string { return fmt.Sprintf("w%d-%03d", w.id, w.rnd.IntN(300)) }

func (w *writer) value(k string) string {
	return k + "=" + strings.Repeat("x", w.rnd.IntN(400)) + fmt.Sprint(w.rnd.Uint64())
}

// step does one operation. It records what was acknowledged.
func (w *writer) step() error {
	o := restart.WriteOptions{Durability: restart.Batched}
	if w.rnd.IntN(50) == 0 {
		o.Durability = restart.Sync
	}
	switch w.rnd.IntN(10) {
	case 0, 1:
		k := w.key()
		_, err := w.r.DeleteWith([]byte(k), o)
		return w.done(err, func() { delete(w.mine, k) })
	case 2:
		b := w.r.Store().NewBatch()
		puts := map[string]string{}
		for range 5 {
			k := w.key()
			puts[k] = w.value(k)
			b.Put(w.r, []byte(k), []byte(puts[k]))
		}
		_, err := w.r.Store().ApplyWith(b, o.Durability)
		return w.done(err, func() { maps.Copy(w.mine, puts) })
	}
	k := w.key()
	v := w.value(k)
	_, err := w.r.PutWith([]byte(k), []byte(v), o)
	return w.done(err, func() { w.mine[k] = v })
}

func (w *writer) done(err error, acked func()) error {
	if err == nil {
		acked()
	}
	return err
}

// untilClosed calls fn until it fails, which it may only do because the store
// was closed.
func untilClosed(t *testing.T, what string, fn func() error) {
	for {
		if err := fn(); errors.Is(err, restart.ErrClosed) {
			return
		} else if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
	}
}

// selfConsistent says whether a value can be that of its key.
func selfConsistent(e restart.Entry) error {
	if k := string(e.Key); !strings.HasPrefix(string(e.Value), k+"=") {
		return fmt.Errorf("key %q has value %.40q", k, e.Value)
	}
	return nil
}

// scanAll scans a region in one of its ways and checks what it sees.
func scanAll(r *restart.Region, way int) error {
	var seq iter.Seq2[restart.Entry, error]
	order := 0
	switch way % 4 {
	case 0:
		seq = r.All()
	case 1:
		seq, order = r.Ascend(nil, nil), 1
	case 2:
		seq, order = r.Descend([]byte("w0"), []byte("w9")), -1
	case 3:
		seq, order = r.Prefix([]byte("w1")), 1
	}
	seen := map[string]bool{}
	var last []byte
	for e, err := range seq {
		if err != nil {
			return err
		}
		if err := selfConsistent(e); err != nil {
			return err
		}
		if seen[string(e.Key)] || last != nil && order != 0 && bytes.Compare(e.Key, last) != order {
			return fmt.Errorf("scan %d: key %q after %q, seen before: %v", way, e.Key, last, seen[string(e.Key)])
		}
		seen[string(e.Key)], last = true, e.Key
	}
	return nil
}

// TestCloseMeetsEverything closes a store while everything goes on. What was
// acknowledged is there afterwards, and what failed is not.
func TestCloseMeetsEverything(t *testing.T) {
	rounds := 25
	if raceEnabled {
		rounds = 10
	}
	s := seed(t)
	rnd := rand.New(rand.NewPCG(s, 0))
	fsys := memfs.New()
	want := contents{"a": {}}
	for round := range rounds {
		o := small(fsys)
		o.MemoryLimit, o.Load = 2<<20, restart.LoadMode(round%3)
		st, err := restart.Open(dir, o)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if got, err := read(st); err != nil || diff(got, want) != "" {
			if round > 0 {
				t.Fatalf("round %d: %v %s; %v", round, err, diff(got, want), st.Recovery())
			}
		}
		r := region(t, st, "a")
		var wg sync.WaitGroup
		var ops atomic.Int64
		var writers []*writer
		for id := range 2 {
			w := newWriter(r, s+uint64(round), id)
			for k, v := range want["a"] {
				if strings.HasPrefix(k, fmt.Sprintf("w%d-", id)) {
					w.mine[k] = v
				}
			}
			writers = append(writers, w)
			wg.Go(func() { untilClosed(t, "write", func() error { ops.Add(1); return w.step() }) })
		}
		way := round
		wg.Go(func() { untilClosed(t, "scan", func() error { way++; return scanAll(r, way) }) })
		wg.Go(func() {
			untilClosed(t, "get", func() error {
				n := ops.Load()
				k := fmt.Sprintf("w%d-%03d", n%2, n%300)
				v, err := r.Get([]byte(k))
				if errors.Is(err, restart.ErrNotFound) {
					return nil
				}
				if err != nil {
					return err
				}
				return selfConsistent(restart.Entry{Key: []byte(k), Value: v})
			})
		})
		wg.Go(func() { untilClosed(t, "compact", func() error { return st.Compact(context.Background()) }) })
		wg.Go(func() { untilClosed(t, "checkpoint", func() error { return st.Checkpoint(context.Background()) }) })
		stop := int64(rnd.IntN(400))
		wait(func() bool { return ops.Load() >= stop || t.Failed() })
		if err := st.Close(); err != nil {
			t.Fatalf("round %d: close: %v", round, err)
		}
		wg.Wait()
		clear(want["a"])
		for _, w := range writers {
			maps.Copy(want["a"], w.mine)
		}
		if files := fsys.OpenFiles(); len(files) > 0 {
			t.Fatalf("round %d: files left open: %v", round, files)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	wantContents(t, fsys, small(nil), want)
}

// TestEverythingAtOnce is the same without the close, with values leaving
// memory, regions that come and go, and clears.
func TestEverythingAtOnce(t *testing.T) {
	steps := 6000
	if raceEnabled {
		steps = 1500
	}
	s := seed(t)
	fsys := memfs.New()
	o := small(fsys)
	o.MemoryLimit = 1 << 20
	st := open(t, fsys, o)
	r := region(t, st, "a")
	fill := region(t, st, "fill") // keeps memory full
	for i := range 1500 {
		put(t, fill, fmt.Sprint("fill-", i), strings.Repeat("f", 1000))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all, workers sync.WaitGroup
	background := func(what string, fn func(n int) error) {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := fn(n); err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v", what, err)
					return
				}
			}
		})
	}
	writers := make([]*writer, 3)
	for id := range writers {
		w := newWriter(r, s, id)
		writers[id] = w
		workers.Go(func() {
			for range steps {
				if err := w.step(); err != nil {
					t.Errorf("write: %v", err)
					return
				}
			}
		})
	}
	background("scan", func(n int) error { return scanAll(r, n) })
	background("compact", func(int) error { return st.Compact(ctx) })
	background("checkpoint", func(int) error { return st.Checkpoint(ctx) })
	background("regions", func(n int) error {
		name := fmt.Sprint("temp-", n%3)
		temp, err := st.Region(name, restart.RegionOptions{Ordered: n%2 == 0})
		if err != nil {
			return err
		}
		for i := range 20 {
			if err := temp.Put(fmt.Append(nil, i), []byte("v")); err != nil {
				return err
			}
		}
		if err := temp.Clear(); err != nil || n%2 == 0 {
			return err
		}
		return st.DropRegion(name)
	})
	background("read", func(n int) error {
		st.Metrics()
		_, err := fill.Get(fmt.Append(nil, "fill-", n%1500))
		return err
	})
	workers.Wait()
	cancel()
	all.Wait()
	want := map[string]string{}
	for _, w := range writers {
		maps.Copy(want, w.mine)
	}
	for i := range 2 {
		got, err := read(st)
		if err != nil {
			t.Fatal(err)
		}
		if d := diff(contents{"a": got["a"]}, contents{"a": want}); d != "" || len(got["fill"]) != 1500 {
			t.Fatalf("pass %d: %s, %d of 1500", i, d, len(got["fill"]))
		}
		if i == 0 {
			m := st.Metrics()
			t.Logf("%d evictions, %d values read, %d segments compacted, %d checkpoints", m.Evictions, m.FaultIns, m.Compacted, m.Checkpoints)
			if m.Evictions == 0 || m.FaultIns == 0 || m.Compacted == 0 || m.Checkpoints == 0 {
				t.Error("something never happened")
			}
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			st = open(t, fsys, o)
		}
	}
}

// TestScanGuarantee: keys that are there throughout are seen exactly once,
// whatever comes and goes beside them.
func TestScanGuarantee(t *testing.T) {
	fsys := memfs.New()
	o := small(fsys)
	o.MemoryLimit = 2 << 20
	st := open(t, fsys, o)
	r := region(t, st, "a")
	const stable = 3000
	for i := range stable {
		put(t, r, fmt.Sprintf("s%05d", i), "0")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for id := range 2 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(7, uint64(id)))
			for i := 0; ctx.Err() == nil; i++ {
				k := fmt.Appendf(nil, "s%05d-%d", rnd.IntN(stable), rnd.IntN(20)) // between two stable ones
				err := r.Put(k, []byte("churn"))
				if i%3 == 0 {
					err = r.Delete(k)
				} else if i%5 == 0 {
					err = r.Put(k[:6], fmt.Append(nil, i))
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	scans := map[string]iter.Seq2[[]byte, error]{
		"All":     keysOf(r.All()),
		"Ascend":  keysOf(r.Ascend(nil, nil)),
		"Descend": keysOf(r.Descend(nil, nil)),
		"Prefix":  keysOf(r.Prefix([]byte("s"))),
		"Keys":    r.Keys(nil, nil),
	}
	for round := range 6 {
		for name, keys := range scans {
			seen := map[string]int{}
			var order []string
			for k, err := range keys {
				if err != nil {
					t.Fatal(err)
				}
				seen[string(k)]++
				order = append(order, string(k))
			}
			for k, n := range seen {
				if n > 1 {
					t.Errorf("%s: %q seen %d times", name, k, n)
				}
			}
			for i := range stable {
				if k := fmt.Sprintf("s%05d", i); seen[k] != 1 {
					t.Errorf("%s, round %d: stable key %q seen %d times", name, round, k, seen[k])
				}
			}
			if name == "Descend" {
				slices.Reverse(order)
			}
			if name != "All" && !slices.IsSorted(order) {
				t.Errorf("%s is out of order", name)
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	}
	cancel()
	wg.Wait()
}

func keysOf(seq iter.Seq2[restart.Entry, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for e, err := range seq {
			if !yield(e.Key, err) {
				return
			}
		}
	}
}
