package wal_test

import (
	"context"
	"errors"
	fs0 "io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// threeSegments makes a closed log of records 0 to 8, three in each segment.
func threeSegments(t *testing.T) *memfs.FS {
	t.Helper()
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	for id := range 9 {
		mustPut(t, l, id, 500, wal.Batched)
		if id%3 == 2 && id < 8 {
			if err := l.Roll(); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustClose(t, l)
	if n := len(segments(t, fs)); n != 3 {
		t.Fatalf("%d segments", n)
	}
	return fs
}

func path(name string) string { return dir + "/" + name }

func remove(t *testing.T, fs vfs.FS, name string) {
	t.Helper()
	if err := fs.Remove(path(name)); err != nil {
		t.Fatal(err)
	}
}

// TestFilesMissing: the ancestor of this store opened most of these without a
// word. Every one is damage, named, and no file is changed.
func TestFilesMissing(t *testing.T) {
	first, middle, last := 0, 1, 2
	for name, damage := range map[string]func(t *testing.T, fs *memfs.FS, seg []string){
		"first file missing":           func(t *testing.T, fs *memfs.FS, seg []string) { remove(t, fs, seg[first]) },
		"middle file missing":          func(t *testing.T, fs *memfs.FS, seg []string) { remove(t, fs, seg[middle]) },
		"last file missing":            func(t *testing.T, fs *memfs.FS, seg []string) { remove(t, fs, seg[last]) },
		"first file empty":             func(t *testing.T, fs *memfs.FS, seg []string) { writeFile(t, fs, path(seg[first]), nil) },
		"middle file empty":            func(t *testing.T, fs *memfs.FS, seg []string) { writeFile(t, fs, path(seg[middle]), nil) },
		"last file empty":              func(t *testing.T, fs *memfs.FS, seg []string) { writeFile(t, fs, path(seg[last]), nil) },
		"last file cut in its header":  func(t *testing.T, fs *memfs.FS, seg []string) { shorten(t, fs, seg[last], 100) },
		"last file cut in its frames":  func(t *testing.T, fs *memfs.FS, seg []string) { shorten(t, fs, seg[last], 4096+700) },
		"last file cut after a frame":  func(t *testing.T, fs *memfs.FS, seg []string) { shorten(t, fs, seg[last], 4096+536) },
		"last file has no footer":      func(t *testing.T, fs *memfs.FS, seg []string) { shorten(t, fs, seg[last], 4096+3*536) },
		"middle file truncated":        func(t *testing.T, fs *memfs.FS, seg []string) { shorten(t, fs, seg[middle], 4096+536) },
		"middle file is a header only": func(t *testing.T, fs *memfs.FS, seg []string) { shorten(t, fs, seg[middle], 4096) },
		"all files missing": func(t *testing.T, fs *memfs.FS, seg []string) {
			for _, s := range seg {
				remove(t, fs, s)
			}
		},
		"a directory in place of the last file": func(t *testing.T, fs *memfs.FS, seg []string) {
			remove(t, fs, seg[last])
			if err := fs.MkdirAll(path(seg[last])); err != nil {
				t.Fatal(err)
			}
		},
		"a directory in place of the middle file": func(t *testing.T, fs *memfs.FS, seg []string) {
			remove(t, fs, seg[middle])
			if err := fs.MkdirAll(path(seg[middle])); err != nil {
				t.Fatal(err)
			}
		},
		"last two files swapped": func(t *testing.T, fs *memfs.FS, seg []string) {
			a, b := readFile(t, fs, path(seg[middle])), readFile(t, fs, path(seg[last]))
			writeFile(t, fs, path(seg[middle]), b)
			writeFile(t, fs, path(seg[last]), a)
		},
		"a file that nothing explains": func(t *testing.T, fs *memfs.FS, seg []string) {
			writeFile(t, fs, path(segment.FileName(4096+536, 1)), readFile(t, fs, path(seg[first])))
		},
		"last file renamed to a later epoch": func(t *testing.T, fs *memfs.FS, seg []string) {
			base, epoch, _ := segment.ParseFileName(seg[last])
			writeFile(t, fs, path(segment.FileName(base, epoch+1)), readFile(t, fs, path(seg[last])))
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := threeSegments(t)
			damage(t, fs, segments(t, fs))
			before := fs.Fingerprint()
			for _, readOnly := range []bool{true, false} {
				o := smallOptions(fs)
				o.ReadOnly = readOnly
				_, err := wal.Open(dir, o)
				var c *segment.CorruptionError
				if !errors.As(err, &c) {
					t.Fatalf("open: %v", err)
				}
				if !strings.HasPrefix(c.File, dir) {
					t.Errorf("no file named: %v", err)
				}
				if fs.Fingerprint() != before {
					t.Error("files were changed")
				}
				wantNoOpenFiles(t, fs)
			}
		})
	}
}

func shorten(t *testing.T, fs vfs.FS, name string, size int) {
	t.Helper()
	writeFile(t, fs, path(name), readFile(t, fs, path(name))[:size])
}

// TestFilesThatDoNoHarm are changes of the directory that a log shrugs off.
func TestFilesThatDoNoHarm(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, fs *memfs.FS)
		warns  bool
	}{
		"TAIL missing": {func(t *testing.T, fs *memfs.FS) { remove(t, fs, "TAIL") }, true},
		"TAIL damaged": {func(t *testing.T, fs *memfs.FS) {
			b := readFile(t, fs, path("TAIL"))
			b[40]++
			writeFile(t, fs, path("TAIL"), b)
		}, true},
		"TAIL huge":     {func(t *testing.T, fs *memfs.FS) { writeFile(t, fs, path("TAIL"), make([]byte, 8<<20)) }, true},
		"TAIL empty":    {func(t *testing.T, fs *memfs.FS) { writeFile(t, fs, path("TAIL"), nil) }, true},
		"foreign files": {func(t *testing.T, fs *memfs.FS) { writeFile(t, fs, path("notes.txt"), []byte("mine")) }, true},
		"a name that is almost a segment's": {func(t *testing.T, fs *memfs.FS) {
			writeFile(t, fs, path("0000000000001000-0000000A.seg"), []byte("mine"))
		}, true},
		"a prepared file": {func(t *testing.T, fs *memfs.FS) {
			writeFile(t, fs, path(segment.TempName(7)), make([]byte, 9000))
		}, false},
		"a half published TAIL": {func(t *testing.T, fs *memfs.FS) { writeFile(t, fs, path("TAIL.tmp"), make([]byte, 10)) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			fs := threeSegments(t)
			c.change(t, fs)
			before := fs.Fingerprint()
			o := smallOptions(fs)
			o.ReadOnly = true
			r := mustOpen(t, o)
			wantIDs(t, r, 0, 8)
			if got := len(r.Tail().Warnings) > 0; got != c.warns {
				t.Errorf("warnings %q", r.Tail().Warnings)
			}
			mustClose(t, r)
			if fs.Fingerprint() != before {
				t.Error("a read-only open changed files")
			}
			l := mustOpen(t, smallOptions(fs))
			mustPut(t, l, 9, 100, wal.Sync)
			wantIDs(t, l, 0, 9)
			mustClose(t, l)
			again := mustOpen(t, smallOptions(fs))
			wantIDs(t, again, 0, 9)
			mustClose(t, again)
			names, err := fs.List(dir)
			if err != nil || slices.ContainsFunc(names, segment.IsTempName) {
				t.Errorf("left over: %q, %v", names, err)
			}
		})
	}
}

