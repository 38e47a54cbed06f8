package wal_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// Windows that are narrow: each test here goes into one of them on purpose, and
// finds a mutant of internal/mutants that the enumerations may miss.

// snapshot calls take once, after the first operation that match accepts.
func snapshot(fs *memfs.FS, match func(memfs.Op) bool, take func()) {
	done := false
	fs.OnOp(func(op memfs.Op) {
		if !done && match(op) {
			done = true
			take()
		}
	})
}

// TestTailAloneIsEvidence: the power fails in Close, when TAIL is published and
// the newest segment is not cut to its size yet. Then everything behind the
// first frame is damaged: only TAIL knows what was there.
func TestTailAloneIsEvidence(t *testing.T) {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	lsn := mustPut(t, l, 0, 100, wal.Sync)
	second := mustPut(t, l, 1, 100, wal.Sync)
	var after *memfs.FS
	renamed := false
	snapshot(fs, func(op memfs.Op) bool {
		renamed = renamed || op.Kind == memfs.OpRename && strings.HasSuffix(op.NewName, "TAIL")
		return renamed && op.Kind == memfs.OpSyncDir
	}, func() { after = fs.CrashClone(memfs.Nothing()) })
	mustClose(t, l)
	if after == nil {
		t.Fatal("TAIL was not published")
	}
	name := filepath.Join(dir, segments(t, after)[0])
	b := readFile(t, after, name)
	end := len(b)
	for b[end-1] == 0 {
		end--
	}
	clear(b[segment.HeaderSize+int(second-lsn) : end-segment.FooterSize])
	fill(b[end-segment.FooterSize:end], 0xa5)
	writeFile(t, after, name, b)
	var c *segment.CorruptionError
	if _, err := wal.Open(dir, smallOptions(after)); !errors.As(err, &c) || c.LSN != second {
		t.Errorf("open: %v, want damage at LSN %d", err, second)
	}
}

// TestTornBytesAreKept: what recovery cuts off the end is in its file when the
// power fails again after the first acknowledged write.
func TestTornBytesAreKept(t *testing.T) {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	mustPut(t, l, 0, 100, wal.Sync)
	mustPut(t, l, 1, 3000, wal.Never)
	if err := l.WaitWritten(context.Background(), l.End()); err != nil {
		t.Fatal(err)
	}
	torn := fs.CrashClone(memfs.Crash{Choose: func(op memfs.Op) memfs.Fate {
		if op.Kind == memfs.OpWrite {
			return memfs.Torn(2)
		}
		return memfs.Kept()
	}})
	l = mustOpen(t, smallOptions(torn))
	tail := l.Tail()
	if tail.TornBytes == 0 || tail.TornFile == "" {
		t.Fatalf("nothing is torn: %+v", tail)
	}
	mustPut(t, l, 2, 100, wal.Sync)
	after := torn.CrashClone(memfs.Nothing())
	kept := readFile(t, after, filepath.Join(dir, tail.TornFile))
	if int64(len(kept)) != tail.TornBytes || segment.IsZero(kept) {
		t.Errorf("%d bytes kept of %d, all zero: %v", len(kept), tail.TornBytes, segment.IsZero(kept))
	}
}

// TestReleaseAgainAfterFullDisk: the low-water record of a release cannot be
// written. The next call with the same mark makes it durable before it removes
// anything.
func TestReleaseAgainAfterFullDisk(t *testing.T) {
	fs := memfs.New()
	e := errfs.Wrap(fs)
	l := mustOpen(t, smallOptions(e))
	for id := range 4 {
		mustPut(t, l, id, 1000, wal.Sync)
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
	}
	low := mustPut(t, l, 4, 1000, wal.Sync)
	inj := e.Inject(errfs.Rule{Kinds: errfs.Write, Times: errfs.Forever, Err: syscall.ENOSPC})
	if err := l.Release(context.Background(), low); !errors.Is(err, wal.ErrFull) {
		t.Fatalf("release on a full disk: %v", err)
	}
	inj.Remove()
	if err := l.Release(context.Background(), low); err != nil {
		t.Fatal(err)
	}
	after := mustOpen(t, smallOptions(fs.CrashClone(memfs.Nothing())))
	wantIDs(t, after, 4, 4)
	if got := after.First(); got < low {
		t.Errorf("the log begins at %d, %d was released", got, low)
	}
}

