// Package wal is a write-ahead log: an ordered set of segment files as one
// endless sequence of frames, addressed by byte. It can be used by itself.
//
//	l, err := wal.Open("data/log", wal.Options{})
//	p, err := l.Prepare(record, wal.WriteOptions{}) // may wait or fail
//	lsn, end := l.Append(&p)                        // cannot fail; the record has its place
//	err = l.Wait(end, wal.Sync)                     // durable
//	record, err = l.Read(lsn, nil)
//
// # Positions
//
// An [LSN] is a byte address. A frame's is where it starts, the next one's is
// where it ends: a hole cannot hide, and a position finds its file by
// arithmetic. Four of them describe a log:
//
//	First            Durable         Written          End
//	  |----------------|---------------|----------------|
//	    synced, names    in files,       in memory
//	    of files, too    not synced
//
// # Writing
//
// A write has three steps, so that a caller can hold a lock of its own around
// the middle one. [Log.Prepare] does all that may wait or fail; when it fails,
// nothing has happened. [Log.Append] gives the write its place; it cannot fail
// and does no I/O. [Log.Wait] returns when it may be acknowledged, by its
// [Durability]. A failure of Wait is [ErrInDoubt]: the write is in the log, and
// what reached the disk decides whether it is there after the next Open.
//
// Sync writers share syncs (fsync.Group). Batched writes are durable within
// Policy.MaxDelay on a disk that completes its syncs in time; in any case
// acknowledged writes that are not durable never span more than
// Policy.HardBound, because writers then wait.
//
// What survives a power failure is always a prefix of the log, with everything
// in it that was acknowledged as durable.
//
// # Failures
//
// A full disk is noticed before a write has its place: Prepare fails with
// [ErrFull], and the log resumes by itself. One segment's worth of space is
// kept for WriteOptions.System. What else keeps the next segment's file from being
// made is [ErrNoFile], and passes in the same way. A failed sync, or a write that fails for another
// reason, poisons the log: nothing is acknowledged any more, reads go on
// ([ErrPoisoned]). Open the log again to recover.
//
// # Segments and epochs
//
// A segment file is named by its first LSN and its epoch. Nothing is ever
// appended to a file found at open: the first write begins a segment of the next
// epoch, whose header says where it cuts its predecessor. [Log.TruncateBack]
// works the same way. Bytes of a lower epoch at or above a cut are not part of
// the log, whatever they look like, and a fresh salt under every checksum makes
// stale bytes invalid besides. Old files are never edited.
//
// [Log.Release] moves the low-water mark and removes the files wholly below it.
//
// # Crash windows
//
// The orders that make these safe are written down where they are kept:
//
//   - from one segment to the next: roll.go
//   - removing the front, truncating the back: release.go, truncate.go
//   - creating a log, removing leftovers: open.go, chain.go
//   - the unproven tail of an unclean stop: recover.go. Frames between the last
//     proof of durability and the end were perhaps never synced, and after a
//     failed sync the page cache shows what the disk does not have. They are
//     copied to a new file, which is synced, with its name, before anything is
//     acknowledged. Reads are served meanwhile.
//
// # Torn or corrupt
//
// [Open] reads the headers of all segments, unless it is told to trust what TAIL
// says of older ones, and of the newest one the frames that TAIL does not vouch
// for. Where these end in bytes that are no frame,
// function judge decides, by evidence: if a later frame, TAIL, the size of the
// file or the caller says that the log was durable further, it is damage; Open
// fails with a *segment.CorruptionError that names file, offset and the LSNs
// lost, and changes nothing. Otherwise it is a torn tail: cut, reported in
// [TailReport], and kept in a file beside.
//
// The last group synced before a crash has no later witness until a mark frame
// follows, ten milliseconds after it. Damage there cannot be told from a torn
// tail; the report says how many bytes were cut. After a clean [Log.Close], and
// in every segment but the newest, all damage is known as damage.
//
// Frames of older segments, and what TAIL vouches for, are checked when they
// are read.
//
// # Files
//
//	0000000000001000-00000001.seg                       a segment: base, epoch
//	next-00000003.seg.tmp                               prepared, not part of the log
//	TAIL                                                which segment must exist, how far it was durable, older headers
//	0000000000001000-00000001.seg.0000000000001238.torn what was cut off
//	LOCK                                                with Options.Lock
//
// Other files are left alone. docs/format/wal.md has the details.
//
// # One user
//
// A directory belongs to one Log at a time. The layer above usually locks its
// own directory; alone, set Options.Lock.
package wal