// TestTailPointsToNowhere: a TAIL whose position is no frame's, checksum and
// all. The frames are believed, not it.
func TestTailPointsToNowhere(t *testing.T) {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	mustPut(t, l, 0, 500, wal.Sync)
	mustPut(t, l, 1, 500, wal.Sync)
	crashed := fs.CrashClone(memfs.Nothing())
	mustClose(t, l)
	closed := readFile(t, fs, path("TAIL"))
	// As TAIL may be if its writer had a fault: durable in mid-frame.
	tail := wal.ForgeTail(closed, 4096+64)
	writeFile(t, crashed, path("TAIL"), tail)
	r := mustOpen(t, wal.Options{FS: crashed, ReadOnly: true})
	wantIDs(t, r, 0, 1)
}

// TestAnotherStore: files of another store are refused and not touched, also
// where a leftover of this log would be removed.
func TestAnotherStore(t *testing.T) {
	other := func(t *testing.T) *memfs.FS { return threeSegments(t) }
	for name, mix := range map[string]func(t *testing.T, fs, other *memfs.FS, seg []string){
		"last segment":   func(t *testing.T, fs, o *memfs.FS, seg []string) { transplant(t, fs, o, seg[2]) },
		"middle segment": func(t *testing.T, fs, o *memfs.FS, seg []string) { transplant(t, fs, o, seg[1]) },
		"first segment":  func(t *testing.T, fs, o *memfs.FS, seg []string) { transplant(t, fs, o, seg[0]) },
		"TAIL":           func(t *testing.T, fs, o *memfs.FS, _ []string) { transplant(t, fs, o, "TAIL") },
	} {
		t.Run(name, func(t *testing.T) {
			fs := threeSegments(t)
			mix(t, fs, other(t), segments(t, fs))
			before := fs.Fingerprint()
			if _, err := wal.Open(dir, smallOptions(fs)); !errors.Is(err, wal.ErrForeign) || errors.Is(err, segment.ErrCorrupt) {
				t.Errorf("open: %v", err)
			}
			if fs.Fingerprint() != before {
				t.Error("files were changed")
			}
		})
	}
	t.Run("ids given", func(t *testing.T) {
		fs := threeSegments(t)
		for _, o := range []wal.Options{{FS: fs, StoreID: [16]byte{1}}, {FS: fs, Lineage: [16]byte{1}}} {
			if _, err := wal.Open(dir, o); !errors.Is(err, wal.ErrForeign) {
				t.Errorf("open: %v", err)
			}
		}
	})
}

