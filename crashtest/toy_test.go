package crashtest_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fastrestart/frs/crashtest"
	"github.com/fastrestart/frs/vfs"
)

// toy is a log of strings: segments of three records each, which a compaction
// folds into the file "snap". It is right unless it is told to make a mistake.
//
//	seg-0001 | len crc data | len crc data | ...
//	snap     | number of the first segment that counts | len crc data ...
type toy struct {
	fs      vfs.FS
	dir     string
	wrong   mistake
	records []string
	seg     int // number of the newest segment
	cur     vfs.File
	off     int64
	n       int // records in cur
	failed  error
}

type mistake string

const perSegment = 3

var errDamaged = errors.New("toy: damaged")

func openToy(wrong mistake) func(fsys vfs.FS, dir string) (*toy, error) {
	return func(fsys vfs.FS, dir string) (*toy, error) {
		t := &toy{fs: fsys, dir: dir, wrong: wrong}
		if err := t.recover(); err != nil {
			return nil, err
		}
		return t, nil
	}
}

func (t *toy) path(name string) string { return filepath.Join(t.dir, name) }

func (t *toy) segName(n int) string { return t.path(fmt.Sprintf("seg-%04d", n)) }

func (t *toy) recover() error {
	names, err := t.fs.List(t.dir)
	if err != nil {
		return err
	}
	first := 1
	if slices.Contains(names, "snap") {
		data, err := t.read(t.path("snap"))
		if err != nil {
			return err
		}
		if len(data) < 4 {
			return errDamaged
		}
		first = int(binary.LittleEndian.Uint32(data))
		if good := t.decode(data[4:]); good != len(data)-4 {
			return errDamaged
		}
	}
	// The snapshot may have its name in memory only, if the process died.
	if t.wrong != "recovery removes too early" {
		if err := t.fs.SyncDir(t.dir); err != nil {
			return err
		}
	}
	segs, err := t.segments(names, first)
	if err != nil {
		return err
	}
	t.seg = first - 1
	for i, n := range segs {
		if err := t.replay(n, i == len(segs)-1); err != nil {
			return errors.Join(err, t.close())
		}
		t.seg = n
	}
	return t.fs.SyncDir(t.dir)
}

// segments returns the numbers of the segments that count and removes others.
func (t *toy) segments(names []string, first int) (segs []int, err error) {
	for _, name := range names {
		n := 0
		if _, err := fmt.Sscanf(name, "seg-%d", &n); err != nil || filepath.Ext(name) != "" {
			continue
		}
		if n >= first || t.wrong == "believe old segments" {
			segs = append(segs, n)
		} else if err := t.fs.Remove(t.path(name)); err != nil {
			return nil, err
		}
	}
	return segs, nil
}

// replay reads a segment. What is good of the newest one goes into a new file:
// bytes that no successful sync covers may be there in memory only, even if a
// later sync succeeds.
func (t *toy) replay(n int, newest bool) error {
	data, err := t.read(t.segName(n))
	if err != nil {
		if t.wrong == "read error is the end" {
			return nil
		}
		return err
	}
	good := t.decode(data)
	switch {
	case !newest && good < len(data):
		return errDamaged
	case !newest, t.wrong == "show what is not durable" && good == len(data):
		return nil
	case t.wrong == "append to the old file":
		t.cur, err = t.fs.OpenWrite(t.segName(n))
		t.off, t.n = int64(len(data)), 0
		return err
	case t.wrong == "trust the page cache":
		return t.with(n, func(f vfs.File) error { return errors.Join(f.Truncate(int64(good)), f.Sync()) })
	}
	return t.publish(t.segName(n), data[:good])
}

func (t *toy) with(n int, fn func(vfs.File) error) error {
	f, err := t.fs.OpenWrite(t.segName(n))
	if err != nil {
		return err
	}
	return errors.Join(fn(f), f.Close())
}

func (t *toy) read(name string) ([]byte, error) {
	f, err := t.fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(f, 0, size))
}

// decode adds the records of data and returns the length of the good part.
func (t *toy) decode(data []byte) int {
	off := 0
	for len(data)-off > 8 {
		n := int(binary.LittleEndian.Uint32(data[off:]))
		sum := binary.LittleEndian.Uint32(data[off+4:])
		if n > len(data)-off-8 || n == 0 && t.wrong != "zeros are records" {
			break
		}
		rec := data[off+8 : off+8+n]
		if sum != crc32.ChecksumIEEE(rec) && t.wrong != "no checksum" {
			break
		}
		t.records = append(t.records, string(rec))
		off += 8 + n
	}
	return off
}

func encode(rec string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(rec)))
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE([]byte(rec)))
	return append(b, rec...)
}

// apply appends op, or compacts.
func (t *toy) apply(op string) error {
	if t.failed != nil {
		return t.failed
	}
	err := t.do(op)
	if t.wrong != "go on after a failure" && t.wrong != "sync again" {
		t.failed = err
	}
	return err
}

