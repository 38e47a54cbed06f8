package wal_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

func trusting(o wal.Options) wal.Options {
	o.TrustTail = true
	return o
}

// opened counts the opens of segment files.
type opened struct {
	mu    sync.Mutex
	names []string
}

// watchOpens wraps a file system so that every opened segment is noted.
func watchOpens(fs *memfs.FS) (*errfs.FS, *opened) {
	e, o := errfs.Wrap(fs), new(opened)
	e.Inject(errfs.Rule{Kinds: errfs.Open, Times: errfs.Forever, Before: func(op errfs.Op) {
		if strings.HasSuffix(op.Name, ".seg") {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.names = append(o.names, filepath.Base(op.Name))
		}
	}})
	return e, o
}

func (o *opened) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	names := o.names
	o.names = nil
	return names
}

// TestTrustTail: an open that trusts TAIL opens the newest segment and no other;
// what is read later is opened then, once.
func TestTrustTail(t *testing.T) {
	fs := threeSegments(t)
	seg := segments(t, fs)
	e, files := watchOpens(fs)
	o := trusting(smallOptions(e))
	o.ReadOnly = true
	l := mustOpen(t, o)
	if got := files.take(); !slices.Equal(got, seg[2:]) {
		t.Errorf("opened %q, want %q", got, seg[2:])
	}
	strict := mustOpen(t, wal.Options{FS: e, ReadOnly: true})
	if got := files.take(); len(got) != 3 {
		t.Errorf("without trust opened %q", got)
	}
	for range 2 {
		if _, err := l.Read(segment.FirstLSN, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := files.take(); !slices.Equal(got, seg[:1]) {
		t.Errorf("to read the first record, opened %q, want %q", got, seg[:1])
	}
	if err := l.CheckHeaders(t.Context()); err != nil {
		t.Error(err)
	}
	wantIDs(t, l, 0, 8)
	if got := files.take(); !slices.Equal(got, seg[1:2]) {
		t.Errorf("to check all, opened %q, want %q", got, seg[1:2])
	}
	if infos := l.Segments(); !slices.Equal(infos, strict.Segments()) {
		t.Errorf("segments %+v, by their headers %+v", infos, strict.Segments())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.CheckHeaders(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("CheckHeaders with a context that ended: %v", err)
	}
	mustClose(t, l)
	mustClose(t, strict)
	wantNoOpenFiles(t, fs)
	if err := l.CheckHeaders(t.Context()); !errors.Is(err, wal.ErrClosed) {
		t.Errorf("CheckHeaders of a closed log: %v", err)
	}
}

// TestTrustTailFindsDamage: what an open that reads all headers refuses, one that
// trusts TAIL meets when it looks there. No file is changed, and what is not
// damaged can be read.
func TestTrustTailFindsDamage(t *testing.T) {
	flip := func(at int) func(*testing.T, *memfs.FS, string) {
		return func(t *testing.T, fs *memfs.FS, name string) {
			b := readFile(t, fs, path(name))
			b[at] ^= 1
			writeFile(t, fs, path(name), b)
		}
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, fs *memfs.FS, name string)
		want   error
	}{
		"salt flipped": {flip(96), segment.ErrCorrupt},
		"cut short":    {func(t *testing.T, fs *memfs.FS, name string) { shorten(t, fs, name, 4096+536) }, segment.ErrCorrupt},
		"empty":        {func(t *testing.T, fs *memfs.FS, name string) { writeFile(t, fs, path(name), nil) }, segment.ErrCorrupt},
		"a directory": {func(t *testing.T, fs *memfs.FS, name string) {
			remove(t, fs, name)
			if err := fs.MkdirAll(path(name)); err != nil {
				t.Fatal(err)
			}
		}, segment.ErrCorrupt},
		"another store's": {func(t *testing.T, fs *memfs.FS, name string) { transplant(t, fs, threeSegments(t), name) }, wal.ErrForeign},
		"a later version": {func(t *testing.T, fs *memfs.FS, name string) {
			writeFile(t, fs, path(name), wal.ForgeVersion(readFile(t, fs, path(name))))
		}, segment.ErrVersion},
		"another header under a good checksum": {func(t *testing.T, fs *memfs.FS, name string) {
			b := readFile(t, fs, path(name))
			h, err := segment.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			h.Salt++
			writeFile(t, fs, path(name), append(h.Append(nil), b[segment.HeaderSize:]...))
		}, segment.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			for i, first := range map[int]int{0: 0, 1: 3} { // segment, its first record
				fs := threeSegments(t)
				damaged := segments(t, fs)[i]
				c.damage(t, fs, damaged)
				before := fs.Fingerprint()
				o := smallOptions(fs)
				o.ReadOnly = true
				if strict, err := wal.Open(dir, o); err == nil {
					_, err = ids(strict)
					mustClose(t, strict)
					if !errors.Is(err, c.want) {
						t.Errorf("segment %d: every header read, and all frames: %v", i, err)
					}
				} else if !errors.Is(err, c.want) {
					t.Errorf("segment %d: open that reads it: %v", i, err)
				}
				l := mustOpen(t, trusting(o))
				_, err := l.Read(segment.FirstLSN+wal.LSN(first)*536, nil)
				if !errors.Is(err, c.want) || !strings.Contains(err.Error(), damaged) {
					t.Errorf("segment %d: read: %v", i, err)
				}
				if err := l.CheckHeaders(t.Context()); !errors.Is(err, c.want) || !strings.Contains(err.Error(), damaged) {
					t.Errorf("segment %d: CheckHeaders: %v", i, err)
				}
				if _, err := ids(l); !errors.Is(err, c.want) {
					t.Errorf("segment %d: scan: %v", i, err)
				}
				if _, err := l.Read(segment.FirstLSN+8*536, nil); err != nil {
					t.Errorf("segment %d: a record elsewhere: %v", i, err)
				}
				mustClose(t, l)
				if fs.Fingerprint() != before {
					t.Error("files were changed")
				}
				wantNoOpenFiles(t, fs)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		for i := range 2 {
			fs := threeSegments(t)
			remove(t, fs, segments(t, fs)[i])
			if _, err := wal.Open(dir, trusting(smallOptions(fs))); !errors.Is(err, segment.ErrCorrupt) {
				t.Errorf("segment %d: open: %v", i, err)
			}
		}
	})
}

// TestTailListLies: what TAIL says of older segments, under a good checksum, is
// not what their headers say. No record is shown that is not the log's, no file
// is removed for it. A list that cannot be costs a warning.
func TestTailListLies(t *testing.T) {
	lies := map[string]func(t *wal.Tail){
		"another base":        func(t *wal.Tail) { t.Older[1].Base += 8 },
		"another salt":        func(t *wal.Tail) { t.Older[1].Salt++ },
		"another epoch":       func(t *wal.Tail) { t.Older[0].Epoch, t.Older[1].Epoch, t.Older[1].PredEpoch = 2, 2, 2 },
		"a larger file":       func(t *wal.Tail) { t.Older[0].Size += 8 },
		"a smaller file":      func(t *wal.Tail) { t.Older[0].Size = 4096 + 536 },
		"no predecessor":      func(t *wal.Tail) { t.Older[1].PredBase, t.Older[1].PredEpoch = 0, 0 },
		"first is not listed": func(t *wal.Tail) { t.Older = t.Older[1:] },
		"nothing is listed":   func(t *wal.Tail) { t.Older = nil },
	}
	impossible := map[string]func(t *wal.Tail){
		"no predecessor and a gap": func(t *wal.Tail) {
			t.Older[1].PredBase, t.Older[1].PredEpoch, t.Older[1].Cut = 0, 0, 4096
		},
		"no base":               func(t *wal.Tail) { t.Older[0].Base = 0 },
		"base not aligned":      func(t *wal.Tail) { t.Older[1].Base++ },
		"cut above its base":    func(t *wal.Tail) { t.Older[1].Cut += 8 },
		"cut not aligned":       func(t *wal.Tail) { t.Older[1].Cut -= 4 },
		"no epoch":              func(t *wal.Tail) { t.Older[0].Epoch = 0 },
		"predecessor from then": func(t *wal.Tail) { t.Older[1].PredEpoch = 9 },
		"out of order":          func(t *wal.Tail) { t.Older[0], t.Older[1] = t.Older[1], t.Older[0] },
		"no room for a header":  func(t *wal.Tail) { t.Older[1].Size = 4095 },
		"above the newest":      func(t *wal.Tail) { t.Older[1].Base, t.Older[1].Cut = t.Base, t.Base },
	}
	try := func(change func(*wal.Tail), useless bool) func(t *testing.T) {
		return func(t *testing.T) {
			fs := threeSegments(t)
			writeFile(t, fs, path("TAIL"), wal.ForgeTailAs(readFile(t, fs, path("TAIL")), change))
			seg := segments(t, fs)
			l, err := wal.Open(dir, trusting(smallOptions(fs)))
			if err == nil {
				if warned := strings.Contains(strings.Join(l.Tail().Warnings, ""), "TAIL lists an impossible segment"); warned != useless {
					t.Errorf("warnings %q", l.Tail().Warnings)
				}
				var got []int
				if got, err = ids(l); err == nil && !slices.Equal(got, []int{0, 1, 2, 3, 4, 5, 6, 7, 8}) {
					t.Errorf("records %v", got)
				}
				mustClose(t, l)
			}
			if err != nil && (useless || !errors.Is(err, segment.ErrCorrupt)) {
				t.Error(err)
			}
			if left := segments(t, fs); !slices.Equal(left[:3], seg) {
				t.Errorf("files %q, were %q", left, seg)
			}
			// Without it, the headers count.
			remove(t, fs, "TAIL")
			again := mustOpen(t, trusting(smallOptions(fs)))
			wantIDs(t, again, 0, 8)
			mustClose(t, again)
		}
	}
	for name, change := range lies {
		t.Run(name, try(change, false))
	}
	for name, change := range impossible {
		t.Run(name, try(change, true))
	}
}

// TestTailListLiesAboutLeftovers: by the list, a segment of the log is one that a
// later epoch put out of it. Before it is removed the headers are asked.
func TestTailListLiesAboutLeftovers(t *testing.T) {
	fs := threeSegments(t)
	l := mustOpen(t, smallOptions(fs))
	mustPut(t, l, 9, 500, wal.Sync)
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	mustPut(t, l, 10, 500, wal.Sync)
	mustClose(t, l)
	writeFile(t, fs, path("TAIL"), wal.ForgeTailAs(readFile(t, fs, path("TAIL")), func(tail *wal.Tail) {
		second, third, later := &tail.Older[1], &tail.Older[2], &tail.Older[3]
		later.Cut, later.Lineage = third.Base, segment.ID{1}
		later.PredBase, later.PredEpoch = second.Base, second.Epoch
	}))
	before := fs.Fingerprint()
	for _, readOnly := range []bool{true, false} {
		o := trusting(smallOptions(fs))
		o.ReadOnly = readOnly
		if _, err := wal.Open(dir, o); !errors.Is(err, segment.ErrCorrupt) || !strings.Contains(err.Error(), "TAIL lists") {
			t.Errorf("open, read-only %v: %v", readOnly, err)
		}
	}
	if fs.Fingerprint() != before {
		t.Error("files were changed")
	}
	strict := mustOpen(t, smallOptions(fs))
	wantIDs(t, strict, 0, 10)
	mustClose(t, strict)
	wantNoOpenFiles(t, fs)
}

// TestLateFileMeetsRelease: a segment that nobody has read yet is released while
// a scan has begun that will come to it. The scan goes on; who comes later is
// told.
func TestLateFileMeetsRelease(t *testing.T) {
	fs := threeSegments(t)
	l := mustOpen(t, trusting(smallOptions(fs)))
	s := l.Scan(0, 0)
	if err := l.Release(t.Context(), l.End()); err != nil {
		t.Fatal(err)
	}
	if got, err := idsOf(l, s, segment.FirstLSN); err != nil || len(got) != 9 {
		t.Errorf("records %v, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(segment.FirstLSN, nil); !errors.Is(err, wal.ErrReleased) {
		t.Errorf("read: %v", err)
	}
	mustClose(t, l)
	wantNoOpenFiles(t, fs)
}

// TestLateFileOfAnotherStore: a file of another store has taken the place of a
// segment that nobody has read. It is not removed when the segment is.
func TestLateFileOfAnotherStore(t *testing.T) {
	for name, leave := range map[string]func(l *wal.Log) error{
		"release":    func(l *wal.Log) error { return l.Release(context.Background(), l.End()) },
		"truncation": func(l *wal.Log) error { return l.TruncateBack(l.First()) },
	} {
		t.Run(name, func(t *testing.T) {
			fs := threeSegments(t)
			l := mustOpen(t, trusting(smallOptions(fs)))
			seg := segments(t, fs)
			transplant(t, fs, threeSegments(t), seg[1])
			theirs := readFile(t, fs, path(seg[1]))
			if err := leave(l); name == "release" && !errors.Is(err, wal.ErrForeign) || name == "truncation" && err != nil {
				t.Errorf("%v", err)
			}
			if got := readFile(t, fs, path(seg[1])); !bytes.Equal(got, theirs) {
				t.Error("the file was changed")
			}
			if names := segments(t, fs); slices.Contains(names, seg[0]) || !slices.Contains(names, seg[1]) {
				t.Errorf("segments %q, were %q", names, seg)
			}
		})
	}
}

// TestListedSizeIsDurable: a file's size is listed only as far as it is durable.
// A segment was made larger for a record that never came, others were synced into
// it meanwhile, and the process died; the next one lists it, and the power fails.
func TestListedSizeIsDurable(t *testing.T) {
	synctest.Test(t, listedSizeIsDurable) // no mark comes between
}

func listedSizeIsDurable(t *testing.T) {
	fs := memfs.New()
	e := errfs.Wrap(fs)
	l := mustOpen(t, smallOptions(e))
	mustPut(t, l, 0, 100, wal.Sync)
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	var extended atomic.Bool
	e.Inject(errfs.Rule{Kinds: errfs.Allocate, Times: errfs.Forever, Before: func(op errfs.Op) {
		if !strings.Contains(op.Name, segment.TempName(2)) {
			return
		}
		extended.Store(true)
		for id := 1; id < 3; id++ {
			p, err := l.Prepare(payload(id, 100), wal.WriteOptions{System: true, Durability: wal.Sync})
			if err != nil {
				t.Error(err)
			}
			_, end := l.Append(&p)
			if err := l.Wait(end, wal.Sync); err != nil {
				t.Error(err)
			}
		}
	}})
	if _, err := l.Prepare(payload(3, 300<<10), wal.WriteOptions{Durability: wal.Batched}); err != nil {
		t.Fatal(err)
	}
	if !extended.Load() {
		t.Fatal("the segment was not made larger")
	}
	killed := fs.KillClone()
	l = mustOpen(t, trusting(smallOptions(killed)))
	mustPut(t, l, 3, 100, wal.Sync)
	off := killed.CrashClone(memfs.Nothing())
	l = mustOpen(t, trusting(smallOptions(off)))
	if err := l.CheckHeaders(t.Context()); err != nil {
		t.Error(err)
	}
	wantIDs(t, l, 0, 3)
}

// TestTailListIsBounded: after a roll TAIL takes a small part of a segment's
// bytes however many there are, and at a close it lists them all.
func TestTailListIsBounded(t *testing.T) {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	for id := range 40 {
		mustPut(t, l, id, 100, wal.Batched)
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
	}
	listed := func(fs *memfs.FS) (n int) {
		b := readFile(t, fs, path("TAIL"))
		wal.ForgeTailAs(b, func(tail *wal.Tail) { n = len(tail.Older) })
		return n
	}
	killed := fs.KillClone()
	if n := listed(killed); n != wal.MinSegmentSize/4096 {
		t.Errorf("after a roll %d of 40 segments are listed", n)
	}
	r := mustOpen(t, trusting(smallOptions(killed)))
	wantIDs(t, r, 0, 39)
	mustClose(t, l)
	if n := listed(fs); n < 40 {
		t.Errorf("after a close %d of 40 segments are listed", n)
	}
	again := mustOpen(t, trusting(smallOptions(fs)))
	wantIDs(t, again, 0, 39)
}