func transplant(t *testing.T, to, from *memfs.FS, name string) {
	t.Helper()
	writeFile(t, to, path(name), readFile(t, from, path(name)))
}

// TestVersion: a file of a later format version is not damage.
func TestVersion(t *testing.T) {
	fs := threeSegments(t)
	names := segments(t, fs)
	b := readFile(t, fs, path(names[2]))
	writeFile(t, fs, path(names[2]), wal.ForgeVersion(b))
	_, err := wal.Open(dir, smallOptions(fs))
	if !errors.Is(err, segment.ErrVersion) || errors.Is(err, segment.ErrCorrupt) {
		t.Errorf("open: %v", err)
	}
}

// TestKnownDurable: the caller knows that the log was longer.
func TestKnownDurable(t *testing.T) {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	for id := range 3 {
		mustPut(t, l, id, 500, wal.Batched)
	}
	if err := l.WaitWritten(t.Context(), l.End()); err != nil {
		t.Fatal(err)
	}
	end := l.End()
	killed := fs.KillClone()
	for name, c := range map[string]struct {
		known  wal.LSN
		proven wal.LSN // 0: damage
	}{
		"nothing":           {0, 4096},
		"a frame's end":     {4096 + 536, 4096 + 536},
		"within a frame":    {4096 + 2*536 + 8, 4096 + 2*536},
		"the end":           {end, end},
		"beyond the end":    {end + 8, 0},
		"far beyond":        {1 << 40, 0},
		"below the segment": {8, 4096},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := wal.Open(dir, wal.Options{FS: killed, KnownDurable: c.known, ReadOnly: true})
			if c.proven == 0 {
				if !errors.Is(err, segment.ErrCorrupt) {
					t.Fatalf("open: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := l.Tail().ProvenDurable; got != c.proven {
				t.Errorf("proven %d, want %d", got, c.proven)
			}
			mustClose(t, l)
		})
	}
}

