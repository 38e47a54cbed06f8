package vfs

import (
	"errors"
	"io"
)

// ErrLocked is returned by [FS.Lock] when another open file description, in
// this process or another, holds a conflicting lock.
var ErrLocked = errors.New("vfs: locked")

// LockMode says whether a lock excludes everybody or only exclusive holders.
type LockMode int

const (
	// Exclusive excludes every other holder. The lock file is created if it
	// does not exist.
	Exclusive LockMode = iota
	// Shared excludes exclusive holders only. The lock file is opened
	// read-only and must exist: a reader creates nothing.
	Shared
)

// FS is the part of a file system that a log needs. Names are paths in the
// host's syntax. All methods may be called concurrently.
//
// Durability is stated per method, and nothing more may be assumed: a change
// of a directory (a name that appears, disappears or moves) survives a power
// failure only once [FS.SyncDir] of that directory has returned nil; the bytes
// and the size of a file survive only once [File.Sync] or [File.SyncData] has
// returned nil, whatever became of its name.
//
// Errors wrap those of package io/fs where they apply (fs.ErrNotExist,
// fs.ErrExist) and the operating system's errno (syscall.ENOSPC, syscall.EIO).
type FS interface {
	// Create makes a new empty file, opened for reading and writing. It fails
	// with fs.ErrExist if the name is taken. The name is durable after SyncDir
	// of its directory.
	Create(name string) (File, error)

	// Open opens an existing file for reading only. A directory cannot be
	// opened.
	Open(name string) (File, error)

	// OpenWrite opens an existing file for reading and writing.
	OpenWrite(name string) (File, error)

	// Rename moves a file or a directory to newname, replacing a file that is
	// there; it fails with fs.ErrExist if a directory is there. After a power
	// failure newname is the old file or the new one, never a mixture. Within
	// one directory a rename survives entirely or not at all, which is certain
	// after SyncDir. Between two directories SyncDir of the new one makes the
	// new name certain, and SyncDir of the old one that the old name is gone;
	// before that the file may have both names, but never none. Rename does
	// not order the file's data before its name: sync the file first.
	Rename(oldname, newname string) error

	// Link makes newname a second name of the file oldname. It fails with
	// fs.ErrExist if newname is taken. Durable as for Create.
	Link(oldname, newname string) error

	// Remove removes a file or an empty directory. A power failure before
	// SyncDir may undo it. Files that are open stay readable and writable, and
	// keep their space, until they are closed.
	Remove(name string) error

	// MkdirAll makes a directory and its missing parents, and syncs the parent
	// of each directory it made, so that the new path is durable on return.
	MkdirAll(name string) error

	// List returns the base names in a directory, sorted.
	List(dir string) ([]string, error)

	// Stat describes a file or directory.
	Stat(name string) (Info, error)

	// SyncDir makes all changes of names in the directory durable.
	SyncDir(dir string) error

	// Lock takes an advisory lock on the named file for as long as the returned
	// Closer is open, and fails with ErrLocked at once if it is taken. The
	// operating system drops it when the process dies. The returned value may
	// implement io.WriterAt (exclusive locks do), to say who holds it.
	Lock(name string, mode LockMode) (io.Closer, error)

	// Free returns the bytes available to this process on the file system that
	// holds the directory, and its total size.
	Free(dir string) (free, total int64, err error)
}

// File is an open file. ReadAt and WriteAt may be called concurrently with
// each other; a WriteAt that overlaps another WriteAt or a Truncate must not.
type File interface {
	// ReadAt reads as io.ReaderAt says: fewer bytes than asked for only with
	// a non-nil error, io.EOF at the end of the file.
	io.ReaderAt

	// WriteAt writes as io.WriterAt says. It borrows p for the call. After a
	// power failure before the next sync, each sector of the written range
	// holds the old or the new bytes, in any combination, and a size that grew
	// may have grown without its bytes (which then read as zeros).
	io.WriterAt

	// Close releases the handle. It makes nothing durable.
	io.Closer

	// Sync makes bytes, size and allocation durable (fsync). After an error
	// the unsynced bytes must be taken for lost even though they can be read
	// back: the kernel calls the pages clean and never writes them again.
	Sync() error

	// SyncData makes bytes and size durable (fdatasync). Errors as for Sync.
	SyncData() error

	// Truncate sets the size. Bytes beyond an old smaller size read as zeros.
	// Durable after Sync.
	Truncate(size int64) error

	// Allocate reserves disk space for the first size bytes and sets the
	// file's size to at least that, the new bytes reading as zeros, so that
	// later writes below size do not fail for want of space. Where the
	// platform cannot reserve, zeros are written from the current end up to
	// size, so nobody may write there meanwhile. After an error the size may
	// be anything between the old one and the wanted one. Durable after Sync.
	Allocate(size int64) error

	// Size returns the current size in bytes.
	Size() (int64, error)

	// Name returns the name the file was opened with.
	Name() string
}

// Prefetcher is a File that can be told what will be read soon.
type Prefetcher interface {
	// Prefetch asks for n bytes at off to be brought into memory meanwhile. It
	// does not wait for the disk, and does not say whether anything came of it.
	Prefetch(off, n int64)
}

// Info describes a file or directory.
type Info struct {
	Size  int64
	IsDir bool
	// Links is the number of names of a file; 1 where the platform does not
	// say.
	Links int
}
