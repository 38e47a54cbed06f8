package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/fastrestart/frs/internal/ledger"
	"github.com/fastrestart/frs/restart"
)

// moment is where in the life of a child its end comes.
type moment string

const (
	opening moment = "opening" // before it can write
	loading moment = "loading" // just after it can
	writing moment = "writing"
	closing moment = "closing"
	closed  moment = "closed" // by itself, when it is told to
)

var moments = [...]moment{closed, writing, opening, loading, closing}

// plan of one child's life. It is the argument of the child.
type plan struct {
	Dir     string // of the store
	Seed    uint64
	Version uint64 // the child uses higher ones

	At  moment
	Run time.Duration // of writing before the end, or before closing
	// Part of an open or a close, as long as the last one took, at which the
	// end comes.
	Part float64
}

// newPlan draws the plan of a child that writes for at most so long.
func newPlan(rng *rand.Rand, longest time.Duration) plan {
	p := plan{
		Seed: rng.Uint64(),
		Run:  logUniform(rng, 50*time.Millisecond, max(longest, 51*time.Millisecond)),
		Part: 1.2 * rng.Float64(),
	}
	switch n := rng.IntN(100); {
	case n < 45:
		p.At = writing
	case n < 58:
		p.At = opening
	case n < 70:
		p.At, p.Run = loading, time.Duration(rng.Int64N(int64(20*time.Millisecond)))
	case n < 78:
		p.At = closing
	default:
		p.At = closed
	}
	return p
}

// settings of one session: from an open to a close.
type settings struct {
	restart.Options
	run time.Duration
	// checkpoint and compact all the time, however little there is to do.
	checkpoint, compact bool
}

// newSettings draws them.
func newSettings(rng *rand.Rand) settings {
	s := settings{
		Options: restart.Options{
			Durability:    pick(rng, restart.Inherit, restart.Batched, restart.Batched, restart.Never, restart.Sync),
			MaxDelay:      pick(rng, 0, 10*time.Millisecond, 100*time.Millisecond),
			SegmentSize:   pick[int64](rng, 64<<10, 256<<10, 1<<20, 4<<20, 0),
			MemoryLimit:   pick[int64](rng, 4<<20, 4<<20, 12<<20, 64<<20),
			Compression:   pick(rng, restart.CompressNone, restart.CompressNone, restart.CompressS2, restart.CompressZstd),
			Compaction:    pick(rng, restart.SizeBased, restart.SizeBased, restart.PerformanceBased, restart.NoCompaction),
			RestartBudget: pick(rng, 0, time.Millisecond, 10*time.Millisecond),
			Load:          pick(rng, restart.Lazy, restart.Eager, restart.KeysOnly),
		},
		run:        logUniform(rng, 100*time.Millisecond, 4*time.Second),
		checkpoint: rng.IntN(3) == 0,
		compact:    rng.IntN(4) == 0,
	}
	if s.Compaction == restart.NoCompaction {
		s.compact = true // or the disk would fill
	}
	return s
}

func (s settings) String() string {
	return fmt.Sprintf("durability %v, delay %v, segment %d, memory %d, compression %v, %v, budget %v, load %v, checkpoint %t, compact %t",
		s.Durability, s.MaxDelay, s.SegmentSize, s.MemoryLimit, s.Compression, s.Compaction, s.RestartBudget, s.Load, s.checkpoint, s.compact)
}

const (
	workers       = 4
	keysPerWorker = 200 // in each region
)

// The regions. Entries of plain never expire; transient comes and goes.
const (
	mixed = iota
	plain
	transient
)

var regionNames = [...]string{mixed: "mixed", plain: "plain", transient: "transient"}

// keyName is a key as pipe and ledger know it. One in 50 is long.
func keyName(region, worker, n int) string {
	key := fmt.Sprintf("%s/w%d-%03d", regionNames[region], worker, n)
	if n%50 == 0 {
		key += strings.Repeat("k", 200)
	}
	return key
}

// inRegion is the key as the region knows it.
func inRegion(name string) []byte {
	_, key, _ := strings.Cut(name, "/")
	return []byte(key)
}

// values of all keys, by their name.
var values ledger.Values = func(rng *rand.Rand) int {
	switch n := rng.IntN(1000); {
	case n < 3:
		return 256<<10 + rng.IntN(512<<10)
	case n < 20:
		return 8<<10 + rng.IntN(56<<10)
	case n < 60:
		return 0
	}
	return rng.IntN(2 << 10)
}

// timesToLive of entries that have one: some are over soon.
func timeToLive(rng *rand.Rand) time.Duration {
	if rng.IntN(2) == 0 {
		return time.Hour
	}
	return logUniform(rng, time.Millisecond, 10*time.Second)
}

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

// logUniform draws a duration such that each order of magnitude is as likely.
func logUniform(rng *rand.Rand, low, high time.Duration) time.Duration {
	return time.Duration(float64(low) * math.Pow(float64(high)/float64(low), rng.Float64()))
}
