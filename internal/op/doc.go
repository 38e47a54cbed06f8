// Package op owns the payload of the log's data frames: what one record says.
//
// A record is one operation: [KindPut], [KindDelete], [KindClear],
// [KindRegionCreate], [KindRegionAlter], [KindRegionDrop], or one [KindBatch]
// that holds puts and deletes of any regions. The first byte is the kind.
// docs/format/op.md draws every layout.
//
// # Encoding
//
// The Append functions add one encoded operation to the caller's buffer and
// allocate nothing beyond what that buffer has to grow; [PutSize],
// [DeleteSize] and [BatchSize] tell the exact size beforehand. They do not
// check limits: a caller checks what a user handed in with [CheckKey],
// [CheckValue] and [CheckName] before it reserves anything.
//
// # Decoding
//
// [Decode] returns views into the payload and allocates nothing for puts and
// deletes. It is strict and canonical: there is exactly one way to write an
// operation, so what decodes re-encodes to the same bytes. Two kinds of
// failure must not be confused. [ErrCorrupt]: no version of this package
// writes such bytes. [ErrUnsupported]: a kind, a flag or an option this version does
// not know; since the bytes come from a frame whose checksum was verified,
// they were written by a later version and nothing is damaged.
//
// # Batches
//
// A batch begins with a table of fixed-size entries: where an operation is,
// how long it is, and a checksum of its bytes that is seeded with its number.
// A store reads a single operation of a batch of 1 GiB with two small reads:
// the entry at [EntryOffset], decoded by [ReadEntry], and the operation it
// points at, decoded by [DecodeAt]. Neither needs the frame's own checksum,
// which covers the whole payload.
package op
