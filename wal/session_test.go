package wal_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// TestOptions: every problem is named at once.
func TestOptions(t *testing.T) {
	_, err := wal.Open(dir, wal.Options{
		FS: memfs.New(), SegmentSize: 5, Compression: 9, MaxUnwritten: -1, FirstLSN: 4097,
		Policy: fsync.Policy{Durability: 77},
	})
	for _, name := range []string{"SegmentSize", "compression", "MaxUnwritten", "FirstLSN", "durability"} {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(name)) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
}

// TestLock: with Options.Lock a log is opened once, or by readers only.
func TestLock(t *testing.T) {
	fs := memfs.New()
	l, err := wal.Open(dir, wal.Options{FS: fs, Lock: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{false, true} {
		if _, err := wal.Open(dir, wal.Options{FS: fs, Lock: true, ReadOnly: readOnly}); !errors.Is(err, vfs.ErrLocked) {
			t.Errorf("second open: %v", err)
		}
	}
	mustClose(t, l)
	mustClose(t, mustOpen(t, wal.Options{FS: fs, Lock: true}))
	wantNoOpenFiles(t, fs)
}

// TestEmptySessions: a log that is opened and closed without a write does not
// grow.
func TestEmptySessions(t *testing.T) {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	mustPut(t, l, 0, 100, wal.Sync)
	mustClose(t, l)
	before := fs.Fingerprint()
	for range 3 {
		mustClose(t, mustOpen(t, smallOptions(fs)))
	}
	if fs.Fingerprint() != before {
		t.Error("an open and close without a write changed files")
	}
}

// TestEvents: what happens is told, once.
func TestEvents(t *testing.T) {
	fs := memfs.New()
	var mu sync.Mutex
	count := map[string]int{}
	add := func(what string) { mu.Lock(); count[what]++; mu.Unlock() }
	o := smallOptions(fs)
	o.Events = wal.Events{
		SegmentBegun:     func(wal.SegmentInfo) { add("begun") },
		SegmentSealed:    func(i wal.SegmentInfo) { add("sealed") },
		SegmentsReleased: func(i []wal.SegmentInfo) { add("released") },
	}
	l := mustOpen(t, o)
	mustPut(t, l, 0, 100, wal.Sync)
	if err := errors.Join(l.Roll(), l.Roll(), l.Release(t.Context(), l.Durable())); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	want := map[string]int{"begun": 2, "sealed": 2, "released": 1}
	for what, n := range want {
		if count[what] != n {
			t.Errorf("%s %d times, want %d", what, count[what], n)
		}
	}
}

// TestAppendDuringClose: writes that Close does not wait for are refused or in
// doubt, and never harm the file that Close seals.
func TestAppendDuringClose(t *testing.T) {
	for range 30 {
		fs := memfs.New()
		l := mustOpen(t, smallOptions(fs))
		mustPut(t, l, 0, 100, wal.Sync)
		var wg sync.WaitGroup
		var mu sync.Mutex
		durable := map[int]bool{0: true}
		for w := range 4 {
			wg.Go(func() {
				for id := 1 + w*1000; ; id++ {
					_, _, err := put(l, payload(id, 300), wal.Sync)
					if err != nil {
						if !errors.Is(err, wal.ErrClosed) {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					durable[id] = true
					mu.Unlock()
				}
			})
		}
		p, err := l.Prepare(payload(9999, 5000), wal.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		mustClose(t, l)
		l.Append(&p)
		if err := l.Wait(l.End(), wal.Sync); !errors.Is(err, wal.ErrInDoubt) || !errors.Is(err, wal.ErrClosed) {
			t.Errorf("wait after close: %v", err)
		}
		wg.Wait()
		again := mustOpen(t, smallOptions(fs))
		if !again.Tail().Sealed {
			t.Errorf("not sealed: %+v", again.Tail())
		}
		got := mustIDs(t, again)
		for id := range durable {
			if !slices.Contains(got, id) {
				t.Errorf("record %d was acknowledged", id)
			}
		}
		mustClose(t, again)
	}
}

// TestZeroFilled: after a segment with many syncs the files prepared ahead are
// written with zeros; the log reads the same.
func TestZeroFilled(t *testing.T) {
	written := 0
	fs := memfs.New()
	e := errfs.Wrap(fs, errfs.Rule{
		Kinds: errfs.Write, Name: "next-*", Times: errfs.Forever,
		Match:  func(op errfs.Op) bool { return op.Length >= wal.MinSegmentSize },
		Before: func(errfs.Op) { written++ },
	})
	l := mustOpen(t, smallOptions(e))
	id := 0
	for ; id < 900; id++ {
		mustPut(t, l, id, 150, wal.Sync)
	}
	wantIDs(t, l, 0, id-1)
	mustClose(t, l)
	if written == 0 {
		t.Error("no file was filled with zeros")
	}
	again := mustOpen(t, smallOptions(fs))
	wantIDs(t, again, 0, id-1)
}

// TestWaiting: WaitDurable sees to a sync, takes a position that is not there
// yet, and ends with its context, the log, or the poison.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := errfs.Wrap(memfs.New())
		l, err := wal.Open(dir, smallOptions(e))
		if err != nil {
			t.Fatal(err)
		}
		mustPut(t, l, 0, 100, wal.Never)
		if err := l.WaitWritten(t.Context(), l.End()); err != nil || l.Written() != l.End() || l.Durable() != l.First() {
			t.Errorf("written %d, durable %d: %v", l.Written(), l.Durable(), err)
		}
		if err := l.WaitDurable(t.Context(), l.End()); err != nil || l.Durable() != l.End() {
			t.Errorf("durable %d: %v", l.Durable(), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := l.WaitDurable(ctx, l.End()+1000); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait for nothing: %v", err)
		}
		if err := l.WaitWritten(ctx, l.End()+1000); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait with an ended context: %v", err)
		}
		results := make(chan error)
		wait := func(at wal.LSN) {
			go func() { results <- l.WaitDurable(t.Context(), at) }()
			synctest.Wait()
		}
		wait(l.End() + 150)
		mustPut(t, l, 1, 100, wal.Sync)
		if err := <-results; err != nil {
			t.Errorf("waited for a later position: %v", err)
		}
		wait(l.End() + 150)
		e.Inject(errfs.Rule{Kinds: errfs.SyncData, Err: syscall.EIO})
		if _, _, err := put(l, payload(2, 10), wal.Sync); !errors.Is(err, wal.ErrInDoubt) {
			t.Errorf("put: %v", err)
		}
		if err := <-results; !errors.Is(err, wal.ErrPoisoned) {
			t.Errorf("waited over a poison: %v", err)
		}
		if err := l.Close(); !errors.Is(err, syscall.EIO) {
			t.Errorf("close: %v", err)
		}
	})
}

// TestIdentity: ids are kept over a reopen, given or not.
func TestIdentity(t *testing.T) {
	fs := memfs.New()
	o := smallOptions(fs)
	o.StoreID, o.FirstLSN = [16]byte{1, 2}, 1<<20
	l := mustOpen(t, o)
	store, lineage := l.StoreID(), l.Lineage()
	if store != o.StoreID || lineage == [16]byte{} || l.First() != 1<<20 {
		t.Errorf("store %x, lineage %x, first %d", store, lineage, l.First())
	}
	mustPut(t, l, 0, 10, wal.Sync)
	mustClose(t, l)
	again := mustOpen(t, smallOptions(fs))
	if again.StoreID() != store || again.Lineage() != lineage {
		t.Errorf("store %x, lineage %x", again.StoreID(), again.Lineage())
	}
}

// rewriteHeader changes the header of a segment file, checksum and all.
func rewriteHeader(t *testing.T, fs vfs.FS, name string, change func(h *segment.Header)) {
	t.Helper()
	b := readFile(t, fs, path(name))
	h, err := segment.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	change(&h)
	writeFile(t, fs, path(name), append(h.Append(nil), b[segment.HeaderSize:]...))
}

// TestChain: headers that are intact and do not fit together.
func TestChain(t *testing.T) {
	for name, c := range map[string]struct {
		segment int
		change  func(h *segment.Header)
		fine    bool
	}{
		"no predecessor above the low-water mark": {1, func(h *segment.Header) { h.PredBase, h.PredEpoch = 0, 0 }, false},
		"a gap in one lineage":                    {1, func(h *segment.Header) { h.Cut -= 8 }, false},
		"a gap that reaches the low-water mark":   {1, func(h *segment.Header) { h.Cut = segment.FirstLSN }, false},
		"the same in the newest segment":          {2, func(h *segment.Header) { h.Cut, h.PredBase = segment.FirstLSN, segment.FirstLSN }, false},
		"a gap without a predecessor":             {1, func(h *segment.Header) { h.Cut, h.PredBase, h.PredEpoch = segment.FirstLSN, 0, 0 }, false},
		"a gap and a predecessor that is gone":    {2, func(h *segment.Header) { h.Cut, h.PredBase = segment.FirstLSN, 8 }, false},
		"a low-water mark above the base":         {2, func(h *segment.Header) { h.LowWater = h.Base + 8 }, false},
		"a gap between two lineages":              {1, func(h *segment.Header) { h.Cut -= 536; h.Lineage[0]++ }, true},
		"a predecessor that does not begin below": {2, func(h *segment.Header) { h.PredBase = h.Base }, false},
	} {
		t.Run(name, func(t *testing.T) {
			fs := threeSegments(t)
			rewriteHeader(t, fs, segments(t, fs)[c.segment], c.change)
			o := smallOptions(fs)
			o.ReadOnly = true
			l, err := wal.Open(dir, o)
			if !c.fine {
				if !errors.Is(err, segment.ErrCorrupt) {
					t.Errorf("open: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// The gap's record is not part of the log.
			if got := mustIDs(t, l); !slices.Equal(got, []int{0, 1, 3, 4, 5, 6, 7, 8}) {
				t.Errorf("records %v", got)
			}
			if _, err := l.Read(l.Segments()[1].Base-536, nil); !errors.Is(err, wal.ErrBeyondEnd) {
				t.Errorf("read in the gap: %v", err)
			}
			mustClose(t, l)
		})
	}
}
