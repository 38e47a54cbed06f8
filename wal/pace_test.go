package wal_test

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// paced runs a test in a bubble where time is simulated, over files whose syncs
// take as long as delay says.
func paced(t *testing.T, delay func() time.Duration, f func(t *testing.T, l *wal.Log, fs *memfs.FS)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		e := errfs.Wrap(fs, errfs.Rule{
			Kinds: errfs.SyncData, Times: errfs.Forever, Before: func(errfs.Op) { time.Sleep(delay()) },
		})
		l, err := wal.Open(dir, smallOptions(e))
		if err != nil {
			t.Fatal(err)
		}
		f(t, l, fs)
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

func always(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// TestBatchedIdle: one write, then nothing. It is durable within MaxDelay.
func TestBatchedIdle(t *testing.T) {
	for _, syncTime := range []time.Duration{0, time.Millisecond, 300 * time.Millisecond, 900 * time.Millisecond} {
		t.Run(syncTime.String(), func(t *testing.T) {
			paced(t, always(syncTime), func(t *testing.T, l *wal.Log, _ *memfs.FS) {
				for id := range 5 {
					start := time.Now()
					mustPut(t, l, id, 100, wal.Batched)
					end := l.End()
					if d := time.Since(start); d > 0 {
						t.Errorf("the write took %v", d)
					}
					if err := l.WaitDurable(t.Context(), end); err != nil {
						t.Fatal(err)
					}
					if d := time.Since(start); d > 2*time.Second || d < 100*time.Millisecond {
						t.Errorf("durable after %v", d)
					}
					time.Sleep(time.Duration(id) * time.Second)
				}
			})
		})
	}
}

// TestBatchedBusy: writers that never pause. Every write is durable within
// MaxDelay on a disk that completes syncs in time, and there are few syncs.
func TestBatchedBusy(t *testing.T) {
	paced(t, always(50*time.Millisecond), func(t *testing.T, l *wal.Log, _ *memfs.FS) {
		type ack struct {
			end wal.LSN
			at  time.Time
		}
		var acks []ack
		for id := range 3000 { // 15 s
			mustPut(t, l, id, 40, wal.Batched)
			acks = append(acks, ack{l.End(), time.Now()})
			time.Sleep(5 * time.Millisecond)
			for len(acks) > 0 && acks[0].end <= l.Durable() {
				acks = acks[1:]
			}
			if len(acks) > 0 && time.Since(acks[0].at) > 2*time.Second {
				t.Fatalf("not durable after %v", time.Since(acks[0].at))
			}
		}
		if m := l.Metrics(); m.Syncs < 7 || m.Syncs > 40 {
			t.Errorf("%d syncs in 15 s", m.Syncs)
		}
	})
}

// TestHardBound: the disk takes ten seconds for a sync. Acknowledged writes
// that are not durable never span more than the bound: writers wait, readers
// do not.
func TestHardBound(t *testing.T) {
	var slow atomic.Int64
	delay := func() time.Duration { return time.Duration(slow.Load()) }
	paced(t, delay, func(t *testing.T, l *wal.Log, _ *memfs.FS) {
		first := mustPut(t, l, 0, 40, wal.Sync)
		slow.Store(int64(10 * time.Second))
		type ack struct {
			end wal.LSN
			at  time.Time
		}
		var acks []ack
		var longest time.Duration
		for id := 1; id < 2000; id++ {
			start := time.Now()
			mustPut(t, l, id, 40, wal.Batched)
			longest = max(longest, time.Since(start))
			acks = append(acks, ack{l.End(), time.Now()})
			for len(acks) > 0 && acks[0].end <= l.Durable() {
				acks = acks[1:]
			}
			if len(acks) > 1 {
				if span := acks[len(acks)-1].at.Sub(acks[0].at); span > 3*time.Second {
					t.Fatalf("acknowledged writes that are not durable span %v", span)
				}
			}
			if _, err := l.Read(first, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if longest < 5*time.Second {
			t.Errorf("no writer waited longer than %v: the bound was not tested", longest)
		}
		slow.Store(0)
	})
}

// TestBackPressure: nothing can be written while a sync takes long. Writers
// wait when MaxUnwritten bytes are in memory, and go on afterwards.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 256 << 10
		var slow atomic.Int64
		e := errfs.Wrap(memfs.New(), errfs.Rule{
			Kinds: errfs.SyncData, Times: errfs.Forever, Before: func(errfs.Op) { time.Sleep(time.Duration(slow.Load())) },
		})
		l, err := wal.Open(dir, wal.Options{FS: e, MaxUnwritten: limit})
		if err != nil {
			t.Fatal(err)
		}
		mustPut(t, l, 0, 100, wal.Sync)
		slow.Store(int64(time.Second))
		mustPut(t, l, 1, 100, wal.Never)
		synced := make(chan error)
		go func() { synced <- l.Sync() }()
		synctest.Wait()
		start := time.Now()
		for id := 2; id < 402; id++ {
			mustPut(t, l, id, 1000, wal.Never)
			if waiting := int64(l.End() - l.Written()); waiting > limit+2000 {
				t.Fatalf("%d bytes unwritten, limit %d", waiting, limit)
			}
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("writers waited %v for a sync of 1s", d)
		}
		if err := <-synced; err != nil {
			t.Error(err)
		}
		slow.Store(0)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestMarkAfterSync: ten milliseconds after a sync that nothing followed, a
// frame says how far the log is durable; it asks for no sync itself, and there
// is one, not one after the other.
func TestMarkAfterSync(t *testing.T) {
	paced(t, always(0), func(t *testing.T, l *wal.Log, fs *memfs.FS) {
		mustPut(t, l, 0, 100, wal.Sync)
		durable := l.Durable()
		before := l.Metrics()
		time.Sleep(9 * time.Millisecond)
		if l.End() != durable {
			t.Error("a mark before its time")
		}
		time.Sleep(time.Minute)
		if n := l.Metrics().Appends - before.Appends; n != 1 {
			t.Errorf("%d marks", n)
		}
		if n := l.Metrics().Syncs - before.Syncs; n != 0 {
			t.Errorf("%d syncs for a mark", n)
		}
		// The process dies: the mark proves the write that it follows.
		after, err := wal.Open(dir, wal.Options{FS: fs.KillClone(), ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := after.Tail().ProvenDurable; got != durable {
			t.Errorf("proven durable to %d, want %d", got, durable)
		}
		if err := after.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestFullDiskResumes: the disk has no room for the next segment. A write that
// needs it fails without a trace; what was acknowledged is there; the log
// resumes by itself when there is room.
func TestFullDiskResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		e := errfs.Wrap(fs)
		var full, resumed atomic.Int32
		o := smallOptions(e)
		o.Events = wal.Events{Full: func(error) { full.Add(1) }, Resumed: func() { resumed.Add(1) }}
		l, err := wal.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		mustPut(t, l, 0, 100, wal.Sync)
		synctest.Wait()
		inj := e.Inject(errfs.Rule{Kinds: errfs.Allocate | errfs.Create, Times: errfs.Forever, Err: syscall.ENOSPC})
		id := 1
		for ; id < 100; id++ {
			var perr error
			if _, _, perr = put(l, payload(id, 3000), wal.Sync); perr != nil {
				err = perr
				break
			}
		}
		if !errors.Is(err, wal.ErrFull) || !errors.Is(err, syscall.ENOSPC) || errors.Is(err, wal.ErrInDoubt) {
			t.Fatalf("write %d: %v", id, err)
		}
		wantIDs(t, l, 0, id-1)
		if m := l.Metrics(); !m.Full || m.Poisoned != nil {
			t.Errorf("full %v, poisoned %v", m.Full, m.Poisoned)
		}
		// The system's reserve is there: a segment's worth of compaction.
		for range 9 {
			p, err := l.Prepare(payload(id, 5000), wal.WriteOptions{System: true})
			if err != nil {
				t.Fatalf("system write %d: %v", id, err)
			}
			l.Append(&p)
			id++
		}
		if err := l.Sync(); err != nil {
			t.Errorf("sync on a full disk: %v", err)
		}
		inj.Remove()
		time.Sleep(200 * time.Millisecond)
		if m := l.Metrics(); m.Full {
			t.Error("still full although there is room")
		}
		mustPut(t, l, id, 5000, wal.Sync)
		if full.Load() != 1 || resumed.Load() != 1 {
			t.Errorf("%d times full, %d times resumed", full.Load(), resumed.Load())
		}
		wantIDs(t, l, 0, id)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		again := mustOpen(t, smallOptions(fs))
		wantIDs(t, again, 0, id)
		mustClose(t, again)
	})
}

// TestFullDiskInWrite: a file system that has no room for bytes that were
// allocated (copy on write). Waiting writers are in doubt, nothing is lost from
// memory, and what is missing is written when there is room.
func TestFullDiskInWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		e := errfs.Wrap(fs)
		l, err := wal.Open(dir, smallOptions(e))
		if err != nil {
			t.Fatal(err)
		}
		mustPut(t, l, 0, 100, wal.Sync)
		inj := e.Inject(errfs.Rule{Kinds: errfs.Write, Times: errfs.Forever, Err: syscall.ENOSPC, Short: 1000})
		_, end, err := put(l, payload(1, 5000), wal.Sync)
		if !errors.Is(err, wal.ErrInDoubt) || !errors.Is(err, wal.ErrFull) {
			t.Fatalf("put: %v", err)
		}
		wantInMemory(t, l, end)
		inj.Remove()
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		mustPut(t, l, 2, 100, wal.Sync)
		wantIDs(t, l, 0, 2)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		again := mustOpen(t, smallOptions(fs))
		wantIDs(t, again, 0, 2)
		mustClose(t, again)
	})
}

func wantInMemory(t *testing.T, l *wal.Log, end wal.LSN) {
	t.Helper()
	if l.End() < end || l.Durable() >= end {
		t.Errorf("end %d, durable %d, the write ends at %d", l.End(), l.Durable(), end)
	}
}
