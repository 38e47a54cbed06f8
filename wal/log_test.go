package wal_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// sizes of payloads around what is treated differently: empty, padding, small
// and large frames, own buffers, more than a segment.
var sizes = []int{8, 9, 15, 16, 100, 511, 512, 4000, 4064, 4065, 5000, 30_000, 65_000, 70_000, 256 << 10, 300_001}

// TestRoundTrip writes records of all sizes in sessions that end in a Close or
// a kill, and reads each by position, in parts and in order, from memory, from
// files and after a reopen.
func TestRoundTrip(t *testing.T) {
	for _, codec := range []wal.Compression{wal.None, wal.S2, wal.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			t.Parallel()
			fs := memfs.New()
			o := smallOptions(fs)
			o.Compression = codec
			r := rand.New(rand.NewPCG(7, uint64(codec)))
			var lsns []wal.LSN
			var data [][]byte
			for session := range 4 {
				l := mustOpen(t, o)
				check(t, l, lsns, data, codec)
				for range 60 {
					b := compressible(r, sizes[r.IntN(len(sizes))])
					p, err := l.Prepare(b, wal.WriteOptions{})
					if err != nil {
						t.Fatal(err)
					}
					if r.IntN(10) == 0 {
						l.Cancel(&p)
						continue
					}
					lsn, end := l.Append(&p)
					if end-lsn != wal.LSN(p.Size()) || end != l.End() {
						t.Fatalf("frame [%d, %d), size %d, end %d", lsn, end, p.Size(), l.End())
					}
					lsns, data = append(lsns, lsn), append(data, b)
					if r.IntN(20) == 0 {
						if err := l.Wait(end, wal.Sync); err != nil || l.Durable() < end {
							t.Fatalf("durable %d, want %d: %v", l.Durable(), end, err)
						}
					}
				}
				check(t, l, lsns, data, codec)
				if session%2 == 0 {
					mustClose(t, l)
					wantNoOpenFiles(t, fs)
					continue
				}
				if err := l.WaitWritten(t.Context(), l.End()); err != nil {
					t.Fatal(err)
				}
				fs = fs.KillClone()
				o.FS = fs
			}
		})
	}
}

// compressible returns n bytes that compress a little.
func compressible(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.IntN(4)) + 'a'
	}
	return b
}

func check(t *testing.T, l *wal.Log, lsns []wal.LSN, data [][]byte, codec wal.Compression) {
	t.Helper()
	var buf []byte
	for i, lsn := range lsns {
		var err error
		if buf, err = l.Read(lsn, buf); err != nil || !bytes.Equal(buf, data[i]) {
			t.Fatalf("record %d at %d: %d bytes of %d, %v", i, lsn, len(buf), len(data[i]), err)
		}
		checkPart(t, l, lsn, data[i], codec)
	}
	i := 0
	for f, err := range l.Frames(0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if f.Kind != segment.Data {
			continue
		}
		if f.LSN != lsns[i] || !bytes.Equal(f.Payload, data[i]) {
			t.Fatalf("scan: record %d at %d, want %d", i, f.LSN, lsns[i])
		}
		i++
	}
	if i != len(lsns) {
		t.Fatalf("scan: %d records of %d", i, len(lsns))
	}
}

func checkPart(t *testing.T, l *wal.Log, lsn wal.LSN, b []byte, codec wal.Compression) {
	t.Helper()
	at := len(b) / 3
	part := make([]byte, len(b)/2)
	err := l.ReadPart(lsn, int64(at), part)
	if codec != wal.None && errors.Is(err, wal.ErrCompressed) {
		return
	}
	if err != nil || !bytes.Equal(part, b[at:at+len(part)]) {
		t.Fatalf("part of %d: %v", lsn, err)
	}
	for _, bad := range []int64{-1, int64(len(b)) + 1, int64(len(b)) - int64(len(part)) + 1, 1 << 62} {
		if err := l.ReadPart(lsn, bad, part); err == nil {
			t.Fatalf("part at %d of %d bytes", bad, len(b))
		}
	}
}

