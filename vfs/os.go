package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"syscall"
)

const (
	filePerm = 0o644
	dirPerm  = 0o755
)

// OS is the operating system's file system. It has no state: the zero value is
// ready for use and all values are equal.
type OS struct{}

// Default is the operating system's file system.
var Default OS

var _ FS = OS{}

// Create implements [FS].
func (OS) Create(name string) (File, error) {
	return open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// Open implements [FS].
func (OS) Open(name string) (File, error) {
	return open(name, os.O_RDONLY)
}

// OpenWrite implements [FS].
func (OS) OpenWrite(name string) (File, error) {
	return open(name, os.O_RDWR)
}

func open(name string, flag int) (File, error) {
	f, err := openFile(name, flag)
	if err != nil {
		return nil, err
	}
	// A directory where a file should be is reported here and not at the first
	// read.
	if flag&os.O_CREATE == 0 {
		if st, err := f.Stat(); err != nil || st.IsDir() {
			f.Close()
			if err == nil {
				err = &fs.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
			}
			return nil, err
		}
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &osFile{f: f, raw: raw, name: name}, nil
}

// Rename implements [FS].
func (OS) Rename(oldname, newname string) error { return os.Rename(oldname, newname) }

// Link implements [FS].
func (OS) Link(oldname, newname string) error { return os.Link(oldname, newname) }

// Remove implements [FS].
func (OS) Remove(name string) error { return os.Remove(name) }

// MkdirAll implements [FS].
func (o OS) MkdirAll(name string) error {
	name = filepath.Clean(name)
	switch st, err := os.Stat(name); {
	case err == nil && st.IsDir():
		return nil
	case err == nil:
		return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(name)
	if parent == name {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrNotExist}
	}
	if err := o.MkdirAll(parent); err != nil {
		return err
	}
	// If somebody else was faster, his sync may be still to come.
	if err := os.Mkdir(name, dirPerm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return o.SyncDir(parent)
}

// List implements [FS].
func (OS) List(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	return names, nil
}

// Stat implements [FS].
func (OS) Stat(name string) (Info, error) {
	st, err := os.Stat(name)
	if err != nil {
		return Info{}, err
	}
	if st.IsDir() {
		return Info{IsDir: true, Links: 1}, nil
	}
	links, err := linkCount(name, st)
	if err != nil {
		return Info{}, err
	}
	return Info{Size: st.Size(), Links: links}, nil
}

// SyncDir implements [FS]. On Windows it only checks that dir is a directory:
// directories cannot be synced there, and NTFS logs changes of names.
func (OS) SyncDir(dir string) error { return syncDir(dir) }

// Lock implements [FS]. The returned Closer of an exclusive lock is an
// [io.WriterAt]; what is written can be read by everybody.
func (OS) Lock(name string, mode LockMode) (io.Closer, error) {
	flag := os.O_RDONLY
	if mode == Exclusive {
		flag = os.O_RDWR | os.O_CREATE
	}
	f, err := openFile(name, flag)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f, mode); err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	if mode == Exclusive {
		return &exclusiveLock{f}, nil
	}
	return &sharedLock{f}, nil
}

// Free implements [FS].
func (OS) Free(dir string) (free, total int64, err error) {
	free, total, err = statfs(dir)
	if err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return free, total, nil
}

type sharedLock struct{ f *os.File }

// Close releases the lock.
func (l *sharedLock) Close() error { return l.f.Close() }

type exclusiveLock struct{ f *os.File }

// Close releases the lock.
func (l *exclusiveLock) Close() error { return l.f.Close() }

// WriteAt writes into the lock file.
func (l *exclusiveLock) WriteAt(p []byte, off int64) (int, error) { return l.f.WriteAt(p, off) }
