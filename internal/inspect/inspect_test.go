package inspect_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fastrestart/frs/internal/inspect"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

const dir = "/log"

// build writes a log of several segments and closes it.
func build(t *testing.T) *memfs.FS {
	t.Helper()
	m := memfs.New()
	fill(t, m, 0)
	return m
}

// fill opens the log, writes the records of a region and closes it.
func fill(t *testing.T, m *memfs.FS, from int) {
	t.Helper()
	l := openLog(t, m)
	if from == 0 {
		appendRecord(t, l, op.AppendRegionCreate(nil, op.Region{ID: 1, Name: "r"}))
	}
	value := []byte(strings.Repeat("v", 1000))
	for i := from; i < from+200; i++ {
		appendRecord(t, l, op.AppendPut(nil, op.Put{Region: 1, Key: key(i), Value: value}))
	}
	e := op.BeginBatch(nil, 2)
	e.Put(op.Put{Region: 1, Key: []byte("in batch"), Value: value, Expiry: 1})
	e.Delete(1, key(from))
	b, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	appendRecord(t, l, b)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func key(i int) []byte { return fmt.Appendf(nil, "key %06d", i) }

func openLog(t *testing.T, m *memfs.FS) *wal.Log {
	t.Helper()
	l, err := wal.Open(dir, wal.Options{FS: m, SegmentSize: wal.MinSegmentSize})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func appendRecord(t *testing.T, l *wal.Log, payload []byte) {
	t.Helper()
	p, err := l.Prepare(payload, wal.WriteOptions{Durability: wal.Sync})
	if err != nil {
		t.Fatal(err)
	}
	_, end := l.Append(&p)
	if err := l.Wait(end, wal.Sync); err != nil {
		t.Fatal(err)
	}
}

// look opens the log for the test.
func look(t *testing.T, m *memfs.FS) *inspect.Log {
	t.Helper()
	l, err := inspect.Open(m, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// verify looks at the log and checks that looking changed nothing and left
// nothing open.
func verify(t *testing.T, m *memfs.FS) inspect.Report {
	t.Helper()
	before, ops := m.Fingerprint(), m.Ops()
	l, err := inspect.Open(m, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := l.Verify(context.Background(), nil)
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	if m.Fingerprint() != before || m.Ops() != ops {
		t.Error("looking changed the file system")
	}
	if open := m.OpenFiles(); len(open) > 0 {
		t.Errorf("left open: %v", open)
	}
	return rep
}

// edit changes the bytes of a file.
func edit(t *testing.T, m *memfs.FS, name string, change func(f vfs.File)) {
	t.Helper()
	f, err := m.OpenWrite(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	change(f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// flip inverts one bit.
func flip(t *testing.T, m *memfs.FS, name string, off int64) {
	t.Helper()
	edit(t, m, name, func(f vfs.File) {
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, off); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 0x10
		if _, err := f.WriteAt(b, off); err != nil {
			t.Fatal(err)
		}
	})
}

func TestVerify(t *testing.T) {
	m := build(t)
	fill(t, m, 200)
	var last, total int64
	l := look(t, m)
	rep, err := l.Verify(context.Background(), func(done, of int64) {
		if done < last || done > of {
			t.Errorf("progress %d of %d after %d", done, of, last)
		}
		last, total = done, of
	})
	if err != nil {
		t.Fatal(err)
	}
	if last != total || total != rep.Bytes {
		t.Errorf("progress ended at %d of %d, %d bytes in all", last, total, rep.Bytes)
	}
	if len(rep.Damage) > 0 || rep.Refused != nil || rep.TornBytes != 0 || len(rep.Warnings) > 0 {
		t.Errorf("an unharmed log: %+v", rep)
	}
	c := rep.Counts
	if c.Puts != 402 || c.Deletes != 2 || c.Batches != 2 || c.Creates != 1 || c.Clears+c.Alters+c.Drops != 0 {
		t.Errorf("counts %+v", c)
	}
	if c.Frames-c.Internal != 403 {
		t.Errorf("%d frames, %d of them internal", c.Frames, c.Internal)
	}
	if len(rep.Segments) < 6 || rep.First != segment.FirstLSN || rep.End <= rep.First || rep.ProvenDurable != rep.End {
		t.Errorf("stat %+v", rep.Stat)
	}
}

// TestFlips flips a bit at many places of every file: it is found, or it is
// beyond all that the log says.
func TestFlips(t *testing.T) {
	whole := build(t)
	for i, s := range verify(t, whole).Segments {
		end := segment.HeaderSize + int64(s.End-s.Base)
		if s.Sealed {
			end += segment.FooterSize
		}
		for off := int64(i); off < s.Bytes; off += 311 {
			m := whole.KillClone()
			flip(t, m, s.Name, off)
			rep := verify(t, m)
			if found := len(rep.Damage) > 0; !found && off < end {
				t.Errorf("%s offset %d of %d (end %d): not found", s.Name, off, s.Bytes, end)
			}
			for _, d := range rep.Damage {
				if d.Reason == "" || d.File == "" && d.LSN == 0 {
					t.Errorf("%s offset %d: damage without a place: %+v", s.Name, off, d)
				}
			}
		}
	}
}

// TestFiles harms whole files.
func TestFiles(t *testing.T) {
	whole := build(t)
	segs := verify(t, whole).Segments
	if len(segs) < 3 {
		t.Fatalf("only %d segments", len(segs))
	}
	for i, s := range segs {
		for harm, do := range map[string]func(m *memfs.FS){
			"missing": func(m *memfs.FS) {
				if err := m.Remove(filepath.Join(dir, s.Name)); err != nil {
					t.Fatal(err)
				}
			},
			"empty": func(m *memfs.FS) { edit(t, m, s.Name, func(f vfs.File) { _ = f.Truncate(0) }) },
			"header only": func(m *memfs.FS) {
				edit(t, m, s.Name, func(f vfs.File) { _ = f.Truncate(segment.HeaderSize) })
			},
			"cut in the middle": func(m *memfs.FS) {
				edit(t, m, s.Name, func(f vfs.File) { _ = f.Truncate((s.Bytes / 2) &^ 511) })
			},
			"zeros in the middle": func(m *memfs.FS) {
				edit(t, m, s.Name, func(f vfs.File) { _, _ = f.WriteAt(make([]byte, 512), segment.HeaderSize) })
			},
		} {
			m := whole.KillClone()
			do(m)
			if rep := verify(t, m); len(rep.Damage) == 0 {
				t.Errorf("segment %d of %d %s: not found", i+1, len(segs), harm)
			}
		}
	}
}

// TestGoesOn: behind damage in one file the next ones are read, and all damage
// is listed.
func TestGoesOn(t *testing.T) {
	m := build(t)
	segs := verify(t, m).Segments
	flip(t, m, segs[0].Name, segment.HeaderSize+5000)
	flip(t, m, segs[1].Name, segment.HeaderSize+100)
	rep := verify(t, m)
	if len(rep.Damage) != 2 {
		t.Fatalf("damage %+v", rep.Damage)
	}
	for i, d := range rep.Damage {
		if d.File != filepath.Join(dir, segs[i].Name) || d.LSN < segs[i].Base || d.Last != segs[i].End {
			t.Errorf("damage %+v in segment %+v", d, segs[i])
		}
	}
	l := look(t, m)
	damaged, behind := 0, 0
	for r, err := range l.Records(context.Background(), inspect.Range{}, nil) {
		if err != nil {
			damaged++
		} else if damaged == 2 && r.LSN >= segs[2].Base {
			behind++
		}
	}
	if damaged != 2 || behind == 0 {
		t.Errorf("%d places of damage, %d records behind", damaged, behind)
	}
}

// TestRefused: a log whose newest header is damaged does not open; its records
// are still shown, and what it was refused for is said once.
func TestRefused(t *testing.T) {
	m := build(t)
	segs := verify(t, m).Segments
	flip(t, m, segs[len(segs)-1].Name, 20)
	rep := verify(t, m)
	if rep.Refused == nil || len(rep.Damage) == 0 {
		t.Fatalf("report %+v", rep)
	}
	for i, d := range rep.Damage {
		for _, e := range rep.Damage[:i] {
			if d.File == e.File && d.Offset == e.Offset {
				t.Errorf("said twice: %+v, %+v", d, e)
			}
		}
	}
	if rep.Counts.Puts == 0 || len(rep.Segments) != len(segs) {
		t.Errorf("%d puts in %d segments", rep.Counts.Puts, len(rep.Segments))
	}
}

// TestTorn: what a crash leaves behind is no damage.
func TestTorn(t *testing.T) {
	m := build(t)
	l := openLog(t, m)
	appendRecord(t, l, op.AppendPut(nil, op.Put{Region: 1, Key: []byte("sure"), Value: []byte("v")}))
	for i := range 10 {
		p, err := l.Prepare(op.AppendPut(nil, op.Put{Region: 1, Key: key(i), Value: bytes.Repeat([]byte("x"), 3000)}), wal.WriteOptions{Durability: wal.Never})
		if err != nil {
			t.Fatal(err)
		}
		lsn, _ := l.Append(&p)
		if err := l.WaitWritten(context.Background(), lsn+1); err != nil {
			t.Fatal(err)
		}
	}
	torn := 0
	for seed := range uint64(40) {
		after := m.CrashClone(memfs.Crash{Seed: seed, Names: 1, Data: 0.7, Tear: 0.5, Sizes: 1})
		rep := verify(t, after)
		if len(rep.Damage) > 0 {
			t.Fatalf("seed %d: %+v", seed, rep.Damage)
		}
		if rep.TornBytes > 0 {
			torn++
		}
	}
	if torn == 0 {
		t.Error("no crash left a torn tail")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBadRecords: records of a region that nobody created mean that the
// log lost something, and records that do not decode are damage although
// their checksums hold.
func TestBadRecords(t *testing.T) {
	e := op.BeginBatch(nil, 2)
	e.Delete(1, []byte("k"))
	e.Put(op.Put{Region: 1, Key: []byte("k")})
	twice, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte{}, twice...)
	flipped[len(flipped)-1] ^= 1
	for name, payload := range map[string][]byte{
		"region 9 was not created":  op.AppendPut(nil, op.Put{Region: 9, Key: []byte("k")}),
		"not a record":              make([]byte, 30),
		"two operations of one key": twice,
		"operation with a bad sum":  flipped,
	} {
		m := build(t)
		l := openLog(t, m)
		appendRecord(t, l, payload)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if rep := verify(t, m); len(rep.Damage) != 1 || rep.Damage[0].LSN == 0 {
			t.Errorf("%s: damage %+v", name, rep.Damage)
		}
	}
}

func TestLaterVersion(t *testing.T) {
	m := build(t)
	l := openLog(t, m)
	appendRecord(t, l, []byte{200})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := look(t, m).Verify(context.Background(), nil); !errors.Is(err, op.ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
}

func TestRange(t *testing.T) {
	m := build(t)
	l := look(t, m)
	ctx := context.Background()
	var all []inspect.Record
	for r, err := range l.Records(ctx, inspect.Range{}, nil) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	from, to := all[50].LSN, all[120].LSN
	var got []inspect.LSN
	for r, err := range l.Records(ctx, inspect.Range{From: from, To: to}, nil) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.LSN)
	}
	if len(got) != 70 || got[0] != from || got[69] != all[119].LSN {
		t.Errorf("records %d from %d to %d, want 70 from %d", len(got), got[0], got[len(got)-1], from)
	}
	for range l.Records(ctx, inspect.Range{}, nil) {
		break
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := l.Verify(canceled, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestNoLog(t *testing.T) {
	m := memfs.New()
	if _, err := inspect.Open(m, "/nowhere", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
	if err := m.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := inspect.Open(m, dir, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty directory: %v", err)
	}
}

// TestEmptied: a directory that lost its segments, but not the file that says
// they must exist.
func TestEmptied(t *testing.T) {
	m := build(t)
	for _, s := range verify(t, m).Segments {
		if err := m.Remove(filepath.Join(dir, s.Name)); err != nil {
			t.Fatal(err)
		}
	}
	if rep := verify(t, m); len(rep.Damage) == 0 {
		t.Error("not found")
	}
}
