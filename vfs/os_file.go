package vfs

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// osFile forwards to an *os.File, which repeats interrupted calls, continues
// short writes, and keeps the descriptor open while a call is in it.
type osFile struct {
	f    *os.File
	raw  syscall.RawConn
	name string
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error)  { return f.f.ReadAt(p, off) }
func (f *osFile) WriteAt(p []byte, off int64) (int, error) { return f.f.WriteAt(p, off) }
func (f *osFile) Close() error                             { return f.f.Close() }
func (f *osFile) Sync() error                              { return f.f.Sync() }
func (f *osFile) SyncData() error                          { return syncData(f) }
func (f *osFile) Truncate(size int64) error                { return f.f.Truncate(size) }
func (f *osFile) Name() string                             { return f.name }

func (f *osFile) Size() (int64, error) {
	st, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f *osFile) Allocate(size int64) error {
	if size < 0 {
		return &fs.PathError{Op: "allocate", Path: f.name, Err: fs.ErrInvalid}
	}
	err := reserve(f, size)
	if errors.Is(err, errors.ErrUnsupported) {
		return f.appendZeros(size)
	}
	return err
}

// appendZeros writes zeros from the end of the file up to size.
func (f *osFile) appendZeros(size int64) error {
	off, err := f.Size()
	if err != nil || off >= size {
		return err
	}
	zeros := make([]byte, min(size-off, 256<<10))
	for off < size {
		n, err := f.f.WriteAt(zeros[:min(size-off, int64(len(zeros)))], off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// control calls fn with the descriptor, again if it was interrupted, and adds
// the file's name to the error. The descriptor stays open meanwhile.
func (f *osFile) control(op string, fn func(fd uintptr) error) error {
	var err error
	cerr := f.raw.Control(func(fd uintptr) {
		for {
			if err = fn(fd); err != syscall.EINTR {
				return
			}
		}
	})
	if cerr != nil { // the only reason is that the file is closed
		err = fs.ErrClosed
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: f.name, Err: err}
	}
	return nil
}
