package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

func TestSlice(t *testing.T) {
	fs := memfs.New()
	rng := rand.New(rand.NewPCG(1, 2))
	var want [][]byte
	var lsns []wal.LSN
	for round := range 4 {
		l, err := wal.Open("/log", wal.Options{FS: fs, SegmentSize: wal.MinSegmentSize})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("round %d: %+v", round, l.Tail())
		for i := range 1000 {
			b := make([]byte, rng.IntN(600))
			if i%100 == 50 {
				b = make([]byte, 70000+rng.IntN(300000))
			}
			for j := range b {
				b[j] = byte(rng.Uint32())
			}
			p, err := l.Prepare(b, wal.WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			at, end := l.Append(&p)
			if i%10 == 0 {
				if err := l.Wait(end, wal.Sync); err != nil {
					t.Fatal(err)
				}
			}
			want = append(want, b)
			lsns = append(lsns, at)
		}
		for i := range want {
			got, err := l.Read(lsns[i], nil)
			if err != nil || !bytes.Equal(got, want[i]) {
				t.Fatalf("read %d at %d: %v", i, lsns[i], err)
			}
		}
		n := 0
		s := l.Scan(0, 0)
		for {
			f, err := s.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if f.Kind != segment.Data {
				continue
			}
			if f.LSN != lsns[n] || !bytes.Equal(f.Payload, want[n]) {
				t.Fatal("scan", n)
			}
			n++
		}
		s.Close()
		if n != len(want) {
			t.Fatal(n, len(want))
		}
		if round%2 == 0 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			fmt.Printf("%+v\n", l.Metrics())
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			l.Close()
		}
	}
}
