package restart

import (
	"errors"
	"fmt"
	"time"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/wal"
)

// Durability says when a write is on disk; see package fsync.
type Durability = fsync.Durability

// The durabilities. Inherit is the zero value: a write inherits from its
// region, a region from its store, and a store that says nothing is Batched.
const (
	Inherit = fsync.Inherit
	Sync    = fsync.Sync
	Batched = fsync.Batched
	Never   = fsync.Never
)

// LSN is a position in the store's log, a byte address.
type LSN = wal.LSN

// Compression chooses how log frames are compressed; see package wal.
type Compression = wal.Compression

// The compressions. A frame is compressed only when that pays.
const (
	CompressNone = wal.None
	CompressS2   = wal.S2
	CompressZstd = wal.Zstd
)

// CompactionPolicy chooses between predictable disk space and predictable
// write speed.
type CompactionPolicy uint8

const (
	// SizeBased (default) keeps the log below about 1.7 times the live
	// records, and works as hard as that takes.
	SizeBased CompactionPolicy = iota
	// PerformanceBased lets the log grow to three times the live records and
	// never spends more than a fixed share of the writers' bandwidth on
	// collecting it, so that writes stay even and disk space does not.
	PerformanceBased
	// NoCompaction never collects by itself; [Store.Compact] still does.
	NoCompaction
)

func (p CompactionPolicy) String() string {
	switch p {
	case SizeBased:
		return "SizeBased"
	case PerformanceBased:
		return "PerformanceBased"
	case NoCompaction:
		return "NoCompaction"
	}
	return fmt.Sprintf("CompactionPolicy(%d)", uint8(p))
}

// Options of a store. The zero value is good: batched durability within two
// seconds, half of the machine's memory, size-based compaction.
type Options struct {
	// FS is the file system; nil: the operating system's.
	FS vfs.FS

	// Durability of every region and write that does not say its own; zero:
	// Batched.
	Durability Durability

	// MaxDelay bounds how long a batched write stays undurable on a disk that
	// completes its syncs in time; zero: 2 s, at most 3 s, which is the hard
	// bound after which writers wait.
	MaxDelay time.Duration

	// MemoryLimit bounds the bytes of keys, values and index in memory, all
	// regions together; zero: half of what the machine or its control group
	// allows. Above it values leave memory and are read from the log; keys
	// stay. At least 1 MiB.
	MemoryLimit int64

	// SegmentSize is the soft size of a log file in bytes; zero: live bytes
	// divided by 32, between 4 MiB and 64 MiB. At least 64 KiB.
	SegmentSize int64

	// Compression of log frames; zero: none.
	Compression Compression

	// Compaction policy; zero: SizeBased.
	Compaction CompactionPolicy

	// RestartBudget is how long an open after a crash may take until the first
	// read; checkpoints are paced to keep it. Zero: 1 s. It is a goal: what it
	// would take now is Metrics.PredictedRestart.
	RestartBudget time.Duration

	// Load says what Open brings into memory, and when; zero: Lazy.
	Load LoadMode

	// ReadOnly opens an existing store for reading, beside other readers. It
	// creates, cuts and changes no file, and excludes a writer.
	ReadOnly bool

	// MustExist makes Open fail with ErrNoStore where it would create a store.
	MustExist bool

	// Events are called as things happen; see Events.
	Events Events

	whole bool // of tests: load whole whatever fits
}

const minMemoryLimit = 1 << 20

// LoadMode says when an opened store is in memory. In every mode it is right
// from the start: what is not in memory is read when it is asked for.
type LoadMode uint8

const (
	// Lazy (default): Open returns at once; keys and values are loaded in the
	// background.
	Lazy LoadMode = iota
	// Eager: Open returns when everything is loaded that the memory limit
	// has room for. It reads the whole log, and no image unless memory is short.
	Eager
	// KeysOnly: keys are loaded in the background, values when they are read.
	KeysOnly
)

func (m LoadMode) String() string {
	switch m {
	case Lazy:
		return "Lazy"
	case Eager:
		return "Eager"
	case KeysOnly:
		return "KeysOnly"
	}
	return fmt.Sprintf("LoadMode(%d)", uint8(m))
}

// withDefaults checks every field, names every problem, and fills in what is
// zero.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, invalidf(format, args...)) }
	if o.Durability > Never {
		bad("Durability %v", o.Durability)
	}
	if o.MaxDelay < 0 || o.MaxDelay > fsync.DefaultHardBound {
		bad("MaxDelay %v, want 0 to %v", o.MaxDelay, fsync.DefaultHardBound)
	}
	if o.MemoryLimit < 0 || o.MemoryLimit > 0 && o.MemoryLimit < minMemoryLimit {
		bad("MemoryLimit %d, want 0 or at least %d", o.MemoryLimit, minMemoryLimit)
	}
	if o.SegmentSize < 0 || o.SegmentSize > 0 && o.SegmentSize < wal.MinSegmentSize {
		bad("SegmentSize %d, want 0 or at least %d", o.SegmentSize, wal.MinSegmentSize)
	}
	if o.Compression > CompressZstd {
		bad("Compression %d", o.Compression)
	}
	if o.Compaction > NoCompaction {
		bad("Compaction %v", o.Compaction)
	}
	if o.RestartBudget < 0 {
		bad("RestartBudget %v", o.RestartBudget)
	}
	if o.Load > KeysOnly {
		bad("Load %v", o.Load)
	}
	if len(errs) > 0 {
		return o, errors.Join(errs...)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.RestartBudget == 0 {
		o.RestartBudget = DefaultRestartBudget
	}
	if o.MemoryLimit == 0 {
		o.MemoryLimit = defaultMemoryLimit()
	}
	return o, nil
}

// Strategy says what becomes of a region's entries on disk.
type Strategy uint8

const (
	// StrategyDefault: as stored; LocalRestartable when the region is new.
	StrategyDefault Strategy = iota
	// LocalRestartable: every change is logged and survives a restart.
	LocalRestartable
	// LocalTempSwap: the disk only extends memory. Not in this version.
	LocalTempSwap
	// None: memory only. Not in this version.
	None
	// Distributed: the cluster keeps the data durable. Not in this version.
	Distributed
)

func (s Strategy) String() string {
	switch s {
	case StrategyDefault:
		return "default"
	case LocalRestartable:
		return "LocalRestartable"
	case LocalTempSwap:
		return "LocalTempSwap"
	case None:
		return "None"
	case Distributed:
		return "Distributed"
	}
	return fmt.Sprintf("Strategy(%d)", uint8(s))
}

// RegionOptions are kept in the log. The zero value creates a region with
// defaults; at reopen a zero field means "as stored".
type RegionOptions struct {
	// Strategy may not change once the region exists.
	Strategy Strategy

	// Durability of the region's writes; zero: the store's. It is an error to
	// give the store and the region two different values. It may change at
	// reopen, when no other handle of this process asked for another.
	Durability Durability

	// Ordered keeps the keys in order from the start. Without it the first
	// ordered scan builds the order and it is kept from then on, until the
	// store closes. Setting it later is allowed, unsetting is not.
	Ordered bool
}

// WriteOptions of one write.
type WriteOptions struct {
	// TTL is the time to live; zero: for ever. The expiry is absolute: it
	// passes while the store is closed as well.
	TTL time.Duration

	// Durability of this write; zero: the region's.
	Durability Durability
}

func (o WriteOptions) validate() error {
	if o.TTL < 0 {
		return invalidf("TTL %v is negative", o.TTL)
	}
	if o.Durability > Never {
		return invalidf("Durability %v", o.Durability)
	}
	return nil
}
