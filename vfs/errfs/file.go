package errfs

import (
	"io"
	"io/fs"
	"slices"
	"syscall"

	"github.com/fastrestart/frs/vfs"
)

type file struct {
	fs    *FS
	inner vfs.File
}

var _ vfs.File = (*file)(nil)

// Name implements [vfs.File].
func (f *file) Name() string { return f.inner.Name() }

// Size implements [vfs.File].
func (f *file) Size() (int64, error) { return f.inner.Size() }

// ReadAt implements [vfs.File].
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	v := f.fs.begin(Op{Kind: Read, Name: f.Name(), Offset: off, Length: int64(len(p))})
	n, err := 0, v.err
	if part := v.part(p); err == nil || len(part) > 0 {
		var rerr error
		n, rerr = f.inner.ReadAt(part, off)
		if err == nil {
			err = rerr
		}
	}
	for _, alter := range v.alter {
		alter(v.op, p[:n])
	}
	v.finish(err)
	return n, err
}

// WriteAt implements [vfs.File].
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	v := f.fs.begin(Op{Kind: Write, Name: f.Name(), Offset: off, Length: int64(len(p))})
	n, err := 0, v.err
	part := v.part(v.altered(p))
	if fits := f.fitting(len(part), off); fits < len(part) {
		part = part[:fits]
		if err == nil {
			err = &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
		}
	}
	if err == nil || len(part) > 0 {
		var werr error
		n, werr = f.inner.WriteAt(part, off)
		if err == nil {
			err = werr
		}
	}
	v.finish(err)
	return n, err
}

// part returns what of p is read or written in spite of a failure.
func (v *verdict) part(p []byte) []byte {
	if v.err != nil && !v.done {
		return p[:min(v.short, len(p))]
	}
	return p
}

// altered returns p, or a copy of it as the rules want it.
func (v *verdict) altered(p []byte) []byte {
	if len(v.alter) > 0 {
		p = slices.Clone(p)
		for _, alter := range v.alter {
			alter(v.op, p)
		}
	}
	return p
}

// Truncate implements [vfs.File].
func (f *file) Truncate(size int64) error {
	return f.resize(Op{Kind: Truncate, Name: f.Name(), Length: size}, f.inner.Truncate)
}

// Allocate implements [vfs.File].
func (f *file) Allocate(size int64) error {
	return f.resize(Op{Kind: Allocate, Name: f.Name(), Length: size}, f.inner.Allocate)
}

func (f *file) resize(op Op, resize func(int64) error) error {
	return f.fs.do(op, func() error {
		if grow := f.growth(op.Length); f.fs.space.take(grow, true) < grow {
			return &fs.PathError{Op: op.Kind.String(), Path: op.Name, Err: syscall.ENOSPC}
		}
		return resize(op.Length)
	})
}

// growth returns by how much the file grows to reach a size, where that is
// limited.
func (f *file) growth(size int64) int64 {
	if !f.fs.space.isLimited() {
		return 0
	}
	old, err := f.inner.Size()
	if err != nil {
		return 0 // the operation itself will say so
	}
	return max(0, size-old)
}

// fitting takes the space for n bytes at off and returns how many fit.
func (f *file) fitting(n int, off int64) int {
	grow := f.growth(off + int64(n))
	lack := grow - f.fs.space.take(grow, false)
	return max(0, n-int(min(lack, int64(n))))
}

// Sync implements [vfs.File].
func (f *file) Sync() error {
	v := f.fs.begin(Op{Kind: Sync, Name: f.Name()})
	return v.sync(f.inner.Sync, f.FailSync)
}

// SyncData implements [vfs.File].
func (f *file) SyncData() error {
	v := f.fs.begin(Op{Kind: SyncData, Name: f.Name()})
	return v.sync(f.inner.SyncData, f.FailSync)
}

// FailSync passes a failing sync on to a file system that can do it. It returns
// nil where there is none.
func (f *file) FailSync(err error) error {
	if inner, ok := f.inner.(interface{ FailSync(error) error }); ok {
		return inner.FailSync(err)
	}
	return nil
}

// Close implements [vfs.File]. A Close that fails has closed the file all the
// same, as the kernel's has.
func (f *file) Close() error {
	v := f.fs.begin(Op{Kind: Close, Name: f.Name()})
	v.done = true
	return v.do(func() error {
		f.fs.untrack(f)
		return f.inner.Close()
	})
}

type lock struct {
	fs    *FS
	inner io.Closer
	name  string
}

// Close releases the lock.
func (l *lock) Close() error {
	l.fs.untrack(l)
	return l.inner.Close()
}

type writerLock struct {
	*lock
	w io.WriterAt
}

// WriteAt writes into the lock file.
func (l *writerLock) WriteAt(p []byte, off int64) (n int, err error) {
	op := Op{Kind: Write, Name: l.name, Offset: off, Length: int64(len(p))}
	err = l.fs.do(op, func() (err error) {
		n, err = l.w.WriteAt(p, off)
		return err
	})
	return n, err
}
