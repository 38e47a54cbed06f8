package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fastrestart/frs/internal/child"
	"github.com/fastrestart/frs/internal/ledger"
	"github.com/fastrestart/frs/restart"
)

// TestMain lets the test binary be a child.
func TestMain(m *testing.M) {
	if arg, ok := child.Plan(os.Args[1:]); ok {
		os.Exit(childMain(arg))
	}
	os.Exit(m.Run())
}

// kinds are what a soak does, all of it.
var kinds = []string{
	"put", "put > 256 KiB", "put with TTL", "delete", "delete absent", "batch", "batch of regions", "clear", "drop",
	"durability inherit", "durability sync", "durability batched", "durability never", "sync", "wait durable",
	"get", "entry", "has", "scan unordered", "scan ascending", "scan descending", "scan prefix", "scan keys", "scan of what changes",
	"open Lazy", "open Eager", "open KeysOnly", "loaded", "close", "clean image", "image and tail",
	"checkpoint forced", "checkpoint paced", "segment compacted", "record moved", "eviction", "fault-in", "expired",
	"audit", "content hash", "compaction kept its promise", "check", "key checked", "verify",
	"end closed", "end writing", "end opening", "end loading", "end closing", "kill", "in doubt", "acknowledged",
}

// TestSoak is the soak for some seconds, and longer only where they are not
// enough for everything to happen.
func TestSoak(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := newSoak(t.TempDir(), seed, 3*time.Second, &bytes.Buffer{})
	for range 20 {
		if err := s.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.total.missing(kinds) == nil {
			break
		}
		t.Logf("again, until there is %q", s.total.missing(kinds))
		s.begun = time.Now()
	}
	if never := s.total.missing(kinds); never != nil {
		t.Errorf("never happened: %q", never)
	}
	t.Logf("%d children, %v", s.children, s.total)
}

// planted starts a soak, with a store that has seen some writes.
func planted(t *testing.T) *soak {
	t.Helper()
	s := newSoak(t.TempDir(), 7, time.Second, &bytes.Buffer{})
	live(t, s)
	return s
}

