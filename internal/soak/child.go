package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fastrestart/frs/internal/child"
	"github.com/fastrestart/frs/internal/ledger"
	"github.com/fastrestart/frs/restart"
)

// The child says, one line each, besides what packages child and ledger have
// words for:
//
//	have <version> <expires> <key>   found, right in every byte
//	shown <rung>                 that was all
//	durable <lsn>                the log is durable up to there
//	refused <version>            the write failed, and nothing happened
//	session <settings>           it opens the store with them
//	did <tally>                  so far
//
// What it found is durable when it is ready. It closes the store when it is told
// to close.
const (
	wordHave    = "have"
	wordShown   = "shown"
	wordDurable = "durable"
	wordRefused = "refused"
	wordSession = "session"
	wordDid     = "did"
)

// user is the child: it uses the store.
type user struct {
	plan  plan
	said  child.Voice
	began time.Time
	rng   *rand.Rand // of the main goroutine

	settings settings
	st       *restart.Store
	regions  [len(regionNames)]atomic.Pointer[restart.Region]
	workers  [workers]*worker
	// gate is held shared in every operation of a worker, so that whoever holds
	// it alone knows what the store holds.
	gate sync.RWMutex

	version  atomic.Uint64 // last one used
	returned atomic.Uint64 // highest LSN of a write that returned
	told     context.Context

	tally   *tally
	limit   *bounds
	counted restart.Metrics // in the tally already
}

// run lives the child's life until it is told to close. Without an error the
// store is closed then.
func (c *user) run(commands io.Reader) error {
	c.began, c.tally = time.Now(), newTally()
	c.rng = rand.New(rand.NewPCG(c.plan.Seed, 0))
	c.version.Store(c.plan.Version)
	for n := range c.workers {
		c.workers[n] = newWorker(c, n, rand.New(rand.NewPCG(c.plan.Seed, uint64(n+1))))
	}
	if err := c.said.Say(child.WordStart); err != nil {
		return err
	}
	c.limit = newBounds(c.tally)
	told, tell := context.WithCancel(context.Background())
	defer tell()
	c.told = told
	for n := 0; ; n++ {
		if err := c.open(); err != nil {
			return err
		}
		if n == 0 {
			if err := c.meet(commands, tell); err != nil {
				return err
			}
		} else if c.rng.IntN(2) == 0 { // or work begins while nothing is loaded
			if err := c.audit(); err != nil {
				return fmt.Errorf("reopened: %w", err)
			}
		}
		if err := c.session(); err != nil {
			return err
		}
		if err := c.close(); err != nil {
			return err
		}
		if c.told.Err() != nil {
			return c.said.Say(child.WordClosed)
		}
	}
}