// TestPositions: what cannot be read says why.
func TestPositions(t *testing.T) {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	var lsns []wal.LSN
	for id := range 12 {
		lsns = append(lsns, mustPut(t, l, id, 15_000, wal.Batched))
	}
	unwritten := mustPut(t, l, 12, 100, wal.Never)
	for name, c := range map[string]struct {
		lsn  wal.LSN
		want error
	}{
		"the end":               {l.End(), wal.ErrBeyondEnd},
		"far beyond":            {1 << 40, wal.ErrBeyondEnd},
		"zero":                  {0, wal.ErrReleased},
		"not a frame":           {lsns[3] + 8, segment.ErrCorrupt},
		"not a frame in memory": {unwritten + 8, segment.ErrCorrupt},
		"not aligned":           {lsns[3] + 1, segment.ErrCorrupt},
	} {
		if _, err := l.Read(c.lsn, nil); !errors.Is(err, c.want) {
			t.Errorf("read %s: %v", name, err)
		}
		if err := l.ReadPart(c.lsn, 0, nil); !errors.Is(err, c.want) {
			t.Errorf("read part %s: %v", name, err)
		}
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(t.Context(), lsns[7]); err != nil {
		t.Fatal(err)
	}
	if l.First() != lsns[7] {
		t.Errorf("first %d, want %d", l.First(), lsns[7])
	}
	if _, err := l.Read(lsns[6], nil); !errors.Is(err, wal.ErrReleased) {
		t.Errorf("read of a released position: %v", err)
	}
	s := l.Scan(lsns[6], 0)
	if _, err := s.Next(); !errors.Is(err, wal.ErrReleased) {
		t.Errorf("scan of a released position: %v", err)
	}
	s.Close()
	wantIDs(t, l, 7, 12)
	if n := len(segments(t, fs)); n > 3 {
		t.Errorf("%d files after the release", n)
	}
	if err := l.Release(t.Context(), l.End()+8); err == nil {
		t.Error("released beyond what is durable")
	}
	mustClose(t, l)
	if _, err := l.Read(lsns[8], nil); !errors.Is(err, wal.ErrClosed) {
		t.Errorf("read of a closed log: %v", err)
	}
	if err := l.Close(); !errors.Is(err, wal.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	again := mustOpen(t, smallOptions(fs))
	if tail := again.Tail(); tail.LowWater != lsns[7] || tail.First != lsns[7] {
		t.Errorf("%+v", tail)
	}
	wantIDs(t, again, 7, 12)
}

// TestScanRange scans parts of a log, from and to positions that are frames'
// and that are not.
func TestScanRange(t *testing.T) {
	l := mustOpen(t, smallOptions(memfs.New()))
	var lsns []wal.LSN
	for id := range 30 {
		lsns = append(lsns, mustPut(t, l, id, 9000, wal.Never))
	}
	lsns = append(lsns, l.End())
	for _, c := range []struct {
		from, to    wal.LSN
		first, last int
	}{
		{lsns[3], lsns[9], 3, 8},
		{lsns[3] + 8, lsns[9] + 8, 4, 9},
		{lsns[6] + 8, lsns[7], 0, -1},
		{lsns[7], lsns[7], 0, -1},
		{0, lsns[2], 0, 1},
		{lsns[28], 0, 28, 29},
		{lsns[28], 1 << 40, 28, 29},
		{lsns[30], 0, 0, -1},
	} {
		var got []int
		for f, err := range l.Frames(c.from, c.to) {
			if err != nil {
				t.Fatal(err)
			}
			id, err := identify(f.Payload)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, id)
		}
		if !slices.Equal(got, seq(c.first, c.last)) {
			t.Errorf("[%d, %d): %v, want %d to %d", c.from, c.to, got, c.first, c.last)
		}
	}
}

// TestReadersOutliveFiles: a reader that is in a file when it is released reads
// on.
func TestReadersOutliveFiles(t *testing.T) {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	for id := range 20 {
		mustPut(t, l, id, 15_000, wal.Batched)
	}
	s := l.Scan(0, 0)
	if _, err := s.Next(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Sync(), l.Release(t.Context(), l.Durable())); err != nil {
		t.Fatal(err)
	}
	n := 1
	for {
		f, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if id, err := identify(f.Payload); id != n || err != nil {
			t.Fatalf("record %d: %d, %v", n, id, err)
		}
		n++
	}
	if n != 20 {
		t.Errorf("%d records of 20", n)
	}
	s.Close()
	mustClose(t, l)
	wantNoOpenFiles(t, fs)
}

// TestTruncateBack: what is above leaves the log, is not there after a reopen,
// and its positions are used again under a new epoch.
func TestTruncateBack(t *testing.T) {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	var lsns []wal.LSN
	for id := range 12 {
		lsns = append(lsns, mustPut(t, l, id, 15_000, wal.Batched))
	}
	if err := l.TruncateBack(lsns[4] + 8); err == nil {
		t.Error("truncated within a frame")
	}
	if err := l.TruncateBack(l.End() + 8); !errors.Is(err, wal.ErrBeyondEnd) {
		t.Errorf("truncated beyond the end: %v", err)
	}
	if err := l.TruncateBack(8); !errors.Is(err, wal.ErrReleased) {
		t.Errorf("truncated below the first: %v", err)
	}
	if err := l.TruncateBack(lsns[6]); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, l, 0, 5)
	if l.End() != lsns[6] || l.Durable() != lsns[6] {
		t.Errorf("end %d, durable %d, want %d", l.End(), l.Durable(), lsns[6])
	}
	if got := mustPut(t, l, 6, 100, wal.Sync); got != lsns[6] {
		t.Errorf("next record at %d, want %d", got, lsns[6])
	}
	if _, err := l.Read(lsns[9], nil); !errors.Is(err, wal.ErrBeyondEnd) {
		t.Errorf("read of a truncated record: %v", err)
	}
	epoch := l.Segments()[len(l.Segments())-1].Epoch
	mustClose(t, l)
	again := mustOpen(t, smallOptions(fs))
	wantIDs(t, again, 0, 6)
	if err := again.TruncateBack(again.First()); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, again, 0, -1)
	if got := again.Segments(); len(got) != 1 || got[0].Epoch <= epoch {
		t.Errorf("segments %+v after epoch %d", got, epoch)
	}
	mustPut(t, again, 0, 100, wal.Sync)
	wantIDs(t, again, 0, 0)
}

