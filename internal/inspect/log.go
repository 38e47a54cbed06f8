package inspect

import (
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/wal"
)

// Segment is one file of the log.
type Segment struct {
	Name  string      `json:"name"`
	Base  segment.LSN `json:"base"`
	End   segment.LSN `json:"end,omitempty"` // 0: not known, the log did not open
	Epoch uint32      `json:"epoch"`
	Bytes int64       `json:"bytes"` // of the file
	// Sealed means that nothing will be written behind End, and that a footer
	// should say so.
	Sealed bool `json:"sealed"`
}

// Log is a log to be looked at. It may be used concurrently. Close it when done.
type Log struct {
	fs    vfs.FS
	dir   string
	store *Store // nil: a log alone
	segs  []Segment
	// wal is the open log, tail what opening it found; refused is why it did
	// not open.
	wal     *wal.Log
	tail    wal.TailReport
	refused *segment.CorruptionError
}

// Open finds the log in dir. A log that is damaged opens all the same. With
// lock, the log's own lock is held, shared, where it has one; a store's log has
// none, the store is locked by the caller.
//
// The error wraps fs.ErrNotExist if there is no log, vfs.ErrLocked if it is in
// use, segment.ErrVersion if it is of another version, or is the file system's.
func Open(fsys vfs.FS, dir string, lock bool) (*Log, error) {
	return start(&Log{fs: fsys, dir: dir}, lock)
}

func start(l *Log, lock bool) (*Log, error) {
	if err := l.open(lock); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Log) open(lock bool) (err error) {
	o := wal.Options{FS: l.fs, ReadOnly: true, Lock: lock}
	if l.store != nil {
		o.StoreID, o.Lineage, o.KnownDurable = l.store.StoreID, l.store.Lineage, l.images().Promised(l.dir)
	}
	l.wal, err = wal.Open(l.dir, o)
	if lock && errors.Is(err, fs.ErrNotExist) {
		o.Lock = false // never locked by anybody
		l.wal, err = wal.Open(l.dir, o)
	}
	if errors.As(err, &l.refused) {
		return l.list()
	}
	if err != nil {
		return err
	}
	l.tail = l.wal.Tail()
	for _, s := range l.wal.Segments() {
		l.segs = append(l.segs, Segment{Name: s.Name, Base: s.Base, End: s.End, Epoch: s.Epoch, Bytes: s.Bytes, Sealed: s.Sealed})
	}
	return nil
}

// Close releases files and lock.
func (l *Log) Close() error {
	if l.wal == nil {
		return nil
	}
	return l.wal.Close()
}

// list finds every segment file, in the order of the log.
func (l *Log) list() error {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		base, epoch, ok := segment.ParseFileName(name)
		if !ok {
			continue
		}
		info, err := l.fs.Stat(filepath.Join(l.dir, name))
		if err != nil {
			return err
		}
		l.segs = append(l.segs, Segment{Name: name, Base: base, Epoch: epoch, Bytes: info.Size})
	}
	slices.SortFunc(l.segs, func(a, b Segment) int {
		return cmp.Or(cmp.Compare(a.Base, b.Base), cmp.Compare(a.Epoch, b.Epoch))
	})
	return nil
}
