package memfs

import (
	"io"
	"io/fs"
	"syscall"

	"github.com/fastrestart/frs/vfs"
)

// file is an open handle. Its fields but closed never change.
type file struct {
	fs     *FS
	node   *node
	name   string
	write  bool
	closed bool // under fs.mu
}

var _ vfs.File = (*file)(nil)

// Name implements [vfs.File].
func (f *file) Name() string { return f.name }

// Size implements [vfs.File].
func (f *file) Size() (int64, error) {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	if f.closed {
		return 0, f.error("stat", fs.ErrClosed)
	}
	return f.node.cur.size, nil
}

// ReadAt implements [vfs.File].
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	switch {
	case f.closed:
		return 0, f.error("read", fs.ErrClosed)
	case off < 0:
		return 0, f.error("read", fs.ErrInvalid)
	case len(p) == 0:
		return 0, nil
	}
	n := int(max(0, min(int64(len(p)), f.node.cur.size-off)))
	f.node.cur.load(p[:n], off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements [vfs.File].
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	n := 0
	err := f.modify("write", off, func() (Op, error) {
		if len(p) == 0 {
			return Op{}, nil
		}
		n = f.fs.fitting(&f.node.cur, off, len(p))
		var op Op
		if n > 0 {
			op = f.writeLocked(p[:n], off)
		}
		if n < len(p) {
			return op, syscall.ENOSPC
		}
		return op, nil
	})
	return n, err
}

func (f *file) writeLocked(p []byte, off int64) Op {
	c := &f.node.cur
	end := off + int64(len(p))
	first, last := off/SectorSize, (end-1)/SectorSize
	op := f.fs.next(Op{
		Kind: OpWrite, Name: f.name, Offset: off, Length: int64(len(p)),
		Sectors: int(last - first + 1), Grows: end > c.size,
	})
	if op.Grows {
		c.truncate(end)
	}
	c.store(p, off)
	image := make([]byte, op.Sectors*SectorSize)
	c.load(image, first*SectorSize)
	if isZero(image) {
		image = nil
	}
	f.node.pending = append(f.node.pending, &change{op: op, first: first, image: image, sectors: op.Sectors})
	return op
}

// fitting returns how many of n bytes at off there are blocks for.
func (m *FS) fitting(c *content, off int64, n int) int {
	first, last := int(off/pageSize), pagesOf(off+int64(n))-1
	if m.capacity == 0 || m.used+int64(c.holes(first, last))*pageSize <= m.capacity {
		return n
	}
	free := (m.capacity - m.used) / pageSize
	for i := first; i <= last; i++ {
		if free -= int64(c.holes(i, i)); free < 0 {
			return int(max(0, int64(i)*pageSize-off))
		}
	}
	return n
}

// Truncate implements [vfs.File].
func (f *file) Truncate(size int64) error {
	return f.modify("truncate", size, func() (Op, error) {
		c := &f.node.cur
		if size == c.size {
			return Op{}, nil
		}
		op := f.fs.next(Op{Kind: OpTruncate, Name: f.name, Length: size, Grows: size > c.size})
		c.truncate(size)
		f.node.pending = append(f.node.pending, &change{op: op})
		return op, nil
	})
}

// Allocate implements [vfs.File].
func (f *file) Allocate(size int64) error {
	return f.modify("allocate", size, func() (Op, error) {
		c := &f.node.cur
		holes := c.holes(0, pagesOf(size)-1)
		if m := f.fs; m.capacity > 0 && m.used+int64(holes)*pageSize > m.capacity {
			return Op{}, syscall.ENOSPC
		}
		if holes == 0 && size <= c.size {
			return Op{}, nil
		}
		op := f.fs.next(Op{Kind: OpAllocate, Name: f.name, Length: size, Grows: size > c.size})
		c.reserve(size)
		f.node.pending = append(f.node.pending, &change{op: op})
		return op, nil
	})
}

// modify runs fn under the lock and accounts for the blocks that it changes.
func (f *file) modify(what string, off int64, fn func() (Op, error)) error {
	return f.fs.change(what, f.name, func() (Op, error) {
		switch {
		case f.closed:
			return Op{}, fs.ErrClosed
		case !f.write:
			return Op{}, syscall.EBADF
		case off < 0:
			return Op{}, fs.ErrInvalid
		}
		before := f.node.cur.blocks
		op, err := fn()
		f.fs.used += int64(f.node.cur.blocks-before) * pageSize
		return op, err
	})
}

// Sync implements [vfs.File].
func (f *file) Sync() error { return f.sync(OpSync) }

// SyncData implements [vfs.File]. It does what Sync does.
func (f *file) SyncData() error { return f.sync(OpSyncData) }

func (f *file) sync(kind OpKind) error {
	if err := f.fs.askSync(Op{Kind: kind, Name: f.name}); err != nil {
		return f.failSync(kind, err)
	}
	return f.fs.change(kind.String(), f.name, func() (Op, error) {
		if f.closed {
			return Op{}, fs.ErrClosed
		}
		f.node.sync()
		return f.fs.next(Op{Kind: kind, Name: f.name}), nil
	})
}

// FailSync is a Sync that fails with err; see [FS.FailSync].
func (f *file) FailSync(err error) error { return f.failSync(OpSync, err) }

func (f *file) failSync(kind OpKind, err error) error {
	return f.fs.change(kind.String(), f.name, func() (Op, error) {
		if f.closed {
			return Op{}, fs.ErrClosed
		}
		f.node.failSync()
		return f.fs.next(Op{Kind: kind, Name: f.name, Err: err}), err
	})
}

// askSync asks the hook whether a sync is to fail.
func (m *FS) askSync(op Op) error {
	m.mu.RLock()
	ask := m.onSync
	m.mu.RUnlock()
	if ask == nil {
		return nil
	}
	return ask(op)
}

// FailSync does to the named file or directory what a sync does that fails with
// err, and returns err with the name added.
//
// A file's unsynced bytes become clean pages that are not on disk. They read
// back until the crash, no later sync makes them durable, and neither does
// writing those sectors of this file again, as ext4 has it for newly allocated
// blocks ("failed to convert unwritten extents"). Sizes are metadata: a later
// successful sync makes them durable, with zeros in place of the lost bytes.
//
// A directory's changes stay pending: they may survive, and a later successful
// SyncDir makes them durable.
func (m *FS) FailSync(name string, err error) error {
	return m.change("sync", name, func() (Op, error) {
		n, lerr := m.lookup(name)
		if lerr != nil {
			return Op{}, lerr
		}
		op := Op{Kind: OpSync, Name: name, Err: err}
		if n.isDir {
			op.Kind = OpSyncDir
		} else {
			n.failSync()
		}
		return m.next(op), err
	})
}

// Close implements [vfs.File].
func (f *file) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return f.error("close", fs.ErrClosed)
	}
	f.closeLocked()
	return nil
}

func (f *file) closeLocked() {
	f.closed = true
	delete(f.fs.open, f)
	f.node.handles--
	f.fs.release(f.node)
}

func (f *file) error(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

type sharedLock struct{ f *file }

// Close releases the lock.
func (l *sharedLock) Close() error {
	m := l.f.fs
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.f.closed {
		return l.f.error("unlock", fs.ErrClosed)
	}
	if n := l.f.node; n.exclusive {
		n.exclusive = false
	} else {
		n.sharers--
	}
	l.f.closeLocked()
	return nil
}

type exclusiveLock struct{ sharedLock }

// WriteAt writes into the lock file.
func (l *exclusiveLock) WriteAt(p []byte, off int64) (int, error) { return l.f.WriteAt(p, off) }
