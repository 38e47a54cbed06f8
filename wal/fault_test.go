package wal_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// released is the first record that endure does not release.
const released = 4

// endure runs a workload with rolls, a release and a reopen over files that
// fail, going on after errors. It returns the records that were acknowledged
// as durable, and those that may be there.
func endure(fs vfs.FS) (durable, issued []int, err error) {
	open := func() (*wal.Log, error) { return wal.Open(dir, wal.Options{FS: fs, SegmentSize: wal.MinSegmentSize}) }
	l, err := open()
	if err != nil {
		return nil, nil, err
	}
	id, lsns := 0, map[int]wal.LSN{}
	batch := func(n int) {
		for range n {
			b := payload(id, 9000)
			issued = append(issued, id)
			if lsn, _, perr := put(l, b, wal.Sync); perr == nil {
				lsns[id] = lsn
				durable = append(durable, id)
			} else {
				err = perr
				if !errors.Is(perr, wal.ErrInDoubt) {
					issued = issued[:len(issued)-1] // refused: it must not be there
				}
			}
			id++
		}
	}
	batch(9)
	if low, ok := lsns[released]; ok {
		err = errors.Join(err, l.Roll(), l.Release(context.Background(), low))
	}
	err = errors.Join(err, l.Close())
	l2, oerr := open()
	if oerr != nil {
		return durable, issued, errors.Join(err, oerr)
	}
	l = l2
	batch(4)
	return durable, issued, errors.Join(err, l.Close())
}

// TestEveryOperationFails fails the first file operation, the second, and so
// on, once or from there on, with every kind of error. A failure is reported;
// what was acknowledged is there after a power failure and a new start; what
// was refused is not.
func TestEveryOperationFails(t *testing.T) {
	for _, failure := range []errfs.Rule{
		{Err: syscall.EIO},
		{Err: syscall.EIO, Times: errfs.Forever},
		{Err: syscall.EIO, Done: true},
		{Err: syscall.ENOSPC},
		{Err: syscall.ENOSPC, Times: errfs.Forever},
		{Kinds: errfs.Write, Err: syscall.EIO, Short: 700},
		{Kinds: errfs.Write, Err: syscall.ENOSPC, Short: 700},
		{Kinds: errfs.Any &^ errfs.Lock, Err: syscall.EMFILE},
		{Kinds: errfs.Read | errfs.Open | errfs.List | errfs.Stat, Err: syscall.EIO},
	} {
		if failure.Kinds == 0 {
			failure.Kinds = errfs.Mutations
		}
		name := fmt.Sprintf("%v,times=%d,done=%v,short=%d,%v", failure.Err, failure.Times, failure.Done, failure.Short, failure.Kinds == errfs.Mutations)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rounds := 0
			var inner *memfs.FS
			for i, fs := range errfs.Every(func() vfs.FS { inner = memfs.New(); return inner }, failure) {
				rounds = i
				durable, issued, err := endure(fs)
				if err == nil {
					// Whatever failed was done without: everything is there.
					durable = issued
				}
				if open := inner.OpenFiles(); len(open) > 0 {
					t.Errorf("operation %d: left open %q (%v)", i, open, err)
				}
				for seed := range uint64(3) {
					if cerr := acknowledged(inner.CrashClone(memfs.Random(seed)), durable, issued); cerr != nil {
						t.Fatalf("operation %d, seed %d: %v\nworkload: %v", i, seed, cerr, err)
					}
				}
				if cerr := acknowledged(inner.KillClone(), durable, issued); cerr != nil {
					t.Fatalf("operation %d, kill: %v\nworkload: %v", i, cerr, err)
				}
			}
			if rounds < 10 {
				t.Errorf("only %d operations", rounds)
			}
		})
	}
}

// acknowledged checks that a log holds all records that were acknowledged,
// except from the front, where some were released, and none but those issued.
func acknowledged(fs *memfs.FS, durable, issued []int) error {
	l, err := wal.Open(dir, smallOptions(fs))
	if err != nil {
		if len(durable) == 0 && len(issued) == 0 {
			return nil
		}
		return err
	}
	defer l.Close()
	got, err := ids(l)
	if err != nil {
		return err
	}
	for _, id := range durable {
		if id >= released && !slices.Contains(got, id) {
			return fmt.Errorf("record %d was acknowledged; there are %s", id, brief(got))
		}
	}
	last := -1
	for _, id := range got {
		if id <= last || !slices.Contains(issued, id) {
			return fmt.Errorf("record %d was not issued, or out of order: %s", id, brief(got))
		}
		last = id
	}
	return nil
}