// TestTornTail: a power failure left the size and one later sector of a write
// that nobody was promised. The log opens, the bytes are kept beside it, and
// the next open finds a clean log.
func TestTornTail(t *testing.T) {
	fs := memfs.New()
	l := mustOpen(t, smallOptions(fs))
	mustPut(t, l, 0, 500, wal.Sync)
	mustPut(t, l, 1, 5000, wal.Batched)
	mustPut(t, l, 2, 500, wal.Batched)
	if err := l.WaitWritten(t.Context(), l.End()); err != nil {
		t.Fatal(err)
	}
	// All but the first sectors: record 2 is whole behind the torn record 1.
	crashed := fs.CrashClone(memfs.Crash{Choose: func(op memfs.Op) memfs.Fate {
		if op.Kind == memfs.OpWrite {
			return memfs.TornFront(3)
		}
		return memfs.Kept()
	}})
	ro := smallOptions(crashed)
	ro.ReadOnly = true
	r := mustOpen(t, ro)
	if tail := r.Tail(); tail.TornBytes == 0 || tail.TornFile != "" {
		t.Errorf("read-only: %+v", tail)
	}
	mustClose(t, r)
	again := mustOpen(t, smallOptions(crashed))
	tail := again.Tail()
	if tail.TornBytes < 4000 || tail.End != 4096+536 {
		t.Errorf("%+v", tail)
	}
	wantIDs(t, again, 0, 0)
	mustPut(t, again, 1, 100, wal.Sync)
	mustClose(t, again)
	kept := readFile(t, crashed, path(tail.TornFile))
	if int64(len(kept)) != tail.TornBytes {
		t.Errorf("%d bytes kept, %d torn", len(kept), tail.TornBytes)
	}
	third := mustOpen(t, smallOptions(crashed))
	if third.Tail().TornBytes != 0 {
		t.Errorf("torn again: %+v", third.Tail())
	}
	wantIDs(t, third, 0, 1)
	// What was cut goes when its place in the log is released.
	if err := third.Release(context.Background(), third.Durable()); err != nil {
		t.Fatal(err)
	}
	if err := third.Roll(); err != nil {
		t.Fatal(err)
	}
	if err := third.Release(context.Background(), third.Durable()); err != nil {
		t.Fatal(err)
	}
	if _, err := crashed.Stat(path(tail.TornFile)); !errors.Is(err, fs0.ErrNotExist) {
		t.Errorf("torn file: %v", err)
	}
}

// TestReadOnly: nothing that would write is possible.
func TestReadOnly(t *testing.T) {
	fs := threeSegments(t)
	before := fs.Fingerprint()
	o := smallOptions(fs)
	o.ReadOnly = true
	l := mustOpen(t, o)
	if _, _, err := put(l, []byte("x"), wal.Sync); !errors.Is(err, wal.ErrReadOnly) {
		t.Errorf("put: %v", err)
	}
	for name, err := range map[string]error{
		"roll": l.Roll(), "release": l.Release(t.Context(), l.End()), "truncate": l.TruncateBack(l.First()),
	} {
		if !errors.Is(err, wal.ErrReadOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.Sync(); err != nil {
		t.Errorf("sync: %v", err)
	}
	wantIDs(t, l, 0, 8)
	mustClose(t, l)
	if _, err := wal.Open("/elsewhere", o); !errors.Is(err, fs0.ErrNotExist) {
		t.Errorf("open of nothing: %v", err)
	}
	if fs.Fingerprint() != before {
		t.Error("files were changed")
	}
	wantNoOpenFiles(t, fs)
}