func (t *toy) do(op string) error {
	if op == "compact" {
		return t.compact()
	}
	if t.cur == nil || t.n == perSegment {
		if err := t.roll(); err != nil {
			return err
		}
	}
	data := encode(op)
	n, err := t.cur.WriteAt(data, t.off)
	if t.wrong == "ignore a failed write" {
		err = nil
	}
	if t.wrong == "go on after a failure" {
		t.off += int64(n)
	} else {
		t.off += int64(len(data))
	}
	if err != nil {
		return err
	}
	switch t.wrong {
	case "acknowledge before fsync":
	case "sync again":
		if err = t.cur.SyncData(); err != nil {
			err = t.cur.SyncData()
		}
	default:
		err = t.cur.SyncData()
	}
	if err != nil {
		return err
	}
	t.records = append(t.records, op)
	t.n++
	return nil
}

func (t *toy) roll() error {
	if err := t.close(); err != nil {
		return err
	}
	f, err := t.fs.Create(t.segName(t.seg + 1))
	if err != nil {
		return err
	}
	t.seg++
	t.cur, t.off, t.n = f, 0, 0
	if t.wrong == "forget the directory" {
		return nil
	}
	return t.fs.SyncDir(t.dir)
}

func (t *toy) compact() error {
	if err := t.close(); err != nil {
		return err
	}
	names, err := t.fs.List(t.dir)
	if err != nil {
		return err
	}
	if t.wrong == "remove first" {
		err = t.removeSegments(names)
	}
	if err == nil {
		err = t.writeSnap()
	}
	if err == nil {
		err = t.removeSegments(names)
	}
	if err == nil && t.wrong != "forget the directory" {
		err = t.fs.SyncDir(t.dir)
	}
	return err
}

func (t *toy) removeSegments(names []string) error {
	for _, name := range names {
		if strings.HasPrefix(name, "seg-") {
			if err := t.fs.Remove(t.path(name)); err != nil && t.wrong != "remove first" {
				return err
			}
		}
	}
	return nil
}

func (t *toy) writeSnap() error {
	data := binary.LittleEndian.AppendUint32(nil, uint32(t.seg+1))
	for _, rec := range t.records {
		data = append(data, encode(rec)...)
	}
	return t.publish(t.path("snap"), data)
}

// publish makes data the content of the named file, durably and at once.
func (t *toy) publish(name string, data []byte) error {
	tmp := name + ".tmp"
	if t.wrong == "replace in place" {
		tmp = name
	}
	f, err := t.scratch(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Truncate(int64(len(data)))
	}
	if err == nil && t.wrong != "rename before sync" {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil && tmp != name {
		err = t.fs.Rename(tmp, name)
	}
	if err == nil && t.wrong != "remove before the rename is durable" {
		err = t.fs.SyncDir(t.dir)
	}
	return err
}

// scratch returns a file that no failed sync has spoilt.
func (t *toy) scratch(name string) (vfs.File, error) {
	if t.wrong == "replace in place" || t.wrong == "reuse the temporary file" {
		if f, err := t.fs.OpenWrite(name); err == nil {
			return f, nil
		}
	} else if err := t.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return t.fs.Create(name)
}

// close closes the current segment; the next append begins another one.
func (t *toy) close() error {
	if t.cur == nil {
		return nil
	}
	f := t.cur
	t.cur = nil
	return f.Close()
}

// checkToy opens what the crash left, compares, appends and opens again.
func checkToy(wrong mistake) func(vfs.FS, string, crashtest.Crash[string]) error {
	return func(fsys vfs.FS, dir string, c crashtest.Crash[string]) error {
		t, err := openToy(wrong)(fsys, dir)
		if err != nil {
			return err
		}
		recs := slices.Clone(t.records)
		if err := compareToy(recs, c); err != nil {
			return errors.Join(err, t.close())
		}
		if err := errors.Join(t.apply("one more"), t.close()); err != nil {
			return err
		}
		if t, err = openToy(wrong)(fsys, dir); err != nil {
			return err
		}
		defer t.close()
		if want := append(recs, "one more"); !slices.Equal(t.records, want) {
			return fmt.Errorf("after the crash, one more record and a second open: %q, want %q", t.records, want)
		}
		return nil
	}
}

// compareToy finds each record among the appends issued, in their order.
func compareToy(recs []string, c crashtest.Crash[string]) error {
	survived := make([]bool, len(c.Issued))
	for i, op := range c.Issued {
		if survived[i] = op == "compact"; !survived[i] && len(recs) > 0 && recs[0] == op {
			survived[i], recs = true, recs[1:]
		}
	}
	if len(recs) > 0 {
		return fmt.Errorf("record %q, which was not appended there", recs[0])
	}
	return c.Survivors(func(i int) bool { return survived[i] })
}

func toyConfig(wrong mistake, ops ...string) crashtest.Config[*toy, string] {
	return crashtest.Config[*toy, string]{
		Ops:   ops,
		Open:  openToy(wrong),
		Apply: (*toy).apply,
		Close: (*toy).close,
		Check: checkToy(wrong),
		Show:  func(t *toy) (string, error) { return strings.Join(t.records, " "), nil },
	}
}