// TestFailedSyncPoisons: after a sync that failed nothing is acknowledged, not
// even when the disk is well again; reads go on; and a new start in the same
// kernel, whose page cache shows what the disk does not have, brings nothing to
// the disk that it did not copy.
func TestFailedSyncPoisons(t *testing.T) {
	for _, kind := range []errfs.Kind{errfs.SyncData, errfs.Sync, errfs.SyncDir} {
		t.Run(kind.String(), func(t *testing.T) {
			fs := memfs.New()
			e := errfs.Wrap(fs)
			l := mustOpen(t, smallOptions(e))
			first := mustPut(t, l, 0, 2000, wal.Sync)
			inj := e.Inject(errfs.Rule{Kinds: kind, Err: syscall.EIO, Match: func(op errfs.Op) bool {
				return filepath.Base(op.Name) != "TAIL.tmp"
			}})
			// The larger ones begin a segment; the background may be there first.
			for id, size := range map[errfs.Kind][]int{errfs.SyncData: {3000}, errfs.Sync: {70000, 70000}, errfs.SyncDir: {70000, 70000}}[kind] {
				if _, _, err := put(l, payload(1+id, size), wal.Batched); err != nil && !errors.Is(err, wal.ErrPoisoned) {
					t.Fatal(err)
				}
			}
			end := l.End()
			err := l.Sync()
			if !errors.Is(err, wal.ErrPoisoned) || !errors.Is(err, syscall.EIO) || inj.Hits() != 1 {
				t.Fatalf("sync: %v, %d failures", err, inj.Hits())
			}
			durable := l.Durable()
			if durable >= end {
				t.Errorf("durable %d of %d after a failed sync", durable, end)
			}
			// The disk is well again, the log is not.
			for _, d := range []wal.Durability{wal.Sync, wal.Batched, wal.Never} {
				if _, _, err := put(l, []byte("more"), d); !errors.Is(err, wal.ErrPoisoned) {
					t.Errorf("put %v: %v", d, err)
				}
				if err := l.Wait(end, d); !errors.Is(err, wal.ErrInDoubt) || !errors.Is(err, syscall.EIO) {
					t.Errorf("wait %v: %v", d, err)
				}
			}
			if l.Durable() != durable {
				t.Errorf("durable moved from %d to %d", durable, l.Durable())
			}
			if b, err := l.Read(first, nil); err != nil {
				t.Errorf("read: %v", err)
			} else if id, err := identify(b); id != 0 || err != nil {
				t.Errorf("read record %d, %v", id, err)
			}
			if err := l.Close(); !errors.Is(err, wal.ErrPoisoned) {
				t.Errorf("close: %v", err)
			}
			reopenAfterFailedSync(t, fs)
		})
	}
}

func reopenAfterFailedSync(t *testing.T, fs *memfs.FS) {
	t.Helper()
	wantNoOpenFiles(t, fs)
	l := mustOpen(t, smallOptions(fs))
	shown := mustIDs(t, l)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if l.Durable() != l.End() {
		t.Errorf("durable %d, end %d after a sync", l.Durable(), l.End())
	}
	after := mustOpen(t, smallOptions(fs.CrashClone(memfs.Nothing())))
	if got := mustIDs(t, after); !slices.Equal(got, shown) {
		t.Errorf("after the power failure %s, acknowledged %s", brief(got), brief(shown))
	}
}

// TestFailedRollEnds fails each file operation, once or for good, while rolls,
// synchronous writes, the copy of a recovered tail and then Close run at once.
// Whatever fails, everything ends: blocking is simulated, so that what waits for
// ever is found at once.
func TestFailedRollEnds(t *testing.T) {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	mustPut(t, l, 0, 100, wal.Sync)
	mustPut(t, l, 1, 100, wal.Batched)
	if err := l.WaitWritten(context.Background(), l.End()); err != nil {
		t.Fatal(err)
	}
	killed := fs.KillClone() // record 1 is not proven durable
	for _, failure := range []errfs.Rule{
		{Err: syscall.EIO}, {Err: syscall.EIO, Times: errfs.Forever}, {Err: syscall.ENOSPC}, {Err: syscall.ENOSPC, Times: errfs.Forever},
	} {
		failure.Kinds = errfs.Mutations
		rounds := 0
		for i, fs := range errfs.Every(func() vfs.FS { return killed.KillClone() }, failure) {
			rounds = i
			synctest.Test(t, func(t *testing.T) {
				l, err := wal.Open(dir, smallOptions(fs))
				if err != nil {
					return
				}
				var all sync.WaitGroup
				for id := range 2 {
					all.Go(func() {
						for n := range 3 {
							_, _, _ = put(l, payload(2+id, 20_000*n), wal.Sync) // may fail
							_ = l.Roll()
						}
					})
				}
				if i%2 == 0 { // every other time Close meets them
					all.Wait()
				}
				_ = l.Close()
				all.Wait()
			})
		}
		if rounds < 10 {
			t.Errorf("%v: only %d operations", failure.Err, rounds)
		}
	}
}

