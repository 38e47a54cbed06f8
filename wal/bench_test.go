package wal_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// openBench opens a log in a directory of the benchmark's own.
func openBench(b *testing.B, o wal.Options) *wal.Log {
	b.Helper()
	l, err := wal.Open(filepath.Join(b.TempDir(), "log"), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	return l
}

// BenchmarkAppend is what a writer pays for a write that nobody waits for; the
// bytes are written to the file in the background.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{16, 300, 4096, 1 << 20} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			l := openBench(b, wal.Options{})
			record := payload(1, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				p, err := l.Prepare(record, wal.WriteOptions{Durability: wal.Never})
				if err != nil {
					b.Fatal(err)
				}
				l.Append(&p)
			}
		})
	}
}

// BenchmarkAppendNull is BenchmarkAppend onto files that forget what is
// written: the work of Prepare and Append alone.
func BenchmarkAppendNull(b *testing.B) {
	l, err := wal.Open(dir, wal.Options{FS: nullFS{memfs.New()}, MaxUnwritten: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	record := payload(1, 300)
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	for b.Loop() {
		p, err := l.Prepare(record, wal.WriteOptions{})
		if err != nil {
			b.Fatal(err)
		}
		l.Append(&p)
	}
}

// nullFS forgets what is written to the files that it creates.
type nullFS struct{ vfs.FS }

type nullFile struct{ vfs.File }

func (n nullFS) Create(name string) (vfs.File, error) {
	f, err := n.FS.Create(name)
	return nullFile{f}, err
}

func (nullFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// BenchmarkSync is K writers that wait for each write to be durable, beside the
// bare loop of write and fdatasync of the same bytes into a file of zeros.
// disk=+1ms adds a millisecond to each sync of the log.
func BenchmarkSync(b *testing.B) {
	const size = 256
	b.Run("bare", func(b *testing.B) { bareLoop(b, size+32) })
	for _, delay := range []time.Duration{0, time.Millisecond} {
		for _, writers := range []int{1, 16, 64, 256} {
			b.Run(fmt.Sprintf("disk=+%v/writers=%d", delay, writers), func(b *testing.B) {
				l := openBench(b, wal.Options{FS: slowDisk(delay)})
				before := l.Metrics()
				b.SetBytes(size)
				write(b, l, writers, payload(1, size))
				m := l.Metrics()
				b.ReportMetric(float64(b.N)/float64(max(m.Syncs-before.Syncs, 1)), "puts/sync")
			})
		}
	}
}

// slowDisk returns the operating system's files with slower syncs.
func slowDisk(delay time.Duration) vfs.FS {
	if delay == 0 {
		return vfs.Default
	}
	return errfs.Wrap(vfs.Default, errfs.Rule{
		Kinds: errfs.SyncData, Times: errfs.Forever, Before: func(errfs.Op) { <-time.After(delay) },
	})
}

// write has the writers put b.N records.
func write(b *testing.B, l *wal.Log, writers int, record []byte) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range writers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, _, err := put(l, record, wal.Sync); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

// bareLoop writes and syncs into a file that was filled with zeros before.
func bareLoop(b *testing.B, size int) {
	const fileSize = 64 << 20
	f, err := vfs.Default.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for off := int64(0); off < fileSize; off += 1 << 20 {
		if _, err := f.WriteAt(make([]byte, 1<<20), off); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	record := payload(1, size)
	b.SetBytes(int64(size))
	for off := int64(0); b.Loop(); off = (off + int64(size)) % (fileSize - int64(size)) {
		if _, err := f.WriteAt(record, off); err != nil {
			b.Fatal(err)
		}
		if err := f.SyncData(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReplay scans a log with all checksums, beside preads of its files.
func BenchmarkReplay(b *testing.B) {
	const records, size = 400_000, 256
	path := filepath.Join(b.TempDir(), "log")
	l, err := wal.Open(path, wal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for range records {
		if _, _, err := put(l, payload(1, size), wal.Never); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Sync(); err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.Run("scan", func(b *testing.B) {
		b.SetBytes(int64(l.End() - l.First()))
		n := 0
		for b.Loop() {
			n = 0
			s := l.Scan(0, 0)
			for {
				if _, err := s.Next(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					b.Fatal(err)
				}
				n++
			}
			s.Close()
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "frames/s")
	})
	b.Run("pread", func(b *testing.B) {
		b.SetBytes(int64(l.End() - l.First()))
		buf := make([]byte, 1<<20)
		for b.Loop() {
			for _, s := range l.Segments() {
				readThrough(b, filepath.Join(path, s.Name), buf)
			}
		}
	})
}

func readThrough(b *testing.B, name string, buf []byte) {
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Read(buf); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead reads single records that are in files.
func BenchmarkRead(b *testing.B) {
	l := openBench(b, wal.Options{})
	var at []wal.LSN
	for range 10_000 {
		lsn, _, err := put(l, payload(1, 256), wal.Never)
		if err != nil {
			b.Fatal(err)
		}
		at = append(at, lsn)
	}
	if err := l.Sync(); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		var err error
		if buf, err = l.Read(at[i*7919%len(at)], buf); err != nil {
			b.Fatal(err)
		}
	}
}
