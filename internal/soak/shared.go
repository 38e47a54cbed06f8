package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/fastrestart/frs/internal/ledger"
	"github.com/fastrestart/frs/restart"
)

func newRand(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// share does what all workers stop for.
func (c *user) share(ctx context.Context) error {
	rng := newRand(c.version.Load(), c.plan.Seed)
	for {
		sleep(ctx, logUniform(rng, 20*time.Millisecond, 2*time.Second))
		if ctx.Err() != nil {
			return nil
		}
		if err := c.alone(ctx, rng); err != nil {
			return err
		}
	}
}

func (c *user) alone(ctx context.Context, rng *rand.Rand) error {
	c.gate.Lock()
	defer c.gate.Unlock()
	switch n := rng.IntN(100); {
	case n < 25:
		return c.clear(rng.IntN(len(regionNames)))
	case n < 50:
		return c.recreate(transient, rng.IntN(2) == 0)
	case n < 80:
		return c.audit()
	}
	return c.settle(ctx)
}

// clear empties a region.
func (c *user) clear(r int) error {
	c.tally.add("clear", 1)
	return c.wipe(r, c.letter(restart.Inherit), c.regions[r].Load().Clear)
}

// recreate drops a region and creates it anew.
func (c *user) recreate(r int, ordered bool) error {
	c.tally.add("drop", 1)
	return c.wipe(r, ledger.Never, func() error {
		if err := c.st.DropRegion(regionNames[r]); err != nil {
			return err
		}
		fresh, err := c.st.Region(regionNames[r], restart.RegionOptions{Ordered: ordered})
		c.regions[r].Store(fresh)
		return err
	})
}

// wipe does what removes everything from a region, said before and after. It
// gets no position; with nobody else writing the log's end will do.
func (c *user) wipe(r int, d ledger.Durability, do func() error) error {
	prefix := regionNames[r] + "/"
	wr := ledger.Write{Version: c.version.Add(1), Clears: prefix, Issued: now()}
	if _, err := io.WriteString(c.said, wr.Line()); err != nil {
		return err
	}
	if err := do(); err != nil {
		return fmt.Errorf("wipe %s: %w", regionNames[r], err)
	}
	for _, w := range c.workers {
		for name := range w.has {
			if strings.HasPrefix(name, prefix) {
				delete(w.has, name)
			}
		}
	}
	return c.answer(wr.Version, c.st.Metrics().End-1, d)
}

// settleTime is how long the compactor may take, when nobody writes.
const settleTime = 20 * time.Second

// settle waits until the log is as small as the compaction policy promises.
func (c *user) settle(ctx context.Context) error {
	if c.settings.Compaction == restart.NoCompaction {
		return nil
	}
	for start := time.Now(); ; {
		m := c.st.Metrics()
		allowed := c.settings.allowed(m.LiveBytes)
		if m.LogBytes <= allowed && m.DiskBytes <= m.LogBytes+c.settings.ahead() {
			c.tally.add("compaction kept its promise", 1)
			return nil
		}
		if ctx.Err() != nil {
			return nil // to be closed now
		}
		if time.Since(start) > settleTime {
			return fmt.Errorf("a log of %d bytes in files of %d, %d live, %v after the last write; %v allows %d",
				m.LogBytes, m.DiskBytes, m.LiveBytes, settleTime, c.settings.Compaction, allowed)
		}
		sleep(ctx, 10*time.Millisecond)
	}
}

// ahead is by how much files may be larger than the log: the newest and the one
// prepared behind it are allocated ahead, for the largest record if need be.
func (s settings) ahead() int64 { return 2*max(s.SegmentSize, 4<<20) + 4<<20 }

// allowed is how large the log may be, after the documentation of the policies:
// 1.65 and 3 times the live records, and small logs are left alone.
func (s settings) allowed(live int64) int64 {
	ratio, floor := 1.65, 4*s.SegmentSize
	if s.Compaction == restart.PerformanceBased {
		ratio = 3
	}
	if s.SegmentSize == 0 {
		floor = 16 << 20
	}
	return max(int64(ratio*float64(live)), floor)
}
