package restart_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// TestWholeLoadMeets: the load waits for the disk in the middle of the log. What
// happens to the store then, to parts that are loaded for it and to others, is
// what it holds afterwards.
func TestWholeLoadMeets(t *testing.T) {
	read := func(t *testing.T, st *restart.Store, want contents) {
		a := region(t, st, "a")
		for i := 0; i < 3000; i += 97 {
			k := fmt.Sprintf("key-%04d", i)
			v, ok := want["a"][k]
			if !ok {
				v = "-"
			}
			wantValue(t, a, k, v)
		}
	}
	for name, work := range map[string]func(t *testing.T, st *restart.Store, want contents){
		"nothing": func(*testing.T, *restart.Store, contents) {},
		"reads":   read,
		"writes": func(t *testing.T, st *restart.Store, want contents) {
			a := region(t, st, "a")
			for i := 0; i < 3000; i += 53 {
				k := fmt.Sprintf("key-%04d", i)
				put(t, a, k, "new")
				want["a"][k] = "new"
				if i%2 == 0 {
					if err := a.Delete([]byte(k)); err != nil {
						t.Fatal(err)
					}
					delete(want["a"], k)
				}
			}
			x := st.NewBatch()
			x.Put(a, []byte("key-0007"), []byte("batch"))
			x.Delete(a, []byte("key-0008"))
			if _, err := st.Apply(x); err != nil {
				t.Fatal(err)
			}
			want["a"]["key-0007"] = "batch"
			delete(want["a"], "key-0008")
		},
		"length": func(t *testing.T, st *restart.Store, want contents) { // loads all keys
			if n := region(t, st, "a").Len(); n != len(want["a"]) {
				t.Errorf("Len %d, want %d", n, len(want["a"]))
			}
		},
		"clear": func(t *testing.T, st *restart.Store, want contents) {
			read(t, st, want)
			a := region(t, st, "a")
			if err := a.Clear(); err != nil {
				t.Fatal(err)
			}
			clear(want["a"])
			put(t, a, "key-0001", "after")
			want["a"]["key-0001"] = "after"
		},
		"drop": func(t *testing.T, st *restart.Store, want contents) {
			if err := st.DropRegion("a"); err != nil {
				t.Fatal(err)
			}
			put(t, region(t, st, "a"), "key-0001", "again")
			want["a"] = map[string]string{"key-0001": "again"}
		},
		"checkpoint": func(t *testing.T, st *restart.Store, want contents) {
			put(t, region(t, st, "b"), "key-0001", "new")
			want["b"]["key-0001"] = "new"
			if err := st.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"compaction": func(t *testing.T, st *restart.Store, want contents) {
			if err := st.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"order": func(t *testing.T, st *restart.Store, want contents) {
			var keys []string
			for e, err := range region(t, st, "a").Ascend(nil, nil) {
				if err != nil {
					t.Fatal(err)
				}
				keys = append(keys, string(e.Key))
			}
			if sorted := slices.Sorted(maps.Keys(want["a"])); !slices.Equal(keys, sorted) {
				t.Errorf("%d keys in order, want %d", len(keys), len(sorted))
			}
		},
	} {
		for _, killed := range []bool{false, true} {
			for _, at := range []int{2, 6} { // reads of the log before the one that waits
				t.Run(fmt.Sprintf("%s, killed %v, read %d", name, killed, at), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						fs, want := wholeStore(t, killed)
						e := errfs.Wrap(fs)
						o := wholeOptions(fs)
						o.FS = e
						st, err := restart.Open(dir, o)
						if err != nil {
							t.Fatal(err)
						}
						defer st.Close()
						gate := make(chan struct{})
						release := sync.OnceFunc(func() { close(gate) })
						defer release()
						stalled := e.Inject(logReads(at, 1, func() { <-gate }))
						time.Sleep(100 * time.Millisecond)
						synctest.Wait()
						if stalled.Hits() != 1 || st.Recovery().Loaded != 0 {
							t.Fatalf("the load does not wait: %d of %d reads, %+v", stalled.Hits(), stalled.Seen(), st.Recovery())
						}
						work(t, st, want)
						release()
						time.Sleep(time.Second)
						synctest.Wait()
						if rep := st.Recovery(); rep.Loaded == 0 || rep.LoadFailed != "" {
							t.Errorf("not loaded: %v %s", rep, rep.LoadFailed)
						}
						before := st.Metrics().FaultIns
						wantHolds(t, st, want)
						if n := st.Metrics().FaultIns - before; n != 0 && name != "compaction" {
							t.Errorf("%d values are not in memory", n)
						}
						sum, err := region(t, st, "a").ContentHash()
						if err != nil {
							t.Fatal(err)
						}
						if err := st.Sync(); err != nil {
							t.Fatal(err)
						}
						o.Load = restart.Eager
						eager := open(t, fs.KillClone(), o)
						wantHolds(t, eager, want)
						if eagerSum, err := region(t, eager, "a").ContentHash(); err != nil || sum != eagerSum {
							t.Errorf("content hash %x; after an eager open %x, %v", sum, eagerSum, err)
						}
						wantAllGone(t, st)
						if err := st.Close(); err != nil {
							t.Error(err)
						}
					})
				})
			}
		}
	}
}

