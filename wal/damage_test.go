package wal_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// specimen is a small log at rest, and what is known about it.
type specimen struct {
	fs       *memfs.FS
	records  []int // all it holds
	promised int   // how many of them a later frame, TAIL or the seal vouches for
	sealed   int   // how many if the frames after those are destroyed as well
}

// specimens are a log after a crash and the same one after a clean close: one
// sealed segment with records 0 to 3, and the newest with 4 to 9. The mark
// that record 8 carries vouches for 4 to 7.
func specimens(t *testing.T) map[string]specimen {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	for id := range 4 {
		mustPut(t, l, id, 60+id, wal.Batched)
	}
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	for id := 4; id < 8; id++ {
		mustPut(t, l, id, 90+id, wal.Batched)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	mustPut(t, l, 8, 30, wal.Batched)
	mustPut(t, l, 9, 40, wal.Batched)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	crashed := fs.CrashClone(memfs.Nothing())
	mustClose(t, l)
	return map[string]specimen{
		"after a crash":       {crashed, seq(0, 9), 8, 4},
		"after a clean close": {fs, seq(0, 9), 10, 10},
	}
}

// examine opens a damaged specimen and checks the rule: damage is reported and
// nothing touched, or nothing that was promised is lost and what is cut is
// reported.
func (s specimen) examine(fs *memfs.FS, readOnly bool) error {
	before := fs.Fingerprint()
	o := smallOptions(fs)
	o.ReadOnly = readOnly
	l, err := wal.Open(dir, o)
	if err != nil {
		if !errors.Is(err, segment.ErrCorrupt) {
			return fmt.Errorf("error that is not damage: %w", err)
		}
		var c *segment.CorruptionError
		if !errors.As(err, &c) || c.File == "" {
			return fmt.Errorf("damage without a place: %w", err)
		}
		if fs.Fingerprint() != before {
			return fmt.Errorf("files were changed in spite of %w", err)
		}
		return nil
	}
	defer l.Close()
	got, err := ids(l)
	if readOnly && fs.Fingerprint() != before {
		return errors.New("a read-only open changed files")
	}
	if err != nil {
		if !errors.Is(err, segment.ErrCorrupt) {
			return fmt.Errorf("error that is not damage: %w", err)
		}
		return nil
	}
	if len(got) < s.promised || !slices.Equal(got, s.records[:min(len(got), len(s.records))]) {
		return fmt.Errorf("records %s, promised %d of %s", brief(got), s.promised, brief(s.records))
	}
	return nil
}

// each calls damage for every byte of every file that holds something, and
// some that do not.
func (s specimen) each(t *testing.T, damage func(file []byte, at int) []byte) (cases int) {
	names, err := s.fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := dir + "/" + name
		content := readFile(t, s.fs, path)
		used := len(content)
		for used > 0 && content[used-1] == 0 {
			used--
		}
		for at := 0; at < len(content); at++ {
			if at > used+64 {
				at += 4095
			}
			if testing.Short() && at%3 != 0 {
				continue
			}
			if at > 200 && at < segment.HeaderSize-20 {
				at += 36 // zeros of the header, all under one checksum
			}
			bad := damage(slices.Clone(content), min(at, len(content)-1))
			fs := s.fs.CrashClone(memfs.Everything())
			writeFile(t, fs, path, bad)
			cases++
			if err := s.examine(fs, cases%8 != 0); err != nil {
				t.Errorf("%s byte %d of %d: %v", name, at, len(content), err)
				if cases++; t.Failed() && cases > 20 {
					return cases
				}
			}
		}
	}
	return cases
}

// TestDamageAnywhere damages a small log at every byte. Whatever a later frame,
// the seal or TAIL vouches for is never lost without a word, and no open
// changes a file that it then refuses. Wide damage may destroy a later frame
// together with what it vouches for; the seal and TAIL remain.
func TestDamageAnywhere(t *testing.T) {
	damages := map[string]struct {
		wide bool
		do   func(b []byte, at int) []byte
	}{
		"lowest bit flipped":            {false, func(b []byte, at int) []byte { b[at] ^= 1; return b }},
		"all bits of a byte flipped":    {false, func(b []byte, at int) []byte { b[at] ^= 0xff; return b }},
		"cut off":                       {false, func(b []byte, at int) []byte { return b[:at] }},
		"zeros to the end":              {true, func(b []byte, at int) []byte { clear(b[at:]); return b }},
		"rubbish to the end":            {true, func(b []byte, at int) []byte { fill(b[at:], 0xa5); return b }},
		"zeros over a sector":           {true, func(b []byte, at int) []byte { clear(b[at:min(at+512, len(b))]); return b }},
		"a stretch moved by eight":      {true, func(b []byte, at int) []byte { copy(b[at:], b[min(at+8, len(b)):]); return b }},
		"the front of the file instead": {true, func(b []byte, at int) []byte { copy(b[at:], b[:min(at, 200)]); return b }},
	}
	for state, s := range specimens(t) {
		for name, damage := range damages {
			t.Run(state+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := s
				if damage.wide {
					s.promised = s.sealed
				}
				if n := s.each(t, damage.do); n < 300 {
					t.Errorf("only %d cases", n)
				}
			})
		}
	}
}

func fill(b []byte, c byte) {
	for i := range b {
		b[i] = c
	}
}

// TestDamageBelowAMark flips every byte of the frames that a later frame says
// were durable: each flip is damage at open, not a torn tail.
func TestDamageBelowAMark(t *testing.T) {
	s := specimens(t)["after a crash"]
	names := segments(t, s.fs)
	path := dir + "/" + names[len(names)-1]
	l := mustOpen(t, wal.Options{FS: s.fs.CrashClone(memfs.Everything()), ReadOnly: true})
	proven := l.Tail().ProvenDurable
	end := segment.HeaderSize + int(proven-l.Tail().Newest.Base)
	if end < segment.HeaderSize+300 {
		t.Fatalf("only %d proven bytes", end-segment.HeaderSize)
	}
	content := readFile(t, s.fs, path)
	for at := segment.HeaderSize; at < end; at++ {
		fs := s.fs.CrashClone(memfs.Everything())
		bad := slices.Clone(content)
		bad[at] ^= 0x10
		writeFile(t, fs, path, bad)
		before := fs.Fingerprint()
		_, err := wal.Open(dir, smallOptions(fs))
		var c *segment.CorruptionError
		if !errors.As(err, &c) {
			t.Fatalf("byte %d: %v", at, err)
		}
		if c.File != path || c.Offset > int64(at) || c.LSN == 0 || c.Last < proven {
			t.Fatalf("byte %d: %+v", at, c)
		}
		if fs.Fingerprint() != before {
			t.Fatalf("byte %d: files were changed", at)
		}
	}
}
