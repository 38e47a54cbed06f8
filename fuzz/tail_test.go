package fuzz

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// FuzzTail: TAIL is evidence and no more. One that is damaged, or says less than
// is true, costs nothing; one that says more makes the log refuse. Frames that
// were not written are never shown.
func FuzzTail(f *testing.F) {
	f.Add(byte(0), false, []byte{})
	f.Add(byte(1), false, []byte("frs-tail"))
	f.Add(byte(0), true, []byte{})
	f.Add(byte(0), true, []byte{0, 8, 1})                        // version
	f.Add(byte(1), true, []byte{0, 12, 3})                       // epoch
	f.Add(byte(0), true, []byte{0, 16, 1})                       // store
	f.Add(byte(1), true, []byte{0, 32, 8})                       // base
	f.Add(byte(0), true, []byte{0, 40, 8})                       // durable
	f.Add(byte(0), true, []byte{0, 41, 1})                       // durable, far away
	f.Add(byte(1), true, []byte{0, 48, 64})                      // low-water mark
	f.Add(byte(0), true, []byte{0, 40, 0, 0, 0, 0, 0, 0, 0, 16}) // beyond every log
	f.Add(byte(0), true, []byte{0, 40, 0, 0, 0, 0, 0, 0, 0, 128})
	f.Add(byte(1), true, []byte{0, 48, 0, 0, 0, 0, 0, 0, 0, 128})
	f.Add(byte(1), true, []byte{0, 56, 0, 0, 0, 0, 0, 0, 0, 64})
	f.Add(byte(0), true, []byte{0, 64, 1}) // segments listed
	f.Add(byte(0), true, []byte{0, 68, 1})
	for at := byte(72); at < 72+64; at += 8 { // what is said of one
		f.Add(byte(0), true, []byte{0, at, 8})
		f.Add(byte(1), true, []byte{0, at, 8})
	}
	f.Fuzz(func(t *testing.T, which byte, sealed bool, input []byte) {
		s := specimens(t)[which%2]
		was, good := s.logAsWritten(t)
		fs := s.fs.KillClone()
		b := input
		if sealed {
			b = slices.Clone(good)
			patch(&program{input}, b)
			seal(b)
		}
		if err := create(fs, filepath.Join(logDir, "TAIL"), b); err != nil {
			t.Fatal(err)
		}
		bounded(t, storeMemory, func() { wantTail(t, fs, was, good, b) })
		noOpenFiles(t, fs)
	})
}

// logAsWritten returns the frames of the specimen's log and its TAIL.
func (s *specimen) logAsWritten(t *testing.T) (list []record, tail []byte) {
	t.Helper()
	l, err := wal.Open(logDir, wal.Options{FS: s.fs, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	list, err = records(l)
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	if tail, err = content(s.fs, filepath.Join(logDir, "TAIL")); err != nil {
		t.Fatal(err)
	}
	return list, tail
}

// wantTail opens the log with TAIL b instead of good.
func wantTail(t *testing.T, fs *memfs.FS, was []record, good, b []byte) {
	o := logOptions(fs)
	o.ReadOnly, o.TrustTail = true, true
	l, err := wal.Open(logDir, o)
	if err != nil {
		if harmless(good, b) {
			t.Fatalf("TAIL says nothing wrong: %v", err)
		}
		if err := refusal(err); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := records(l)
	if err := errors.Join(err, l.Close()); err != nil && (harmless(good, b) || refusal(err) != nil) {
		t.Fatal(err)
	}
	at := 0
	for _, r := range got {
		i := slices.Index(was[at:], r)
		if i < 0 {
			t.Fatalf("frame %+v was not written", r)
		}
		at += i + 1
	}
	if harmless(good, b) && len(got) != len(was) {
		t.Fatalf("%d frames of %d: %v", len(got), len(was), l.Tail())
	}
}

// harmless reports whether a TAIL is no TAIL, contradicts itself, or says no more
// than good does.
func harmless(good, b []byte) bool {
	sum := len(good) - 8
	if len(b) != len(good) || string(b[:8]) != string(good[:8]) || binary.LittleEndian.Uint64(b[sum:]) != xxhash.Sum64(b[:sum]) {
		return true
	}
	if binary.LittleEndian.Uint32(b[8:]) != segment.Version {
		return false
	}
	at := func(b []byte, i int) segment.LSN { return segment.LSN(binary.LittleEndian.Uint64(b[i:])) }
	base, durable, low := at(b, 32), at(b, 40), at(b, 48)
	if binary.LittleEndian.Uint32(b[12:]) == 0 || base == 0 || (base|durable|low)%segment.Align != 0 ||
		durable < base || durable >= segment.MaxLSN || low > durable {
		return true
	}
	if string(b[64:sum]) != string(good[64:sum]) {
		return false // or it lists what cannot be, and is of no use
	}
	return string(b[8:40]) == string(good[8:40]) && low <= at(good, 48) && (durable == at(good, 40) || durable == base)
}
