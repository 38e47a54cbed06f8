package restart_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

func putFor(t *testing.T, r *restart.Region, key string, ttl time.Duration) {
	t.Helper()
	if _, err := r.PutWith([]byte(key), []byte("v"), restart.WriteOptions{TTL: ttl}); err != nil {
		t.Fatal(err)
	}
}

// An expiry is absolute: it passes while the store is closed, at every rung.
func TestExpirySurvivesRestart(t *testing.T) {
	for _, rung := range []restart.Rung{restart.RungCleanImage, restart.RungImageTail, restart.RungFullScan} {
		t.Run(string(rung), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fsys := memfs.New()
				st := open(t, fsys, small(fsys))
				r := region(t, st, "a")
				put(t, r, "for ever", "v")
				putFor(t, r, "a minute", time.Minute)
				putFor(t, r, "an hour", time.Hour)
				b := st.NewBatch()
				b.PutWith(r, []byte("batched"), []byte("v"), restart.WriteOptions{TTL: time.Hour})
				if _, err := st.Apply(b); err != nil {
					t.Fatal(err)
				}
				checkpoint(t, st)
				putFor(t, r, "late", time.Hour)
				put(t, r, "shortened", "v")
				putFor(t, r, "shortened", time.Minute) // over one without
				putFor(t, r, "extended", time.Minute)
				put(t, r, "extended", "v")
				due := time.Now().Add(time.Hour)
				time.Sleep(30 * time.Second)
				wantValue(t, r, "a minute", "v")
				if err := st.Sync(); err != nil {
					t.Fatal(err)
				}
				next := fsys.KillClone()
				if err := st.Close(); err != nil {
					t.Fatal(err)
				}
				switch rung {
				case restart.RungCleanImage:
					next = fsys
				case restart.RungFullScan:
					for _, name := range filesLike(t, next, "*.img") {
						remove(t, next, name)
					}
				}
				time.Sleep(40 * time.Second) // closed meanwhile
				st = open(t, next, small(next))
				if got := st.Recovery().Rung; got != rung {
					t.Fatalf("rung %q, want %q", got, rung)
				}
				r = region(t, st, "a")
				for _, k := range []string{"for ever", "an hour", "batched", "late", "extended"} {
					wantValue(t, r, k, "v")
				}
				wantValue(t, r, "a minute", "-")
				wantValue(t, r, "shortened", "-")
				if n := countEntries(r.All()); n != 5 {
					t.Errorf("%d entries by scan, want 5", n)
				}
				for e := range r.Prefix([]byte("late")) {
					if off := e.Expires.Sub(due); off < -time.Second || off > time.Second {
						t.Errorf("expires %v, want %v", e.Expires, due)
					}
				}
				time.Sleep(time.Hour)
				for _, k := range []string{"an hour", "batched", "late"} {
					wantValue(t, r, k, "-")
				}
				wantValue(t, r, "for ever", "v")
				time.Sleep(2 * time.Second) // the sweeper
				if n := r.Len(); n != 2 {
					t.Errorf("Len %d after the sweep, want 2", n)
				}
				if m := st.Metrics(); m.Expired == 0 {
					t.Errorf("%+v", m)
				}
			})
		})
	}
}

// An expired entry hides older ones exactly as a deletion does, also from the
// compactor and from old images.
func TestExpiredHidesOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := memfs.New()
		o := small(fsys)
		o.Compaction = restart.NoCompaction
		st := open(t, fsys, o)
		r := region(t, st, "a")
		want := contents{"a": {}}
		for i := range 100 {
			k := fmt.Sprint(i)
			put(t, r, k, "old")
			if i%2 == 0 {
				want["a"][k] = "old"
			}
		}
		checkpoint(t, st)
		for i := 1; i < 100; i += 2 {
			putFor(t, r, fmt.Sprint(i), time.Minute)
		}
		checkpoint(t, st)
		time.Sleep(2 * time.Minute)
		if err := st.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := st.Sync(); err != nil {
			t.Fatal(err)
		}
		for keep := range 3 { // both images, the older, none
			after := fsys.KillClone()
			images := filesLike(t, after, "*.img")
			for _, name := range images[len(images)-keep:] {
				remove(t, after, name)
			}
			wantContents(t, after, o, want)
		}
	})
}

// Store time never runs back over a restart (I23): what was seen expired stays
// so, although the wall clock went back.
func TestClockDoesNotRunBack(t *testing.T) {
	fsys := memfs.New()
	st := open(t, fsys, small(fsys))
	r := region(t, st, "a")
	putFor(t, r, "k", 1) // a nanosecond
	put(t, r, "l", "v")
	wantValue(t, r, "k", "-")
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	for _, image := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) { // in the year 2000
			if !image {
				for _, name := range filesLike(t, fsys, "*.img") {
					remove(t, fsys, name)
				}
			}
			st := open(t, fsys, small(fsys))
			r := region(t, st, "a")
			wantValue(t, r, "k", "-")
			wantValue(t, r, "l", "v")
			putFor(t, r, "m", time.Minute) // of store time
			wantValue(t, r, "m", "v")
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A TTL beyond the end of time is for ever.
func TestLongestTTL(t *testing.T) {
	fsys := memfs.New()
	st := open(t, fsys, small(fsys))
	r := region(t, st, "a")
	putFor(t, r, "k", 1<<63-1)
	wantValue(t, r, "k", "v")
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	wantContents(t, fsys, small(nil), contents{"a": {"k": "v"}})
}
