package wal

import (
	"errors"
	"fmt"
	"time"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
)

// LSN is a byte address in the log.
type LSN = segment.LSN

// Durability says when a write is made durable.
type Durability = fsync.Durability

// The durabilities.
const (
	Inherit = fsync.Inherit
	Sync    = fsync.Sync
	Batched = fsync.Batched
	Never   = fsync.Never
)

// Compression says whether payloads are stored compressed.
type Compression = segment.Codec

// The compressions. A payload is compressed only when it has 512 B to 4 MiB and
// at least one eighth is saved.
const (
	None = segment.None
	S2   = segment.S2
	Zstd = segment.Zstd
)

// Sizes.
const (
	// DefaultSegmentSize is the soft size of a segment file.
	DefaultSegmentSize = 64 << 20
	// MinSegmentSize is the smallest soft size.
	MinSegmentSize = 64 << 10
	// DefaultMaxUnwritten is how many bytes may wait in memory to be written.
	DefaultMaxUnwritten = 64 << 20
)

// Options of Open. The zero value is good.
type Options struct {
	// FS is the file system. nil: vfs.Default.
	FS vfs.FS
	// SegmentSize is the soft size of a segment file, header included; one
	// record may exceed it. 0: DefaultSegmentSize; at least MinSegmentSize.
	SegmentSize int64
	// Policy says how writes become durable. The zero value: batched, 2 s, 3 s.
	Policy fsync.Policy
	// Compression of payloads; None by default.
	Compression Compression
	// MaxUnwritten is how many bytes may wait in memory to be written before
	// writers wait. 0: DefaultMaxUnwritten.
	MaxUnwritten int64
	// StoreID and Lineage say whose log it is. Zero: random when the log is
	// created, as found when it is opened. A value that is not zero and not
	// the log's is ErrForeign.
	StoreID, Lineage [16]byte
	// FirstLSN is where a log that is created starts. 0: segment.FirstLSN.
	FirstLSN LSN
	// KnownDurable is evidence from above: the log was durable at least to
	// here. A log that ends before is damaged. 0: none.
	KnownDurable LSN
	// ReadOnly never creates, cuts, renames or removes a file.
	ReadOnly bool
	// Held makes Open change nothing in a log that it finds until [Log.Start] is
	// called, so that whoever verifies more of it first can refuse it as it was.
	// Until then it can be read and closed, not written.
	Held bool
	// TrustTail makes Open believe what TAIL says of the headers of older
	// segments, so that it opens as fast with a thousand of them as with one.
	// They are opened, and their headers checked, when they are first read, or by
	// [Log.CheckHeaders]. Off by default: Open reads each header.
	TrustTail bool
	// Lock takes the lock file LOCK in the directory; shared for ReadOnly, and
	// then it must exist. Off by default: the owner of the directory above
	// locks it.
	Lock bool
	// Time returns the store time, unix ns, for headers and marks. nil: the
	// wall clock. Values below the highest seen are raised to it.
	Time func() int64
	// Events are told what happens.
	Events Events

	random func() uint64 // tests: salts and ids
}

// WriteOptions of one write.
type WriteOptions struct {
	// Durability of the write. Batched arms the background sync. Sync does
	// not: the caller waits. Inherit takes the policy's.
	Durability Durability
	// System draws on the log's reserve of disk space, so that compaction and
	// checkpoints can run on a disk too full for users.
	System bool
}

// withDefaults returns o with zero fields replaced, or everything that is wrong
// with it.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	if o.SegmentSize < MinSegmentSize || o.SegmentSize > 1<<40 {
		errs = append(errs, fmt.Errorf("wal: options: SegmentSize %d is not between %d and 1 TiB", o.SegmentSize, MinSegmentSize))
	}
	if err := o.Policy.Validate(); err != nil {
		errs = append(errs, err)
	}
	o.Policy = o.Policy.WithDefaults()
	if o.Compression > Zstd {
		errs = append(errs, fmt.Errorf("wal: options: unknown compression %d", o.Compression))
	}
	if o.MaxUnwritten == 0 {
		o.MaxUnwritten = DefaultMaxUnwritten
	}
	if o.MaxUnwritten < 0 {
		errs = append(errs, fmt.Errorf("wal: options: MaxUnwritten %d is negative", o.MaxUnwritten))
	}
	if o.FirstLSN == 0 {
		o.FirstLSN = segment.FirstLSN
	}
	if o.FirstLSN%segment.Align != 0 || o.FirstLSN >= segment.MaxLSN {
		errs = append(errs, fmt.Errorf("wal: options: FirstLSN %d is not a multiple of %d below 2^60", o.FirstLSN, segment.Align))
	}
	if o.Time == nil {
		o.Time = func() int64 { return time.Now().UnixNano() }
	}
	if o.random == nil {
		o.random = random64
	}
	return o, errors.Join(errs...)
}
