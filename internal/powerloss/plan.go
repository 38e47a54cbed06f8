package main

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/fastrestart/frs/internal/ledger"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs"
)

// moment is where in the life of a child its end comes.
type moment string

const (
	opening moment = "opening" // before it can write
	writing moment = "writing"
	closing moment = "closing"
	closed  moment = "closed" // after Close returned
)

// plan of one child's life. It is the argument of the child.
type plan struct {
	Dir     string // of the store
	Seed    uint64
	Version uint64 // the child uses higher ones

	At  moment
	Cut bool          // by a power failure; else the child is killed, or has closed
	Run time.Duration // of writing before the end, or before closing
	// Part of an open or a close, as long as the last one took, at which the
	// end comes.
	Part float64

	Batched     bool
	MaxDelay    time.Duration
	SegmentSize int64
	MemoryLimit int64
	Compression restart.Compression
	Compaction  restart.CompactionPolicy
	Load        restart.LoadMode
	Compact     bool // all the time
	Checkpoint  bool // all the time
	Session     int  // operations of a writer until the store is reopened; 0: never
	// Alone: nothing but the bound makes the log of a batched store durable.
	Alone bool
	// Lie: the syncs of the store do nothing.
	Lie bool
}

// newPlan draws a plan.
func newPlan(rng *rand.Rand) plan {
	p := plan{
		Seed:        rng.Uint64(),
		Batched:     rng.IntN(2) == 0,
		Alone:       rng.IntN(2) == 0,
		Run:         logUniform(rng, 10*time.Millisecond, 800*time.Millisecond),
		Part:        1.3 * rng.Float64(),
		MaxDelay:    pick(rng, 0, 10*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond),
		SegmentSize: pick[int64](rng, 64<<10, 64<<10, 256<<10, 1<<20, 0),
		MemoryLimit: pick[int64](rng, 4<<20, 64<<20),
		Compression: pick(rng, restart.CompressNone, restart.CompressS2, restart.CompressZstd),
		Compaction:  pick(rng, restart.SizeBased, restart.PerformanceBased),
		Load:        pick(rng, restart.Lazy, restart.Eager, restart.KeysOnly),
		Compact:     rng.IntN(2) == 0,
		Checkpoint:  rng.IntN(2) == 0,
		Session:     pick(rng, 0, 0, 10, 50),
	}
	switch n := rng.IntN(100); {
	case n < 50:
		p.At, p.Cut = writing, true
	case n < 65:
		p.At, p.Cut = opening, true
	case n < 72:
		p.At, p.Cut = closing, true
	case n < 78:
		p.At, p.Cut = closed, true
	case n < 88:
		p.At = writing
	case n < 95:
		p.At = opening
	default:
		p.At = closed
	}
	if p.Batched && p.At == writing && p.Cut && rng.IntN(3) == 0 {
		p.Run = ledger.Bound + 500*time.Millisecond + time.Duration(rng.Int64N(int64(time.Second)))
		p.MaxDelay = pick(rng, 0, ledger.Bound)
		p.Alone = true
	}
	if p.Alone && p.Batched {
		p.Compact, p.Checkpoint, p.Session = false, false, 0
	}
	return p
}

// options of the store.
func (p plan) options() restart.Options {
	o := restart.Options{
		Durability:  restart.Sync,
		MaxDelay:    p.MaxDelay,
		SegmentSize: p.SegmentSize,
		MemoryLimit: p.MemoryLimit,
		Compression: p.Compression,
		Compaction:  p.Compaction,
		Load:        p.Load,
	}
	if p.Batched {
		o.Durability = restart.Batched
	}
	if p.Lie {
		o.FS = liar{vfs.Default}
	}
	return o
}

func (p plan) mode() string {
	if p.Batched {
		return "batched"
	}
	return "sync"
}

// end says how the life ends.
func (p plan) end() string {
	switch {
	case p.Cut:
		return "cut " + string(p.At)
	case p.At == closed:
		return "closed"
	}
	return "killed " + string(p.At)
}

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

// logUniform draws a duration such that each order of magnitude is as likely.
func logUniform(rng *rand.Rand, low, high time.Duration) time.Duration {
	return time.Duration(float64(low) * math.Pow(float64(high)/float64(low), rng.Float64()))
}
