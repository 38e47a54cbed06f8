package wal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// What lies under good checksums and no writer writes. No crash and no disk
// makes it; a fault in a program may.

// releasedLog returns a closed log of records 2 to 8, of which 2 is the first
// above the low-water mark.
func releasedLog(t *testing.T) *memfs.FS {
	t.Helper()
	fs := threeSegments(t)
	l := mustOpen(t, smallOptions(fs))
	if err := l.Release(context.Background(), l.First()+2*536); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, l, 2, 8)
	mustClose(t, l)
	return fs
}

// TestTailLies: a TAIL that contradicts itself says nothing. It costs a
// warning, and an open that writes makes a new one.
func TestTailLies(t *testing.T) {
	for name, change := range map[string]func(tail *wal.Tail){
		"no epoch":                       func(tail *wal.Tail) { tail.Epoch = 0 },
		"no base":                        func(tail *wal.Tail) { tail.Base = 0 },
		"base not aligned":               func(tail *wal.Tail) { tail.Base += 4 },
		"durable not aligned":            func(tail *wal.Tail) { tail.Durable++ },
		"low-water mark not aligned":     func(tail *wal.Tail) { tail.LowWater -= 2 },
		"durable below the base":         func(tail *wal.Tail) { tail.Durable = tail.Base - 8 },
		"durable beyond every log":       func(tail *wal.Tail) { tail.Durable = segment.MaxLSN },
		"durable wraps an offset":        func(tail *wal.Tail) { tail.Durable = 1<<63 + 8 },
		"all beyond every log":           func(tail *wal.Tail) { tail.Base, tail.Durable = segment.MaxLSN, segment.MaxLSN+8 },
		"low-water mark above durable":   func(tail *wal.Tail) { tail.LowWater = tail.Durable + 8 },
		"low-water mark beyond all logs": func(tail *wal.Tail) { tail.LowWater = 1<<63 + 8 },
	} {
		t.Run(name, func(t *testing.T) {
			fs := releasedLog(t)
			writeFile(t, fs, path("TAIL"), wal.ForgeTailAs(readFile(t, fs, path("TAIL")), change))
			for open := range 3 { // for reading, for writing, and when it is mended
				o := smallOptions(fs)
				o.ReadOnly = open == 0
				l := mustOpen(t, o)
				wantIDs(t, l, 2, 8)
				all := strings.Join(l.Tail().Warnings, "; ")
				if warned := strings.Contains(all, "TAIL has impossible positions"); warned != (open < 2) {
					t.Errorf("open %d: warnings %q", open, all)
				}
				mustClose(t, l)
			}
			// Alone it still says that there were segments.
			for _, name := range segments(t, fs) {
				remove(t, fs, name)
			}
			if _, err := wal.Open(dir, smallOptions(fs)); !errors.Is(err, segment.ErrCorrupt) {
				t.Errorf("without segments: %v", err)
			}
		})
	}
}

// TestTailLiesAboutLowWater: a TAIL that points into a frame is not believed
// about the low-water mark either.
func TestTailLiesAboutLowWater(t *testing.T) {
	fs := releasedLog(t)
	writeFile(t, fs, path("TAIL"), wal.ForgeTailAs(readFile(t, fs, path("TAIL")), func(tail *wal.Tail) {
		tail.Durable -= 8
		tail.LowWater = tail.Durable
	}))
	l := mustOpen(t, smallOptions(fs))
	wantIDs(t, l, 2, 8)
	if got := l.Tail().LowWater; got != segment.FirstLSN+2*536 {
		t.Errorf("low-water mark %d", got)
	}
}

// appendFrame adds a frame behind those of a segment file that is not sealed,
// under good checksums, and returns where it is.
func appendFrame(t *testing.T, fs *memfs.FS, name string, h segment.FrameHeader, stored []byte) wal.LSN {
	t.Helper()
	b := readFile(t, fs, path(name))
	head, err := segment.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	s := segment.NewScanner(bytes.NewReader(b), int64(len(b)), head, segment.ScanOptions{})
	for err == nil {
		_, err = s.Next()
	}
	if s.Stop() != segment.StopUnused {
		t.Fatalf("%s: %v", name, err)
	}
	at := s.Pos()
	h.Stored, h.Raw, h.Hash = uint32(len(stored)), uint32(len(stored)), xxhash.Sum64(stored)
	frame := make([]byte, h.Size())
	segment.NewStamp(head.Salt).Put(frame, at, &h)
	copy(frame[segment.FrameHeaderSize:], stored)
	copy(b[head.Offset(at):], frame)
	writeFile(t, fs, path(name), b)
	return at
}

