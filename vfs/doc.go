// Package vfs is a small file system with stated durability semantics.
//
// Everything that reads or writes a file in this module does so through [FS],
// so that a test can put another file system beneath it:
//
//   - [Default] is the operating system's.
//   - vfs/memfs lives in memory and can clone itself as after a power failure,
//     losing what was not synced.
//   - vfs/errfs wraps any other and fails, shortens, delays or counts chosen
//     operations.
//   - vfs/vfstest is the conformance suite that all of them pass.
//
// # Durability
//
// The interface promises as little as POSIX does, and the comments of [FS] and
// [File] say it method by method. In short:
//
//	bytes and size of a file   survive once Sync or SyncData returned nil
//	a name in a directory      survives once SyncDir of the directory returned nil
//	everything else            may survive, entirely, in part, or not at all
//
// Parts are sectors of 512 bytes, and they survive independently of each other
// and of the file's size and name. Thus a new file is published with
//
//	f, err := fsys.Create(tmp)      // a name that recovery ignores
//	f.WriteAt(data, 0)
//	f.Sync()                        // bytes before name
//	f.Close()
//	fsys.Rename(tmp, name)          // atomic: old file or new file
//	fsys.SyncDir(dir)               // only now is it certain which
//
// with every error checked. After a Sync or SyncData that failed, the unsynced
// bytes read back and are not on disk, and a later successful sync does not
// bring them there: kernels mark the pages clean. What is still wanted must be
// written into another file.
//
// # The operating system's implementation
//
// [OS] uses pread and pwrite, handles interrupted calls and short writes, and
// opens files with close-on-exec.
//
//	           SyncData    Allocate      Lock         SyncDir
//	linux      fdatasync   fallocate     flock        fsync
//	darwin     F_FULLFSYNC writes zeros  flock        F_FULLFSYNC
//	other unix fsync       writes zeros  flock        fsync
//	windows    FlushFile   writes zeros  LockFileEx   nothing: NTFS logs names
//
// Locks belong to the open file, not to the process: a second Lock in the same
// process conflicts as one from another process does, and closing an unrelated
// handle of the file releases nothing. A lock file must not be removed while it
// may be in use; the next holder would lock another file.
package vfs