// TestConcurrent: writers of all durabilities, readers, scanners, rolls and
// releases at once. Then everything acknowledged is there, in the order of its
// positions.
func TestConcurrent(t *testing.T) {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	const writers, each = 8, 150
	var mu sync.Mutex
	at := map[wal.LSN]int{}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				id := w*each + i
				lsn, _, err := put(l, payload(id, 50+id%3000), []wal.Durability{wal.Sync, wal.Batched, wal.Never}[i%3])
				if err != nil {
					t.Error(err)
					return
				}
				if b, err := l.Read(lsn, nil); err != nil && !errors.Is(err, wal.ErrReleased) {
					t.Error(err)
				} else if got, ierr := identify(b); err == nil && (got != id || ierr != nil) {
					t.Errorf("read %d, want %d: %v", got, id, ierr)
				}
				mu.Lock()
				at[lsn] = id
				mu.Unlock()
			}
		})
	}
	stop := make(chan struct{})
	var aside sync.WaitGroup
	background(&aside, stop, func() error { return l.Roll() }, t)
	background(&aside, stop, func() error { return l.Release(context.Background(), l.First()) }, t)
	background(&aside, stop, func() error { _, err := ids(l); return err }, t)
	background(&aside, stop, func() error { l.SetSegmentSize(wal.MinSegmentSize * 2); _ = l.Metrics(); return nil }, t)
	wg.Wait()
	close(stop)
	aside.Wait()
	mustClose(t, l)
	again := mustOpen(t, smallOptions(fs))
	want := make([]int, 0, len(at))
	for _, lsn := range slices.Sorted(func(yield func(wal.LSN) bool) {
		for lsn := range at {
			if !yield(lsn) {
				return
			}
		}
	}) {
		want = append(want, at[lsn])
	}
	if got := mustIDs(t, again); !slices.Equal(got, want) {
		t.Errorf("%d records, want %d in the order of their positions", len(got), len(want))
	}
}

func background(wg *sync.WaitGroup, stop chan struct{}, f func() error, t *testing.T) {
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := f(); err != nil {
				t.Error(err)
				return
			}
		}
	})
}
