// Package memfs is a file system in memory that can clone itself as after a
// power failure. It keeps no more than [vfs.FS] promises, which is less than
// any real file system keeps: run on it, code that forgets a sync loses data.
//
//	m := memfs.New()
//	... run a workload on m, note what it was told is durable ...
//	after := m.CrashClone(memfs.Random(seed))
//	... open after, check ...
//
// # What survives
//
// A file has its content in the page cache and its content on disk, a directory
// has its names now and its names on disk, and between the two lies the list of
// operations that no sync covers. A sync moves its file or directory over.
// [FS.CrashClone] starts from the disk and adds what [Crash] chooses:
//
//   - Of a write, any set of its sectors of 512 bytes, and the size that it
//     gave to the file, each with or without the other. A sector holds what the
//     page cache held after the write, its neighbours' bytes included.
//   - Truncations and allocations entirely or not at all.
//   - A changed name entirely or not at all, whatever became of the data. A
//     rename replaces its target atomically. Within a directory it is one
//     change; between two, the new name and the removal of the old one become
//     durable by a sync of their own directory, and the removal never without
//     the new name.
//
// Everything is independent of everything else and of its order, up to the
// clone being possible at all. [FS.Pending] lists the operations, and
// Crash.Choose decides about each, so that crash states can be enumerated;
// [FS.OnOp] tells when there is a new one to look at. [FS.KillClone] is the
// other kind of end: the process dies, the kernel lives on.
//
// # What fails
//
// [FS.OnSync] and [FS.FailSync] make syncs fail as kernels let them fail: the
// data stay readable and are gone. [FS.SetCapacity] limits the space. For any
// other failure wrap the file system by package errfs.
//
// # What it costs
//
// Contents are copied on write in blocks of 4096 bytes, zeros take no memory,
// and a clone of a store with some dozens of files takes some ten microseconds.
// Unsynced writes are kept twice until they are synced.
package memfs
