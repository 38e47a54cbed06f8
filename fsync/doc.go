// Package fsync is about when bytes become durable.
//
// [Durability] and [Policy] name the choices: sync, batched with a hard bound,
// never.
//
// [Group] is a group commit with leader, followers and reunion wait: one sync
// in flight, everybody who arrives meanwhile shares the next one, a failure
// fails all of them.
//
// [Pacer] keeps the batched bound: it says when a sync is due, and shuts a gate
// when acknowledged writes that are not durable threaten to span the hard
// bound, whatever the disk does.
//
// [Poison] keeps the first failure that ends all writing. After a failed fsync
// the kernel calls the pages clean that it never wrote; a second fsync returns
// nil and means nothing. So the first failure is final until the log is opened
// again, and what is then recovered is copied to a new file.
//
// [PublishFile] replaces a small file atomically and durably; [ReadFile] reads
// one without believing its size. [SyncAbove] makes the path to a directory
// durable.
package fsync
