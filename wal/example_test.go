package wal_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// A log that survives its process: write, wait, read, open again.
func Example() {
	fs := memfs.New() // leave Options.FS empty for real files
	l, err := wal.Open("/data/log", wal.Options{FS: fs, Lock: true})
	if err != nil {
		log.Fatal(err)
	}
	p, err := l.Prepare([]byte("hello"), wal.WriteOptions{})
	if err != nil {
		log.Fatal(err)
	}
	lsn, end := l.Append(&p)
	if err := l.Wait(end, wal.Sync); err != nil {
		log.Fatal(err)
	}
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}

	l, err = wal.Open("/data/log", wal.Options{FS: fs, Lock: true})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	record, err := l.Read(lsn, nil)
	fmt.Println(lsn, string(record), err)
	// Output: 4096 hello <nil>
}

// Replay all records of a log.
func ExampleLog_Frames() {
	l, err := wal.Open("/data/log", wal.Options{FS: memfs.New()})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	for _, s := range []string{"one", "two", "three"} {
		p, err := l.Prepare([]byte(s), wal.WriteOptions{})
		if err != nil {
			log.Fatal(err)
		}
		l.Append(&p)
	}
	for f, err := range l.Frames(0, 0) {
		if err != nil {
			log.Fatal(err)
		}
		if f.Kind == segment.Data {
			fmt.Println(f.LSN, string(f.Payload))
		}
	}
	// Output:
	// 4096 one
	// 4136 two
	// 4176 three
}

// Give up the front of a log once what is in it is not needed any more.
func ExampleLog_Release() {
	l, err := wal.Open("/data/log", wal.Options{FS: memfs.New()})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	for _, s := range []string{"old", "new"} {
		p, err := l.Prepare([]byte(s), wal.WriteOptions{})
		if err != nil {
			log.Fatal(err)
		}
		l.Append(&p)
		if err := l.Roll(); err != nil {
			log.Fatal(err)
		}
	}
	segments := l.Segments()
	if err := l.Release(context.Background(), segments[1].Base); err != nil {
		log.Fatal(err)
	}
	_, err = l.Read(segments[0].Base, nil)
	fmt.Println(len(segments), "segments, then", len(l.Segments()))
	fmt.Println(err)
	// Output:
	// 3 segments, then 2
	// wal: released: LSN 4096, the log begins at 4136
}