// TestNoFile: the next segment's file cannot be made, and the disk is not full.
// A write that needs it fails without a trace, and says so; everything else goes
// on; the next write after the trouble finds a file.
func TestNoFile(t *testing.T) {
	for name, rule := range map[string]errfs.Rule{
		"allocation fails":     {Kinds: errfs.Allocate, Err: syscall.EIO},
		"creation fails":       {Kinds: errfs.Create, Err: syscall.EIO},
		"too many open files":  {Kinds: errfs.Create, Err: syscall.EMFILE},
		"allocated, then fail": {Kinds: errfs.Allocate, Err: syscall.EIO, Done: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := memfs.New()
				e := errfs.Wrap(fs)
				l := mustOpen(t, smallOptions(e))
				mustPut(t, l, 0, 100, wal.Sync)
				synctest.Wait() // files are prepared ahead
				rule.Times = errfs.Forever
				inj := e.Inject(rule)
				id := 1
				var err error
				for ; err == nil && id < 100; id++ {
					_, _, err = put(l, payload(id, 3000), wal.Sync)
				}
				id-- // the last was refused
				if !errors.Is(err, wal.ErrNoFile) || !errors.Is(err, rule.Err) || errors.Is(err, wal.ErrFull) ||
					errors.Is(err, wal.ErrPoisoned) || errors.Is(err, wal.ErrInDoubt) {
					t.Fatalf("write %d: %v", id, err)
				}
				// 200 KiB fit into no file that there is.
				if _, _, err := put(l, payload(id, 200<<10), wal.Sync); !errors.Is(err, wal.ErrNoFile) {
					t.Errorf("large write: %v", err)
				}
				if err := l.Err(); err != nil {
					t.Errorf("the log says %v", err)
				}
				if err := l.Sync(); err != nil || l.Durable() != l.End() {
					t.Errorf("sync: %v, durable %d of %d", err, l.Durable(), l.End())
				}
				wantIDs(t, l, 0, id-1)
				after := mustOpen(t, wal.Options{FS: fs.CrashClone(memfs.Nothing()), ReadOnly: true})
				wantIDs(t, after, 0, id-1)
				mustClose(t, after)
				inj.Remove()
				mustPut(t, l, id, 3000, wal.Sync) // without waiting for the log's own try
				mustPut(t, l, id+1, 200<<10, wal.Sync)
				wantIDs(t, l, 0, id+1)
				mustClose(t, l)
				wantNoOpenFiles(t, fs)
				again := mustOpen(t, smallOptions(fs))
				wantIDs(t, again, 0, id+1)
				mustClose(t, again)
			})
		})
	}
}

// TestGroupFailsTogether: a sync fails while others wait for it and for the
// next one; all of them fail.
func TestGroupFailsTogether(t *testing.T) {
	fs := memfs.New()
	e := errfs.Wrap(fs)
	l := mustOpen(t, smallOptions(e))
	mustPut(t, l, 0, 10, wal.Sync)
	entered, leave := make(chan struct{}), make(chan struct{})
	e.Inject(errfs.Rule{Kinds: errfs.SyncData, Err: syscall.EIO, Before: func(errfs.Op) { close(entered); <-leave }})
	const writers = 8
	errs := make(chan error, writers)
	var joined atomic.Int32
	write := func(id int) {
		p, err := l.Prepare(payload(id, 10), wal.WriteOptions{Durability: wal.Sync})
		if err != nil {
			errs <- err
			return
		}
		_, end := l.Append(&p)
		joined.Add(1)
		errs <- l.Wait(end, wal.Sync)
	}
	go write(1)
	<-entered
	for id := 2; id <= writers; id++ {
		go write(id)
	}
	for joined.Load() < writers {
		runtime.Gosched() // they join while the sync is failing
	}
	close(leave)
	for range writers {
		if err := <-errs; !errors.Is(err, wal.ErrPoisoned) {
			t.Errorf("a member of a failed group: %v", err)
		}
	}
}
