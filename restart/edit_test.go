package restart_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// Tools for tests that damage the files of a store: what a disk, an operator
// or another program may do to them while the store is closed.

// storeFiles returns the names of all files under a directory, sorted.
func storeFiles(t testing.TB, fsys vfs.FS, dir string) []string {
	t.Helper()
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, name := range names {
		name = filepath.Join(dir, name)
		info, err := fsys.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir {
			files = append(files, storeFiles(t, fsys, name)...)
		} else {
			files = append(files, name)
		}
	}
	return files
}

// filesLike returns the files whose base names fit a pattern, oldest first.
func filesLike(t testing.TB, fsys vfs.FS, pattern string) []string {
	t.Helper()
	var found []string
	for _, name := range storeFiles(t, fsys, dir) {
		if ok, err := filepath.Match(pattern, filepath.Base(name)); err != nil {
			t.Fatal(err)
		} else if ok {
			found = append(found, name)
		}
	}
	return found
}

// segmentFiles returns the segments by age: epoch, then base.
func segmentFiles(t testing.TB, fsys vfs.FS) []string {
	t.Helper()
	files := filesLike(t, fsys, "*.seg")
	slices.SortFunc(files, func(a, b string) int {
		ab, ae, _ := segment.ParseFileName(filepath.Base(a))
		bb, be, _ := segment.ParseFileName(filepath.Base(b))
		if ae != be {
			return int(ae) - int(be)
		}
		return int(int64(ab) - int64(bb))
	})
	return files
}

func readAll(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	b, err := fsync.ReadFile(fsys, name, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// edit opens a file for writing.
func edit(t testing.TB, fsys vfs.FS, name string, fn func(vfs.File) error) {
	t.Helper()
	f, err := fsys.OpenWrite(name)
	if err == nil {
		err = errors.Join(fn(f), f.Close())
	}
	if err != nil {
		t.Fatalf("edit %s: %v", name, err)
	}
}

// flip inverts bits of one byte.
func flip(t testing.TB, fsys vfs.FS, name string, off int64, mask byte) {
	t.Helper()
	edit(t, fsys, name, func(f vfs.File) error {
		var b [1]byte
		if _, err := f.ReadAt(b[:], off); err != nil {
			return err
		}
		b[0] ^= mask
		_, err := f.WriteAt(b[:], off)
		return err
	})
}

// blank writes zeros over [from, to).
func blank(t testing.TB, fsys vfs.FS, name string, from, to int64) {
	t.Helper()
	edit(t, fsys, name, func(f vfs.File) error {
		_, err := f.WriteAt(make([]byte, to-from), from)
		return err
	})
}

// cut shortens a file.
func cut(t testing.TB, fsys vfs.FS, name string, size int64) {
	t.Helper()
	edit(t, fsys, name, func(f vfs.File) error { return f.Truncate(size) })
}

// replace gives a file other bytes, or makes it.
func replace(t testing.TB, fsys vfs.FS, name string, b []byte) {
	t.Helper()
	if err := fsync.PublishFile(fsys, filepath.Dir(name), filepath.Base(name), b); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, fsys vfs.FS, name string) {
	t.Helper()
	if err := fsys.Remove(name); err != nil {
		t.Fatal(err)
	}
}

// place of a frame in a file.
type framePlace struct {
	off, end int64
	kind     segment.Kind
	lsn      segment.LSN
	durable  segment.LSN
}

// framesOf returns the frames of a segment file, as far as they are valid.
func framesOf(t testing.TB, fsys vfs.FS, name string) []framePlace {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, err := segment.ReadFileHeader(f)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	var frames []framePlace
	sc := segment.NewScanner(f, size, h, segment.ScanOptions{})
	for {
		fr, err := sc.Next()
		if err != nil {
			if err != io.EOF {
				t.Logf("%s: %v", name, err)
			}
			return frames
		}
		frames = append(frames, framePlace{h.Offset(fr.LSN), h.Offset(fr.End), fr.Kind, fr.LSN, fr.Durable})
	}
}

// dataFrames returns the frames that hold records.
func dataFrames(t testing.TB, fsys vfs.FS, name string) []framePlace {
	return slices.DeleteFunc(framesOf(t, fsys, name), func(f framePlace) bool { return f.kind != segment.Data })
}

// directoryState is what is in a directory, the lock file apart: its content
// is for people.
func directoryState(t testing.TB, fsys vfs.FS) map[string]string {
	t.Helper()
	state := make(map[string]string)
	for _, name := range storeFiles(t, fsys, dir) {
		if filepath.Base(name) != "LOCK" {
			state[name] = string(readAll(t, fsys, name))
		}
	}
	return state
}

// openAndRead opens a store, reads everything, and closes it again.
func openAndRead(fsys *memfs.FS, o restart.Options) (got contents, rep restart.RecoveryReport, err error) {
	o.FS = fsys
	st, err := restart.Open(dir, o)
	if err == nil {
		got, err = read(st)
		rep = st.Recovery()
		err = errors.Join(err, st.Close())
	}
	if files := fsys.OpenFiles(); len(files) > 0 {
		err = errors.Join(err, fmt.Errorf("files left open: %v", files))
	}
	return got, rep, err
}

// wantRefused opens a damaged store and checks that this fails with an error
// that says where, and changes nothing.
func wantRefused(t *testing.T, fsys *memfs.FS, o restart.Options) *segment.CorruptionError {
	t.Helper()
	before := directoryState(t, fsys)
	c := refusal(t, fsys, o)
	after := directoryState(t, fsys)
	for name := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("the refused open made %s", name)
		}
	}
	if d := lost(before, after); d != "" {
		t.Errorf("the refused open left its mark: %s", d)
	}
	return c
}

func refusal(t *testing.T, fsys *memfs.FS, o restart.Options) *segment.CorruptionError {
	t.Helper()
	o.FS = fsys
	st, err := restart.Open(dir, o)
	if err == nil {
		got, rerr := read(st)
		n := 0
		for _, m := range got {
			n += len(m)
		}
		t.Fatalf("open succeeded (%v), %d entries read, %v, close: %v", st.Recovery(), n, rerr, st.Close())
	}
	var c *segment.CorruptionError
	if !errors.Is(err, restart.ErrCorrupt) || !errors.As(err, &c) || c.File == "" || c.Reason == "" {
		t.Fatalf("open: %v, want a *segment.CorruptionError with a file and a reason", err)
	}
	if files := fsys.OpenFiles(); len(files) > 0 {
		t.Errorf("files left open: %v", files)
	}
	return c
}

// lost says which file of before is not as it was, if one is not.
func lost(before, after map[string]string) string {
	for name, b := range before {
		if a, ok := after[name]; !ok {
			return name + " is gone"
		} else if a != b {
			return name + " was changed"
		}
	}
	return ""
}

// wantContents opens a store and checks what is in it.
func wantContents(t *testing.T, fsys *memfs.FS, o restart.Options, want contents) restart.RecoveryReport {
	t.Helper()
	got, rep, err := openAndRead(fsys, o)
	if err != nil {
		t.Fatalf("open and read: %v", err)
	}
	if d := diff(got, want); d != "" {
		t.Fatalf("%s\nrecovery: %v", d, rep)
	}
	return rep
}