// TestWholeLoadMeetsClose: a store is closed while it loads whole, at any read.
func TestWholeLoadMeetsClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, want := wholeStore(t, true)
		met := 0
		for at := range 30 {
			files := fs.KillClone()
			e := errfs.Wrap(files)
			o := wholeOptions(files)
			o.FS, o.ReadOnly = e, at%2 == 0
			o.Events.LoadFailed = func(err error) { t.Errorf("closed at read %d: %v", at, err) }
			st, err := restart.Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			reached := make(chan struct{})
			e.Inject(logReads(at, 1, func() { close(reached); time.Sleep(time.Millisecond) }))
			select {
			case <-reached:
				met++
			case <-time.After(time.Second): // all was loaded
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
			if open := files.OpenFiles(); len(open) > 0 {
				t.Fatalf("closed at read %d: files left open: %v", at, open)
			}
			st = open(t, files, wholeOptions(files))
			wantHolds(t, st, want)
		}
		if met < 10 {
			t.Errorf("closed %d times while it loaded", met)
		}
	})
}

// TestWholeLoadMeetsDamage: a segment that is damaged, or cannot be read, costs
// what it costs otherwise: its values. Everything else is there, and it is told.
func TestWholeLoadMeetsDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, want := wholeStore(t, false)
		files := segmentFiles(t, fs)
		name := files[len(files)/2]
		frames := dataFrames(t, fs, name)
		frame := frames[len(frames)/2]
		flip(t, fs, name, frame.off+segment.FrameHeaderSize+20, 1)
		var told []error
		o := wholeOptions(fs)
		o.Events.LoadFailed = func(err error) { told = append(told, err) }
		st := open(t, fs, o)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(told) != 1 || !errors.Is(told[0], segment.ErrCorrupt) || !strings.Contains(told[0].Error(), filepath.Base(name)) {
			t.Fatalf("told %v", told)
		}
		lost := 0
		for region, entries := range want {
			r, err := st.Region(region, restart.RegionOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if n := r.Len(); n != len(entries) {
				t.Errorf("region %q has %d keys, want %d", region, n, len(entries))
			}
			for k, v := range entries {
				got, err := r.Get([]byte(k))
				switch {
				case errors.Is(err, segment.ErrCorrupt):
					lost++
				case err != nil || string(got) != v:
					t.Errorf("%s/%s: %.20q, %v", region, k, got, err)
				}
			}
		}
		if lost > 1 {
			t.Errorf("%d values cannot be read", lost)
		}
		wantAllGone(t, st)
	})
}

// TestWholeLoadMakesRoom: keys fill the memory that a load has filled with cells
// of its own. A put waits until the load has ended, and succeeds; what was loaded
// by then is freed.
func TestWholeLoadMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, want := wholeStore(t, false)
		e := errfs.Wrap(fs)
		o := wholeOptions(fs)
		o.FS, o.MemoryLimit = e, 4<<20
		st, err := restart.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		stalled := e.Inject(logReads(10, errfs.Forever, func() { time.Sleep(10 * time.Second) }))
		time.Sleep(time.Second)
		synctest.Wait()
		cells := st.Metrics().MemoryUsed
		if stalled.Hits() == 0 || cells < 200<<10 {
			t.Fatalf("%d bytes are loaded, %d reads wait", cells, stalled.Hits())
		}
		r := region(t, st, "keys")
		want["keys"] = map[string]string{}
		start := time.Now()
		for i := 0; i < 5000 && time.Since(start) < time.Second; i++ {
			k := fmt.Sprintf("%01000d", i)
			put(t, r, k, "v")
			want["keys"][k] = "v"
		}
		if d := time.Since(start); d < time.Second || d > 12*time.Second {
			t.Errorf("%d puts took %v: none waited, or one too long", len(want["keys"]), d)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if m := st.Metrics(); m.MemoryUsed > o.MemoryLimit {
			t.Errorf("%d bytes in memory", m.MemoryUsed)
		}
		wantHolds(t, st, want)
		wantAllGone(t, st)
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWholeLoadProgressPuts: who is told of the progress may write, and may need
// the memory that the load takes.
func TestWholeLoadProgressPuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, want := wholeStore(t, false)
		o := wholeOptions(fs)
		o.FS, o.MemoryLimit = fs, 4<<20
		opened, wrote := make(chan *restart.Store, 1), make(chan error, 1)
		var once sync.Once
		o.Events.LoadProgress = func(restart.LoadInfo) {
			once.Do(func() {
				st := <-opened
				r, err := st.Region("keys", restart.RegionOptions{})
				for i := 0; i < 60 && err == nil; i++ {
					err = r.Put(fmt.Appendf(nil, "%060000d", i), nil)
				}
				wrote <- err
			})
		}
		st, err := restart.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		opened <- st
		if err := <-wrote; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if st.Recovery().Loaded == 0 {
			t.Error("not loaded")
		}
		if err := st.DropRegion("keys"); err != nil {
			t.Fatal(err)
		}
		wantHolds(t, st, want)
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWholeLoadOfLargeValues: Close does not wait for more than the reads that are
// under way, also where few values fill a segment.
func TestWholeLoadOfLargeValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := wholeOptions(fs)
		o.SegmentSize, o.MemoryLimit = 16<<20, 256<<20
		st := open(t, fs, o)
		r := region(t, st, "r")
		for i := range 40 {
			put(t, r, fmt.Sprint(i), strings.Repeat("v", 1<<20))
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		e := errfs.Wrap(fs)
		o.FS = e
		st, err := restart.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		e.Inject(logReads(0, errfs.Forever, func() { time.Sleep(time.Second) }))
		time.Sleep(2500 * time.Millisecond)
		start := time.Now()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("Close took %v", d)
		}
	})
}