// live lets a child write and close, as it should.
func live(t *testing.T, s *soak) {
	t.Helper()
	if err := s.round(t.Context(), plan{Seed: s.rng.Uint64(), At: closed, Run: 200 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
}

// wantFound expects the next child, or verify, to find what was planted.
func wantFound(t *testing.T, s *soak, what string) {
	t.Helper()
	err := s.round(t.Context(), plan{Seed: 1, At: closed, Run: time.Millisecond})
	if err == nil {
		err = s.verify(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), what) {
		t.Errorf("found %v, want %q", err, what)
	}
}

// TestPlantedLoss: an acknowledged write that is not there is found.
func TestPlantedLoss(t *testing.T) {
	s := planted(t)
	live(t, s)
	w := ledger.Write{Version: s.ledger.Highest + 1, Puts: []string{"plain/of nobody"}}
	s.ledger.Issue(w)
	if err := s.ledger.Answer(ledger.Answer{Version: w.Version, LSN: 1 << 40, Durability: ledger.Durable}); err != nil {
		t.Fatal(err)
	}
	wantFound(t, s, "1 writes are lost that were durable")
}

// TestPlantedOldStore: a store that is as it was before the last writes.
func TestPlantedOldStore(t *testing.T) {
	s := planted(t)
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(s.store())); err != nil {
		t.Fatal(err)
	}
	live(t, s)
	if err := os.RemoveAll(s.store()); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(s.store(), os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	wantFound(t, s, "lost")
}

// TestPlantedDamage: one flipped bit in what is not read otherwise.
func TestPlantedDamage(t *testing.T) {
	s := planted(t)
	segments, err := filepath.Glob(filepath.Join(s.store(), "gen-*", "log", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(segments[0], b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.verify(t.Context()); err == nil {
		t.Error("verify found nothing")
	}
}

// TestPlantedContent: what somebody else did to a single key.
func TestPlantedContent(t *testing.T) {
	for name, change := range map[string]func(r *restart.Region, e restart.Entry) error{
		"deleted":    func(r *restart.Region, e restart.Entry) error { return r.Delete(e.Key) },
		"half value": func(r *restart.Region, e restart.Entry) error { return r.Put(e.Key, e.Value[:len(e.Value)/2]) },
		"of another key": func(r *restart.Region, e restart.Entry) error {
			return r.Put(append(e.Key, 'x'), values.Make("plain/"+string(e.Key)+"x", 1))
		},
		"of another write": func(r *restart.Region, e restart.Entry) error {
			return r.Put(e.Key, values.Make("plain/"+string(e.Key), 1<<40))
		},
		"now with an expiry": func(r *restart.Region, e restart.Entry) error {
			_, err := r.PutWith(e.Key, e.Value, restart.WriteOptions{TTL: time.Hour})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := planted(t)
			if err := meddle(s.store(), change); err != nil {
				t.Fatal(err)
			}
			wantFound(t, s, regionNames[plain])
		})
	}
}

// meddle opens a store and changes an entry of it.
func meddle(dir string, change func(*restart.Region, restart.Entry) error) error {
	st, err := restart.Open(dir, restart.Options{})
	if err != nil {
		return err
	}
	r, err := st.Region(regionNames[plain], restart.RegionOptions{})
	if err != nil {
		return err
	}
	for e, err := range r.All() {
		if err != nil {
			return err
		}
		if err := change(r, e); err != nil {
			return err
		}
		return st.Close()
	}
	return fmt.Errorf("%s is empty", regionNames[plain])
}

// TestJudge: what a worker says of its keys while all goes on.
func TestJudge(t *testing.T) {
	began := now()
	past, future := began.Add(-time.Second), began.Add(time.Hour)
	w := newWorker(&user{}, 0, nil)
	w.has["stays"] = holds{version: 3}
	w.has["over"] = holds{4, past, past}
	w.has["lives"] = holds{5, future, future.Add(1)}
	for _, tt := range []struct {
		key   string
		found ledger.Found
		right bool
	}{
		{"stays", ledger.Found{Version: 3}, true},
		{"stays", ledger.Found{Version: 2}, false},
		{"stays", ledger.Found{Version: 3, Expires: future}, false},
		{"stays", ledger.Found{}, false},
		{"over", ledger.Found{}, true},
		{"over", ledger.Found{Version: 4, Expires: past}, false},
		{"lives", ledger.Found{Version: 5, Expires: future}, true},
		{"lives", ledger.Found{Version: 5, Expires: future.Add(2)}, false},
		{"lives", ledger.Found{Version: 5}, false},
		{"lives", ledger.Found{}, false},
		{"deleted", ledger.Found{}, true},
		{"deleted", ledger.Found{Version: 1}, false},
	} {
		if err := w.judge(tt.key, tt.found, true, began); (err == nil) != tt.right {
			t.Errorf("%s, found %v: %v", tt.key, tt.found, err)
		}
	}
}

// TestBounds: too much of anything is an error.
func TestBounds(t *testing.T) {
	b := newBounds(newTally())
	if err := b.sample(restart.Metrics{MemoryLimit: 1 << 30}); err != nil {
		t.Error(err)
	}
	for what, m := range map[string]restart.Metrics{
		"store memory":  {MemoryLimit: 1 << 30, MemoryUsed: 1<<30 + usedSlack + 1},
		"mapped memory": {MemoryLimit: 1 << 30, MemoryMapped: 1<<30 + mappedSlack + 1},
		"disk":          {MemoryLimit: 1 << 30, DiskBytes: maxDisk + 1},
		"open files":    {MemoryLimit: 1 << 30, Segments: -moreFiles - 100},
		"resident":      {MemoryLimit: -1 << 40, MemoryUsed: -1 << 40, MemoryMapped: -1 << 40},
	} {
		if err := b.sample(m); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("too much %s: %v", what, err)
		}
	}
}

// TestLeaks: a goroutine or a file that stays behind a close is found.
func TestLeaks(t *testing.T) {
	b := newBounds(newTally())
	b.patience = 20 * time.Millisecond
	if err := b.released(); err != nil {
		t.Error(err)
	}
	end := make(chan struct{})
	defer close(end)
	for range 50 { // some of before may end meanwhile, and one listens
		go func() { <-end }()
	}
	if err := b.released(); err == nil {
		t.Error("goroutines were leaked")
	}
	b = newBounds(newTally())
	b.patience = 20 * time.Millisecond
	f, err := os.Create(filepath.Join(t.TempDir(), "leaked"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, known := openFiles(); known && b.released() == nil {
		t.Error("a file was leaked")
	}
}

// TestAllowed: the compactor's promise, and that breaking it is found.
func TestAllowed(t *testing.T) {
	for _, tt := range []struct {
		s          settings
		live, want int64
	}{
		{settings{Options: restart.Options{SegmentSize: 64 << 10}}, 100 << 20, 165 << 20},
		{settings{Options: restart.Options{SegmentSize: 64 << 10, Compaction: restart.PerformanceBased}}, 100 << 20, 300 << 20},
		{settings{Options: restart.Options{SegmentSize: 1 << 20}}, 1 << 20, 4 << 20},
		{settings{}, 1 << 20, 16 << 20},
	} {
		if got := tt.s.allowed(tt.live); got != tt.want {
			t.Errorf("%v, %d live: %d, want %d", tt.s, tt.live, got, tt.want)
		}
	}
}

// TestCommand: usage, and exit status with the seed of a failure.
func TestCommand(t *testing.T) {
	var out, errs bytes.Buffer
	for _, args := range [][]string{{"-time", "0s"}, {"what"}, {"-no-such-flag"}} {
		if got := soakMain(t.Context(), args, &out, &errs); got != exitUsage {
			t.Errorf("%q: exit status %d, want %d", args, got, exitUsage)
		}
	}
	errs.Reset()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := soakMain(ended, []string{"-time", "1s", "-seed", "42", "-dir", t.TempDir()}, &out, &errs); got != exitFailed {
		t.Errorf("exit status %d, want %d", got, exitFailed)
	}
	if !strings.Contains(errs.String(), "seed 42, store kept in") {
		t.Errorf("says %q", errs.String())
	}
}