// TestLowWaterLies: a low-water record that claims what was not durable yet is
// damage, at the end of the log as well, where it could be taken for a torn
// tail: records that were acknowledged behind it would vanish.
func TestLowWaterLies(t *testing.T) {
	for name, c := range map[string]struct {
		mark func(durable, at wal.LSN) wal.LSN
		fine bool
	}{
		"all that is durable":      {func(durable, at wal.LSN) wal.LSN { return durable }, true},
		"above the durable mark":   {func(durable, at wal.LSN) wal.LSN { return durable + 8 }, false},
		"its own place":            {func(durable, at wal.LSN) wal.LSN { return at }, false},
		"above its own place":      {func(durable, at wal.LSN) wal.LSN { return at + 40 }, false},
		"behind records behind it": {func(durable, at wal.LSN) wal.LSN { return at + 1<<20 }, false},
		"not aligned":              {func(durable, at wal.LSN) wal.LSN { return durable - 4 }, false},
		"nothing":                  {func(durable, at wal.LSN) wal.LSN { return 0 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			fs := memfs.New()
			l := mustOpen(t, smallOptions(fs))
			mustPut(t, l, 0, 100, wal.Sync)
			durable := l.Durable()
			mustPut(t, l, 1, 100, wal.Batched)
			if err := l.WaitWritten(context.Background(), l.End()); err != nil {
				t.Fatal(err)
			}
			at := l.End()
			killed := fs.KillClone()
			last := segments(t, killed)[0]
			mark := binary.LittleEndian.AppendUint64(nil, uint64(c.mark(durable, at)))
			if got := appendFrame(t, killed, last, segment.FrameHeader{Kind: segment.LowWater, Durable: durable}, mark); got != at {
				t.Fatalf("frame at %d, want %d", got, at)
			}
			before := killed.Fingerprint()
			o := smallOptions(killed)
			for _, o.ReadOnly = range []bool{true, false} {
				l, err := wal.Open(dir, o)
				if c.fine {
					if err != nil {
						t.Fatal(err)
					}
					wantIDs(t, l, 1, 1)
					mustClose(t, l)
					continue
				}
				var e *segment.CorruptionError
				if !errors.As(err, &e) || e.File != path(last) || e.LSN != at {
					t.Errorf("open, read-only %v: %v, want damage at LSN %d of %s", o.ReadOnly, err, at, last)
				}
				if killed.Fingerprint() != before {
					t.Error("files were changed")
				}
			}
		})
	}
}

// TestReleaseMeetsTruncation: a release waits while its position is truncated
// away. It does not put a low-water mark above the end of the log.
func TestReleaseMeetsTruncation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		e := errfs.Wrap(fs)
		l := mustOpen(t, smallOptions(e))
		var lsns []wal.LSN
		for id := range 4 {
			lsns = append(lsns, mustPut(t, l, id, 100, wal.Sync))
		}
		mustPut(t, l, 4, 100, wal.Never)
		result := make(chan error, 1)
		e.Inject(errfs.Rule{Kinds: errfs.SyncData, Times: 1, Before: func(errfs.Op) {
			go func() { result <- l.Release(context.Background(), lsns[3]) }()
			synctest.Wait() // it waits for the truncation to end
		}})
		if err := l.TruncateBack(lsns[1]); err != nil {
			t.Fatal(err)
		}
		if err := <-result; err == nil {
			t.Error("released a position that was truncated away")
		}
		mustPut(t, l, 5, 100, wal.Sync)
		mustClose(t, l)
		l = mustOpen(t, smallOptions(fs))
		if got := mustIDs(t, l); len(got) != 2 || got[0] != 0 || got[1] != 5 {
			t.Errorf("records %v", got)
		}
		mustClose(t, l)
	})
}