// TestWholeLoadTellsDeadDamage: damage among records that nobody needs costs no
// value, and is told.
func TestWholeLoadTellsDeadDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := wholeOptions(fs)
		st := open(t, fs, o)
		r := region(t, st, "r")
		for i := range 1200 {
			put(t, r, fmt.Sprint("key-", i%40), strings.Repeat("v", 1000))
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		name := segmentFiles(t, fs)[1]
		frames := dataFrames(t, fs, name)
		flip(t, fs, name, frames[len(frames)/2].off+segment.FrameHeaderSize+20, 1)
		var told []error
		o.Events.LoadFailed = func(err error) { told = append(told, err) }
		st = open(t, fs, o)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(told) != 1 || !errors.Is(told[0], segment.ErrCorrupt) || !strings.Contains(told[0].Error(), filepath.Base(name)) {
			t.Errorf("told %v", told)
		}
		if rep := st.Recovery(); rep.LoadFailed == "" { // Loaded, unless the rest came to that segment, too
			t.Errorf("report %+v", rep)
		}
		for i := range 40 {
			wantValue(t, region(t, st, "r"), fmt.Sprint("key-", i), strings.Repeat("v", 1000))
		}
		if n := st.Metrics().FaultIns; n != 0 {
			t.Errorf("%d values were not loaded", n)
		}
	})
}

// TestWholeLoadWithinLimit: a put that needs the load's memory gets that before
// it has anything else loaded; and a log that holds more than it says, because it
// was written compressed, does not fill more than the limit.
func TestWholeLoadWithinLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := wholeOptions(fs)
		o.MemoryLimit = 8 << 20
		st := open(t, fs, o)
		r := region(t, st, "r")
		for i := range 2900 {
			put(t, r, fmt.Sprintf("%01000d", i), strings.Repeat("v", 1000))
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		e := errfs.Wrap(fs)
		o.FS = e
		st, err := restart.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		e.Inject(logReads(88, errfs.Forever, func() { time.Sleep(10 * time.Second) }))
		time.Sleep(time.Second)
		synctest.Wait()
		if used := st.Metrics().MemoryUsed; used < o.MemoryLimit/2 {
			t.Fatalf("the load has %d bytes: the test shows nothing", used)
		}
		r = region(t, st, "keys")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 1900 {
				put(t, r, fmt.Sprintf("%02000d", i), "")
			}
		}()
		peak, busy := int64(0), true
		for busy {
			select {
			case <-done:
				busy = false
			case <-time.After(time.Millisecond):
			}
			peak = max(peak, st.Metrics().MemoryUsed)
		}
		if peak > o.MemoryLimit {
			t.Errorf("%d bytes in memory, limit %d", peak, o.MemoryLimit)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := wholeOptions(fs)
		o.MemoryLimit, o.Compression = 4<<20, restart.CompressS2
		st := open(t, fs, o)
		r := region(t, st, "r")
		for i := range 5000 {
			put(t, r, fmt.Sprint("key-", i), strings.Repeat(fmt.Sprint("v", i), 400))
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		o.Compression = restart.CompressNone
		st = open(t, fs, o)
		time.Sleep(time.Second)
		synctest.Wait()
		if m := st.Metrics(); m.MemoryUsed > o.MemoryLimit || m.MemoryUsed < o.MemoryLimit/2 {
			t.Errorf("%d bytes in memory, limit %d", m.MemoryUsed, o.MemoryLimit)
		}
		for i := 0; i < 5000; i += 100 {
			wantValue(t, region(t, st, "r"), fmt.Sprint("key-", i), strings.Repeat(fmt.Sprint("v", i), 400))
		}
	})
}
