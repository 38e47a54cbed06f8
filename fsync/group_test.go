package fsync

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestGroupShares: everybody who arrives during a flush shares the next one.
func TestGroupShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []Request
		g := NewGroup(func(r Request) error {
			got = append(got, r)
			time.Sleep(time.Millisecond)
			return nil
		})
		var wg sync.WaitGroup
		commit := func(target uint64, sync bool) {
			wg.Go(func() {
				if err := g.Commit(target, sync); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		commit(1, true)
		commit(7, false)
		commit(5, true)
		commit(6, false)
		wg.Wait()
		commit(9, false)
		wg.Wait()
		want := []Request{{1, true, 1}, {7, true, 3}, {9, false, 1}}
		if len(got) != len(want) {
			t.Fatalf("flushes %+v", got)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("flush %d: %+v, want %+v", i, got[i], want[i])
			}
		}
	})
}

// TestGroupOneInFlight: never two flushes at once, Exclusive included, and
// every target is covered by a flush that began after its Commit.
func TestGroupOneInFlight(t *testing.T) {
	var running atomic.Int32
	var appended, flushed atomic.Uint64
	busy := func(f func()) {
		if running.Add(1) != 1 {
			t.Error("two at once")
		}
		f()
		running.Add(-1)
	}
	g := NewGroup(func(r Request) error {
		busy(func() {
			end := appended.Load()
			if r.Target > end {
				t.Errorf("target %d beyond %d", r.Target, end)
			}
			flushed.Store(end)
		})
		return nil
	})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 500 {
				mine := appended.Add(1)
				if err := g.Commit(mine, true); err != nil || flushed.Load() < mine {
					t.Errorf("%d acknowledged, flushed to %d: %v", mine, flushed.Load(), err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for range 200 {
			if err := g.Exclusive(func() error { busy(func() {}); return nil }); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

// TestGroupFails: a failed flush fails its members and those who joined while
// it was failing; those who come later get a flush of their own.
func TestGroupFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		fail, flushes := true, 0
		g := NewGroup(func(Request) error {
			flushes++
			time.Sleep(time.Second)
			if fail {
				return boom
			}
			return nil
		})
		var failed atomic.Int32
		var wg sync.WaitGroup
		join := func() {
			wg.Go(func() {
				if err := g.Commit(1, true); errors.Is(err, boom) {
					failed.Add(1)
				}
			})
			synctest.Wait()
		}
		join()
		join()
		join()
		wg.Wait()
		if failed.Load() != 3 || flushes != 1 {
			t.Errorf("%d failed in %d flushes", failed.Load(), flushes)
		}
		fail = false
		join()
		wg.Wait()
		if failed.Load() != 3 || flushes != 2 {
			t.Errorf("%d failed in %d flushes", failed.Load(), flushes)
		}
	})
}

// TestExclusiveFailsAlone: an error of Exclusive is its caller's.
func TestExclusiveFailsAlone(t *testing.T) {
	g := NewGroup(func(Request) error { return nil })
	boom := errors.New("boom")
	if err := g.Exclusive(func() error { return boom }); !errors.Is(err, boom) {
		t.Error(err)
	}
	if err := g.Commit(1, true); err != nil {
		t.Error(err)
	}
}

// TestReunion: writers in a closed loop meet in one batch, instead of one in
// one and the rest in the next, which would take twice as many flushes.
func TestReunion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers, rounds = 16, 60
		flushes := 0
		g := NewGroup(func(Request) error {
			flushes++
			time.Sleep(2 * time.Millisecond)
			return nil
		})
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range rounds {
					if err := g.Commit(1, true); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if flushes > rounds+3 {
			t.Errorf("%d flushes for %d rounds", flushes, rounds)
		}
		if g.SyncTime() != 2*time.Millisecond {
			t.Errorf("sync time %v", g.SyncTime())
		}
	})
}

// TestReunionAlone: a lone writer never waits for others; time would not pass
// here if it did.
func TestReunionAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGroup(func(Request) error { time.Sleep(time.Second); return nil })
		start := time.Now()
		for range 5 {
			if err := g.Commit(1, true); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("5 syncs of 1s took %v", d)
		}
	})
}

func BenchmarkCommitAlone(b *testing.B) {
	g := NewGroup(func(Request) error { return nil })
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Commit(1, true); err != nil {
			b.Fatal(err)
		}
	}
}