// TestLeftoverOutlivesItsReason: the process dies when the segment that
// truncates the log has its name and the name is not durable. The next process
// removes a segment that this makes a leftover; the power fails, and of the two
// changes only the removal would survive.
func TestLeftoverOutlivesItsReason(t *testing.T) {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	lsn := mustPut(t, l, 0, 1000, wal.Sync)
	for id := 1; id < 4; id++ {
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
		mustPut(t, l, id, 1000, wal.Sync)
	}
	var killed *memfs.FS
	snapshot(fs, func(op memfs.Op) bool { return op.Kind == memfs.OpRename && isSegment(op.NewName) },
		func() { killed = fs.KillClone() })
	if err := l.TruncateBack(lsn); err != nil {
		t.Fatal(err)
	}
	if killed == nil {
		t.Fatal("no segment was renamed")
	}
	var after []*memfs.FS
	killed.OnOp(func(op memfs.Op) {
		if op.Kind == memfs.OpRemove && isSegment(op.Name) {
			after = append(after, killed.CrashClone(memfs.Crash{Choose: func(op memfs.Op) memfs.Fate {
				return memfs.Fate{Happened: op.Kind == memfs.OpRemove}
			}}))
		}
	})
	l = mustOpen(t, smallOptions(killed))
	mustClose(t, l)
	if len(after) == 0 {
		t.Fatal("no leftover was removed")
	}
	for i, fs := range after {
		got := mustIDs(t, mustOpen(t, smallOptions(fs)))
		if len(got) != 0 && !slices.Equal(got, seq(0, 3)) {
			t.Errorf("after removal %d: records %s", i, brief(got))
		}
	}
}

func isSegment(name string) bool {
	_, _, ok := segment.ParseFileName(filepath.Base(name))
	return ok
}

// TestCreationKilledThenPowerFailure kills the process at each file operation of
// the creation of a log, its directories included. What the next process
// acknowledges survives a power failure, although it found directories and
// files that the first one made and did not sync.
func TestCreationKilledThenPowerFailure(t *testing.T) {
	deep := filepath.Join("/above", "parent", "log")
	var killed []*memfs.FS
	first := memfs.New()
	first.OnOp(func(memfs.Op) { killed = append(killed, first.KillClone()) })
	l, err := wal.Open(deep, smallOptions(first))
	first.OnOp(nil)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	if len(killed) < 10 {
		t.Fatalf("only %d operations", len(killed))
	}
	for i, fs := range killed {
		l, err := wal.Open(deep, smallOptions(fs))
		if err != nil {
			t.Errorf("operation %d: open after the kill: %v", i, err)
			continue
		}
		mustPut(t, l, 7, 100, wal.Sync)
		after := fs.CrashClone(memfs.Nothing())
		mustClose(t, l)
		o := smallOptions(after)
		o.ReadOnly = true
		if l, err = wal.Open(deep, o); err != nil {
			t.Errorf("operation %d: open after the power failure: %v", i, err)
			continue
		}
		wantIDs(t, l, 7, 7)
		mustClose(t, l)
	}
}

// TestTruncationStays: the process is killed in TruncateBack, when the segment
// that truncates has its name, not yet durably. The next one shows the log
// truncated, writes nothing and closes it. Then the power fails: what was cut
// off does not come back.
func TestTruncationStays(t *testing.T) {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	for id := range 3 {
		mustPut(t, l, id, 100, wal.Sync)
	}
	at := mustPut(t, l, 3, 100, wal.Sync)
	mustPut(t, l, 4, 100, wal.Sync)
	var killed *memfs.FS
	snapshot(fs, func(op memfs.Op) bool {
		return op.Kind == memfs.OpRename && filepath.Base(op.NewName) == segment.FileName(at, 2)
	}, func() { killed = fs.KillClone() })
	if err := l.TruncateBack(at); err != nil {
		t.Fatal(err)
	}
	if killed == nil {
		t.Fatal("no segment got a name")
	}
	l = mustOpen(t, smallOptions(killed))
	wantIDs(t, l, 0, 2)
	after := killed.CrashClone(memfs.Nothing()) // shown, and called durable
	if l.Durable() != l.End() {
		t.Errorf("durable %d, end %d", l.Durable(), l.End())
	}
	mustClose(t, l)
	for name, fs := range map[string]*memfs.FS{"after open": after, "after close": killed.CrashClone(memfs.Nothing())} {
		if got := mustIDs(t, mustOpen(t, smallOptions(fs))); !slices.Equal(got, seq(0, 2)) {
			t.Errorf("%s: records %s", name, brief(got))
		}
	}
}

// TestRollMeetsClose: a roll needs a file that is being prepared when the log is
// closed. It ends. Time and blocking are simulated, so that one which does not
// is found at once.
func TestRollMeetsClose(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			l, err := wal.Open(dir, smallOptions(memfs.New()))
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for id := range 3 {
				all.Go(func() {
					for {
						if _, _, err := put(l, payload(id, 1000), wal.Never); err != nil {
							return
						}
						if err := l.Roll(); err != nil {
							return
						}
					}
				})
			}
			if err := l.WaitDurable(t.Context(), 4097); err != nil {
				t.Error(err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			all.Wait()
		})
	}
}
