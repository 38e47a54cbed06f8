package restart_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// A store that is loaded whole, by one look at its log, is right all the while.

// wholeOptions are those of wholeStore.
func wholeOptions(fs *memfs.FS) restart.Options {
	o := restart.LoadWhole(small(fs))
	o.MemoryLimit, o.Compaction = 64<<20, restart.NoCompaction
	return o
}

// wholeStore returns the files of a closed store, or of one that was killed after
// it wrote more than its image says, with everything that a log can hold.
func wholeStore(t *testing.T, killed bool) (*memfs.FS, contents) {
	t.Helper()
	fs := memfs.New()
	st := open(t, fs, wholeOptions(fs))
	a, b, c := region(t, st, "a"), region(t, st, "b"), region(t, st, "c")
	want := contents{"a": {}, "b": {}, "c": {}}
	if killed {
		want["d"] = map[string]string{}
	}
	give := func(r *restart.Region, k, v string) {
		put(t, r, k, v)
		want[r.Name()][k] = v
	}
	dropped := region(t, st, "dropped")
	for i := range 3000 {
		give(a, fmt.Sprintf("key-%04d", i), strings.Repeat("v", 1+i%300))
		give(b, fmt.Sprintf("key-%04d", i%500), fmt.Sprint("cleared ", i))
		put(t, dropped, fmt.Sprint(i), "dropped")
	}
	if err := b.Clear(); err != nil {
		t.Fatal(err)
	}
	clear(want["b"])
	if err := st.DropRegion("dropped"); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		give(b, fmt.Sprintf("key-%04d", i), "after the clear")
		give(c, fmt.Sprintf("key-%04d", i), "to be cleared")
	}
	batch := func(from int) {
		x := st.NewBatch()
		for i := from; i < from+400; i += 4 {
			k := fmt.Sprintf("key-%04d", i)
			x.Put(a, []byte(k), []byte("of a batch"))
			want["a"][k] = "of a batch"
			k = fmt.Sprintf("key-%04d", i+1)
			x.Delete(a, []byte(k))
			delete(want["a"], k)
		}
		if _, err := st.Apply(x); err != nil {
			t.Fatal(err)
		}
	}
	batch(0)
	if _, err := a.PutWith([]byte("expires"), []byte("later"), restart.WriteOptions{TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	want["a"]["expires"] = "later"
	if !killed {
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		return fs, want
	}
	if err := st.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch(1000)
	give(region(t, st, "d"), "key", "of a region that no image knows")
	for i := range 300 {
		give(a, fmt.Sprintf("key-%04d", 2*i), "behind the image")
	}
	if err := c.Clear(); err != nil {
		t.Fatal(err)
	}
	clear(want["c"])
	if err := st.Sync(); err != nil {
		t.Fatal(err)
	}
	return fs.KillClone(), want
}

// logReads hits reads of a window of a segment, as scans make them: not the first
// skip of them, but the next ones.
func logReads(skip, times int, before func()) errfs.Rule {
	return errfs.Rule{
		Kinds: errfs.Read, Name: "*.seg", Skip: skip, Times: times,
		Match: func(op errfs.Op) bool { return op.Length > 1<<14 }, Before: func(errfs.Op) { before() },
	}
}

// wantAllGone empties a store and checks that no memory stays behind.
func wantAllGone(t *testing.T, st *restart.Store) {
	t.Helper()
	for _, name := range st.Regions() {
		if err := region(t, st, name).Clear(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second) // what was cleared is freed in the background
	if used := st.Metrics().MemoryUsed; used != 0 {
		t.Errorf("%d bytes in use by a store without entries", used)
	}
}

func wantHolds(t *testing.T, st *restart.Store, want contents) {
	t.Helper()
	if got, err := read(st); err != nil || diff(got, want) != "" {
		t.Errorf("%v %s", err, diff(got, want))
	}
}

// TestWholeLoad: nobody reads the image's parts, no value is read one by one, and
// what is in memory is the same as after an eager open.
func TestWholeLoad(t *testing.T) {
	for _, killed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			fs, want := wholeStore(t, killed)
			o := wholeOptions(fs)
			o.Load = restart.Eager
			st := open(t, fs.KillClone(), o)
			sums := make(map[string][16]byte)
			for _, name := range st.Regions() {
				sum, err := region(t, st, name).ContentHash()
				if err != nil {
					t.Fatal(err)
				}
				sums[name] = sum
			}
			entries := st.Metrics().Entries

			var parts atomic.Int64
			e := errfs.Wrap(fs)
			o = wholeOptions(fs)
			o.FS = e
			st, err := restart.Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			e.Inject(errfs.Rule{Kinds: errfs.Read, Name: "*.img", Times: errfs.Forever, Before: func(errfs.Op) { parts.Add(1) }})
			if rep := st.Recovery(); rep.Rung == restart.RungFullScan {
				t.Fatalf("opened by %v", rep)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			rep := st.Recovery()
			if rep.Loaded == 0 || rep.LoadFailed != "" || parts.Load() != 0 {
				t.Errorf("%v; loaded in %v, %d reads of the image", rep, rep.Loaded, parts.Load())
			}
			wantHolds(t, st, want)
			m := st.Metrics()
			if m.FaultIns != 0 || m.Entries != entries {
				t.Errorf("%d values read from the log, %d entries, want %d", m.FaultIns, m.Entries, entries)
			}
			for name, sum := range sums {
				if got, err := region(t, st, name).ContentHash(); err != nil || got != sum {
					t.Errorf("region %q: content hash %x, %v, eager %x", name, got, err, sum)
				}
			}
			for _, name := range fs.OpenFiles() {
				if strings.HasSuffix(name, ".img") {
					t.Errorf("%s is still open", name)
				}
			}
			wantAllGone(t, st)
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWholeLoadOfManyParts: a shard of a large region has several parts, of which
// some are loaded for others when the load comes to it.
func TestWholeLoadOfManyParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 170_000
		fs := memfs.New()
		o := wholeOptions(fs)
		o.SegmentSize = 1 << 20
		st := open(t, fs, o)
		r := region(t, st, "r")
		key := func(i int) []byte { return fmt.Appendf(nil, "key-%d", i) }
		for i := range n {
			if err := r.Put(key(i), key(-i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		im := decodeImage(t, readAll(t, fs, filesLike(t, fs, "*.img")[0]))
		if len(im.Regions[0].Parts) < 2<<index.ShardBits {
			t.Fatalf("%d parts", len(im.Regions[0].Parts))
		}
		e := errfs.Wrap(fs)
		o.FS = e
		st, err := restart.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		gate := make(chan struct{})
		e.Inject(logReads(2, 1, func() { <-gate }))
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		r = region(t, st, "r")
		for i := range 60 { // of 128 parts
			put(t, r, string(key(i)), "new")
		}
		close(gate)
		time.Sleep(time.Second)
		synctest.Wait()
		if rep := st.Recovery(); rep.Loaded == 0 || rep.LoadFailed != "" {
			t.Fatalf("not loaded: %v", rep)
		}
		for i := range n {
			want := key(-i)
			if i < 60 {
				want = []byte("new")
			}
			if got, err := r.Get(key(i)); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("key %d: %q, %v", i, got, err)
			}
		}
		if m := st.Metrics(); m.FaultIns != 0 || m.Entries != n {
			t.Errorf("%d values read from the log, %d entries", m.FaultIns, m.Entries)
		}
		sum, err := r.ContentHash()
		if err != nil {
			t.Fatal(err)
		}
		live := st.Metrics().LiveBytes
		if err := st.Sync(); err != nil {
			t.Fatal(err)
		}
		o.Load = restart.Eager
		eager := open(t, fs.KillClone(), o)
		if want, err := region(t, eager, "r").ContentHash(); err != nil || sum != want || live != eager.Metrics().LiveBytes {
			t.Errorf("content hash %x, %d live bytes; after an eager open %x, %d, %v", sum, live, want, eager.Metrics().LiveBytes, err)
		}
		wantAllGone(t, st)
	})
}

// TestWholeLoadByDamagedImage: parts of the image that are damaged are not even
// looked at; those that something asks for meanwhile are rebuilt.
func TestWholeLoadByDamagedImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, want := wholeStore(t, false)
		name := filesLike(t, fs, "*.img")[0]
		im := decodeImage(t, readAll(t, fs, name))
		for _, r := range im.Regions {
			for i := 0; i < len(r.Parts); i += 3 {
				if r.Parts[i].Entries > 0 {
					flip(t, fs, name, r.Parts[i].Offset+3, 1)
				}
			}
		}
		for _, ask := range []bool{false, true} {
			o := wholeOptions(fs)
			damaged := 0
			o.Events.PartDamaged = func(string, error) { damaged++ }
			o.FS, o.ReadOnly = fs, true
			st, err := restart.Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			if ask {
				for i := 100; i < 140; i++ {
					k := fmt.Sprintf("key-%04d", i)
					if v, ok := want["a"][k]; ok {
						wantValue(t, region(t, st, "a"), k, v)
					}
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if rep := st.Recovery(); rep.Loaded == 0 || rep.LoadFailed != "" || rep.DamagedParts != damaged || damaged > 0 != ask {
				t.Errorf("asked %v: %d parts rebuilt, %+v", ask, damaged, rep)
			}
			wantHolds(t, st, want)
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestWholeLoadOfGarbage: a log that is mostly garbage is not read for what little
// is live: the keys come from the image, and the compactor begins.
func TestWholeLoadOfGarbage(t *testing.T) {
	for _, rounds := range []int{1, 5} { // times that each key is put
		synctest.Test(t, func(t *testing.T) {
			const n = 20_000
			fs := memfs.New()
			o := restart.Options{FS: fs, SegmentSize: 1 << 20, MemoryLimit: 512 << 20, Compaction: restart.NoCompaction}
			st := open(t, fs, o)
			for i := range n * rounds {
				put(t, region(t, st, "r"), fmt.Sprint("key-", i%n), strings.Repeat("v", 900))
			}
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			size := st.Metrics().LogBytes
			var keys, end atomic.Int64
			e := errfs.Wrap(fs)
			o.FS, o.Compaction = e, restart.SizeBased
			o.Events.LoadProgress = func(restart.LoadInfo) { end.CompareAndSwap(0, keys.Load()) }
			st, err := restart.Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			e.Inject(errfs.Rule{Kinds: errfs.Read, Name: "*.img", Times: errfs.Forever, Before: func(errfs.Op) { keys.Add(1) }})
			time.Sleep(time.Minute)
			synctest.Wait()
			m := st.Metrics()
			if st.Recovery().Loaded == 0 || m.Entries != n || m.FaultIns != 0 {
				t.Errorf("%d puts: %+v", rounds, m)
			}
			if whole := end.Load() <= 1; whole != (rounds == 1) {
				t.Errorf("each key put %d times, log of %d bytes: %d reads of the image before anything was loaded", rounds, size, end.Load())
			}
			if rounds > 1 && m.LogBytes > size/2 {
				t.Errorf("the log has %d bytes still, of %d", m.LogBytes, size)
			}
			for i := 0; i < n; i += 999 {
				wantValue(t, region(t, st, "r"), fmt.Sprint("key-", i), strings.Repeat("v", 900))
			}
		})
	}
}
