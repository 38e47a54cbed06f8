// Package restart is a store of regions (maps of bytes to bytes) that live in
// memory and survive: every change is recorded in a log, and after a restart
// the store answers at once, whatever its size.
//
//	st, err := restart.Open("data", restart.Options{})
//	r, err := st.Region("sessions", restart.RegionOptions{})
//	err = r.Put([]byte("key"), []byte("value"))
//	value, err := r.Get([]byte("key"))
//	err = st.Close()
//
// # Durability
//
// A write is Batched unless the store, its region or the write itself says
// otherwise: it returns at once and is durable within Options.MaxDelay (2 s).
// Whatever the disk does, acknowledged writes that are not durable yet never
// span more than 3 s: writers wait. A Sync write returns when it is durable;
// concurrent ones share one sync. What survives a crash is always a prefix of
// the order in which writes were logged; a [Batch] is one record in it. In
// every mode a read may return a value that is not durable yet.
//
// An error other than ErrInDoubt means that nothing happened. After a failed
// sync the store is poisoned: reads go on, writes fail until it is reopened.
//
// # Memory
//
// Keys, values and the index are outside the garbage collector's heap, bounded
// by Options.MemoryLimit. Above it values leave memory, least recently used
// first, and are read from the log when asked for; nothing is written for
// that. Keys stay.
//
// # Disk
//
// The log is a sequence of segment files. [CompactionPolicy] says how the
// garbage in it is collected: always the oldest segment, its live records
// appended anew, so that whatever a deletion hides is gone from disk before
// the deletion is. Images of the index ([Store.Checkpoint]) bound what an open
// has to read; losing any of them costs time, never data. The directory's
// layout is in docs/format/store.md.
//
// # Restart
//
// Open reads the newest image's list of parts and replays the log behind it;
// parts are read when first used. The background loads the rest: by a look at the
// whole log where memory has room for it and little of it is garbage, otherwise keys
// first and then values, newest first. With [Eager] Open does that itself. [Store.Recovery] says which
// rung of the ladder an open took, and why not a quicker one: clean image, image
// and tail, older image and tail, full scan.
//
// Open fails on damage that would lose acknowledged data, with a positioned
// [segment.CorruptionError], and changes nothing on disk. Of older segments it
// may look at the names only; damage in them is told by Events.LoadFailed soon
// after, and by the read that meets it. What was cut from an
// unfinished end is kept beside the segment and reported.
//
// # Concurrency
//
// All methods of Store and Region may be called concurrently. Slices passed in
// are borrowed for the call; slices returned belong to the caller. Iterators
// hold no lock while they yield.
package restart
