// Package segment is one file of a log: its header, its frames, its footer; how
// they are written, read and found wanting.
//
// # Layout
//
//	offset 0        4096                                      size
//	       | header | frame | frame | ... | frame | [footer] | zeros |
//	LSN             base                          end
//
// The header fills a block of its own. Frames follow without gaps; a frame's
// LSN says where it lies: offset = HeaderSize + (LSN - base). The footer, which
// is optional for reading, seals a finished segment. What is allocated but not
// used reads as zeros, and zeros are never a frame.
//
//	frame: | crc32c | kind | codec | 0 | stored | raw | durable mark | xxhash64 | payload | zero pad |
//	           4       1      1      2     4      4         8             8                to 8
//
// The frame header's own checksum covers the segment's salt, the frame's LSN
// and the rest of the header, so bytes of another segment, another place or an
// earlier life never pass. The payload's hash needs neither: it is computed
// before the frame has a place.
//
// The durable mark says how far the log was known to be durable when the frame
// was appended. It is what tells damage from a torn tail: [FindEvidence]
// collects the promises that lie behind a bad frame, and package wal decides,
// in one place.
//
// docs/format/segment.md has the fields.
//
// # Reading
//
// [Scanner] is the one read loop. [Reader] reads single frames. Both check
// every byte they return, never allocate for a length that they have not
// checked against its header checksum, the limits and the file, and report
// damage as *[CorruptionError] with file, offset and LSN. An error that does
// not match [ErrCorrupt] means that the bytes could not be read, not that they
// are wrong.
//
// # Writing
//
// The package encodes ([Header.Append], [Stamp.Put], [Footer.Append]); when
// bytes go to which file, in which order and with which sync is package wal's.
package segment