// meet shows the parent what was found and made durable, and begins when it
// says so.
func (c *user) meet(commands io.Reader, tell func()) error {
	if err := c.show(); err != nil {
		return err
	}
	if err := c.st.Sync(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return c.said.Ready(commands, tell)
}

// open opens the store with settings of its own.
func (c *user) open() (err error) {
	c.settings, c.counted = newSettings(c.rng), restart.Metrics{}
	if err := c.said.Say("%s %v", wordSession, c.settings); err != nil {
		return err
	}
	o := c.settings.Options
	o.Events = restart.Events{
		Loaded:        func(restart.RecoveryReport) { c.tally.add("loaded", 1) },
		CheckpointEnd: func(restart.CheckpointInfo) { c.tally.add("checkpoint", 1) },
		CompactionEnd: func(i restart.CompactionInfo) {
			c.tally.add("segment compacted", int64(i.Segments))
			c.tally.add("record moved", i.Moved)
		},
	}
	if c.st, err = restart.Open(c.plan.Dir, o); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	c.tally.add("open", 1)
	c.tally.add("open "+o.Load.String(), 1)
	c.tally.add(string(c.st.Recovery().Rung), 1)
	for i := range regionNames {
		if err := c.openRegion(i); err != nil {
			return err
		}
	}
	return nil
}

func (c *user) openRegion(i int) error {
	r, err := c.st.Region(regionNames[i], restart.RegionOptions{Ordered: i == mixed})
	if err != nil {
		return fmt.Errorf("region %s: %w", regionNames[i], err)
	}
	c.regions[i].Store(r)
	return nil
}

// show says what is in the store. The workers know it from now on.
func (c *user) show() error {
	var lines bytes.Buffer
	found, err := c.contents()
	if err != nil {
		return err
	}
	for key, f := range found {
		expires := int64(0)
		if !f.Expires.IsZero() {
			expires = f.Expires.UnixNano()
		}
		fmt.Fprintf(&lines, "%s %d %d %s\n", wordHave, f.Version, expires, key)
	}
	for _, w := range c.workers {
		w.learn(found)
	}
	fmt.Fprintf(&lines, "%s %s\n", wordShown, c.st.Recovery().Rung)
	_, err = c.said.Write(lines.Bytes())
	return err
}

// session has everybody work on the open store until its time is over or the
// child is told to close.
func (c *user) session() error {
	ctx, cancel := context.WithTimeout(c.told, c.settings.run)
	defer cancel()
	var all sync.WaitGroup
	failed := make(chan error, workers+8)
	run := func(what string, f func(context.Context) error) {
		all.Go(func() {
			if err := f(ctx); err != nil {
				failed <- fmt.Errorf("%s: %w", what, err)
			}
		})
	}
	for _, w := range c.workers {
		run(fmt.Sprintf("worker %d", w.id), w.work)
	}
	run("shared", c.share)
	run("roam", c.roam)
	run("watch", c.watch)
	if c.settings.compact {
		run("compact", repeat(5*time.Millisecond, func(ctx context.Context) error { return c.st.Compact(ctx) }))
	}
	if c.settings.checkpoint {
		run("checkpoint", repeat(30*time.Millisecond, c.force))
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	select {
	case err := <-failed: // the process ends; nobody waits for the others
		return err
	case <-done:
	}
	close(failed)
	return <-failed
}

// repeat calls f with pauses between, until the context ends.
func repeat(pause time.Duration, f func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		for ctx.Err() == nil {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				return err
			}
			sleep(ctx, pause)
		}
		return nil
	}
}

// sleep waits, but not longer than the context lives.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// force takes a checkpoint.
func (c *user) force(ctx context.Context) error {
	before := c.st.Metrics().Checkpoints
	err := c.st.Checkpoint(ctx)
	if err == nil && c.st.Metrics().Checkpoints > before {
		c.tally.add("checkpoint forced", 1)
	}
	return err
}

// close closes the store and sees that nothing of it stays.
func (c *user) close() error {
	m := c.st.Metrics()
	if !c.settings.checkpoint {
		c.tally.add("checkpoint paced", m.Checkpoints)
	}
	c.count(m)
	for i := range c.regions {
		c.regions[i].Store(nil)
	}
	err := c.st.Close()
	c.st = nil
	if err != nil {
		return fmt.Errorf("close: %w", err)
	}
	c.tally.add("close", 1)
	if err := c.report(); err != nil {
		return err
	}
	if err := c.said.Say("%s %d", wordDurable, c.returned.Load()+1); err != nil {
		return err
	}
	return c.limit.released()
}

// count adds to the tally what the store counts, since the last time.
func (c *user) count(m restart.Metrics) {
	c.tally.add("eviction", m.Evictions-c.counted.Evictions)
	c.tally.add("fault-in", m.FaultIns-c.counted.FaultIns)
	c.tally.add("expired", m.Expired-c.counted.Expired)
	c.counted = m
}

// report says what was done.
func (c *user) report() error {
	line, err := c.tally.line()
	if err != nil {
		return err
	}
	return c.said.Say("%s %s", wordDid, line)
}

// answer says that a write returned.
func (c *user) answer(version uint64, lsn restart.LSN, d ledger.Durability) error {
	for old := c.returned.Load(); old < uint64(lsn) && !c.returned.CompareAndSwap(old, uint64(lsn)); old = c.returned.Load() {
	}
	a := ledger.Answer{Version: version, LSN: uint64(lsn), Durability: d, At: time.Since(c.began), Returned: now()}
	_, err := io.WriteString(c.said, a.Line())
	return err
}

// letter of a write's durability.
func (c *user) letter(d restart.Durability) ledger.Durability {
	if d == restart.Inherit {
		d = c.settings.Durability
	}
	switch d {
	case restart.Sync:
		return ledger.Durable
	case restart.Never:
		return ledger.Never
	}
	return ledger.Batched
}
