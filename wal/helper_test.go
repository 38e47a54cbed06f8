package wal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// dir is where tests have their log.
const dir = "/log"

// payload returns the n bytes of record id: the id, then a pattern of it.
func payload(id, n int) []byte {
	b := make([]byte, max(n, 8))
	binary.LittleEndian.PutUint64(b, uint64(id))
	r := rand.NewPCG(uint64(id), uint64(n))
	for i := 8; i < len(b); i += 8 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], r.Uint64())
		copy(b[i:], w[:])
	}
	return b
}

// identify returns the id of a payload, or an error if it is not whole.
func identify(b []byte) (int, error) {
	if len(b) < 8 {
		return 0, fmt.Errorf("payload of %d bytes", len(b))
	}
	id := int(binary.LittleEndian.Uint64(b))
	if !bytes.Equal(b, payload(id, len(b))) {
		return 0, fmt.Errorf("payload of record %d is not what was written", id)
	}
	return id, nil
}

// put appends a record and waits as d says.
func put(l *wal.Log, b []byte, d wal.Durability) (lsn, end wal.LSN, err error) {
	p, err := l.Prepare(b, wal.WriteOptions{Durability: d})
	if err != nil {
		return 0, 0, err
	}
	lsn, end = l.Append(&p)
	return lsn, end, l.Wait(end, d)
}

// ids scans a log and returns the ids of its records, checking every frame.
func ids(l *wal.Log) ([]int, error) {
	s := l.Scan(0, 0)
	defer s.Close()
	return idsOf(l, s, l.First())
}

// idsOf is ids with a scanner that was opened before, when the log began at at.
func idsOf(l *wal.Log, s *wal.Scanner, at wal.LSN) ([]int, error) {
	var list []int
	for {
		f, err := s.Next()
		if errors.Is(err, io.EOF) {
			if at > l.End() {
				err = fmt.Errorf("scan ends at %d, log at %d", at, l.End())
			}
			return list, ignoreEOF(err)
		}
		if err != nil {
			return list, err
		}
		if f.LSN < at || f.End <= f.LSN {
			return list, fmt.Errorf("frame [%d, %d) after %d", f.LSN, f.End, at)
		}
		at = f.End
		if f.Kind == segment.Data {
			id, err := identify(f.Payload)
			if err != nil {
				return list, fmt.Errorf("LSN %d: %w", f.LSN, err)
			}
			list = append(list, id)
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// smallOptions make many segments of few records.
func smallOptions(fs vfs.FS) wal.Options {
	return wal.Options{FS: fs, SegmentSize: wal.MinSegmentSize}
}

// mustOpen opens a log that is closed at the end of the test, if the test has
// not done it.
func mustOpen(t testing.TB, o wal.Options) *wal.Log {
	t.Helper()
	l, err := wal.Open(dir, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func mustPut(t testing.TB, l *wal.Log, id, n int, d wal.Durability) wal.LSN {
	t.Helper()
	lsn, _, err := put(l, payload(id, n), d)
	if err != nil {
		t.Fatalf("put %d: %v", id, err)
	}
	return lsn
}

func mustClose(t testing.TB, l *wal.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func mustIDs(t testing.TB, l *wal.Log) []int {
	t.Helper()
	got, err := ids(l)
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	return got
}

// wantIDs fails unless the log's records are those from first to last.
func wantIDs(t testing.TB, l *wal.Log, first, last int) {
	t.Helper()
	if got, want := mustIDs(t, l), seq(first, last); !slices.Equal(got, want) {
		t.Fatalf("records %s, want %s", brief(got), brief(want))
	}
}

// seq returns first, first+1, ..., last.
func seq(first, last int) []int {
	var s []int
	for i := first; i <= last; i++ {
		s = append(s, i)
	}
	return s
}

func brief(ids []int) string {
	if len(ids) > 12 {
		return fmt.Sprintf("%v…%v (%d)", ids[:4], ids[len(ids)-4:], len(ids))
	}
	return fmt.Sprint(ids)
}

// wantNoOpenFiles fails if a file system has open files.
func wantNoOpenFiles(t testing.TB, fs *memfs.FS) {
	t.Helper()
	if open := fs.OpenFiles(); len(open) > 0 {
		t.Errorf("files left open: %q", open)
	}
}

// readFile returns a file's content.
func readFile(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	b, err := fsync.ReadFile(fs, name, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// writeFile replaces a file's content, durably.
func writeFile(t testing.TB, fs vfs.FS, name string, b []byte) {
	t.Helper()
	if err := fsync.PublishFile(fs, filepath.Dir(name), filepath.Base(name), b); err != nil {
		t.Fatal(err)
	}
}

// segments returns the names of the segment files, sorted.
func segments(t testing.TB, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(n string) bool {
		_, _, ok := segment.ParseFileName(n)
		return !ok
	})
}
