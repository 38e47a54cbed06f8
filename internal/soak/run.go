package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fastrestart/frs/internal/child"
	"github.com/fastrestart/frs/internal/inspect"
	"github.com/fastrestart/frs/internal/ledger"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs"
)

// soak is the state of a run.
type soak struct {
	dir    string // holds the store, and what it was before the last child
	out    io.Writer
	rng    *rand.Rand
	ledger *ledger.Ledger
	total  *tally
	begun  time.Time
	said   time.Time     // when the last line was printed
	until  time.Duration // how long it is to run
	// How long the last open and close took, from the start of the child and
	// from the command.
	opens, closes time.Duration
	children      int
}

func newSoak(dir string, seed uint64, until time.Duration, out io.Writer) *soak {
	return &soak{
		dir: dir, out: out, until: until, rng: newRand(seed, 0), ledger: ledger.New(), total: newTally(),
		begun: time.Now(), said: time.Now(), opens: 100 * time.Millisecond, closes: 100 * time.Millisecond,
	}
}

func (s *soak) store() string  { return filepath.Join(s.dir, "store") }
func (s *soak) before() string { return filepath.Join(s.dir, "before") }

// run lets one child after the other live until the time is over; the last one
// is closed, looked at by one more, and verified.
func (s *soak) run(ctx context.Context) error {
	for n := 0; s.left() > 0; n++ {
		p := newPlan(s.rng, min(longest, s.until/5, s.left()))
		if n < len(moments) { // each once, however short the run
			p.At = moments[n]
		}
		if err := s.round(ctx, p); err != nil {
			return err
		}
		if time.Since(s.said) >= time.Minute {
			s.said = time.Now()
			s.print("")
		}
	}
	for range 2 {
		if err := s.round(ctx, plan{Seed: s.rng.Uint64(), At: closed, Run: time.Millisecond}); err != nil {
			return err
		}
	}
	return s.verify(ctx)
}

// longest is how long a child may write.
const longest = 15 * time.Second

func (s *soak) left() time.Duration { return s.until - time.Since(s.begun) }

func (s *soak) print(word string) {
	fmt.Fprintf(s.out, "%s%v: %d children, %v\n", word, time.Since(s.begun).Round(time.Second), s.children, s.total)
}

// round starts a child, ends it as planned, and checks what it found.
func (s *soak) round(ctx context.Context, p plan) error {
	s.children++
	p.Dir, p.Version = s.store(), s.ledger.Highest
	if err := s.remember(); err != nil {
		return err
	}
	c, err := startLife(p, s.ledger)
	if err != nil {
		return err
	}
	err = s.lead(ctx, c)
	if ended := errors.Join(c.Kill(), c.Err()); err == nil {
		err = ended
	}
	if err == nil && !c.settled {
		err = s.judge(c)
	}
	if err != nil {
		return fmt.Errorf("child %d (%s, seed %d, %s): %w\n%s", s.children, p.At, p.Seed, c.session, err, c.Stderr(32<<10))
	}
	s.total.merge(c.did)
	s.total.add("end "+string(p.At), 1)
	if p.At != closed {
		s.total.add("kill", 1)
	}
	s.total.add("acknowledged", int64(s.ledger.Acked))
	s.ledger.Acked = 0
	if p.At == closed && s.rng.IntN(3) == 0 || s.rng.IntN(8) == 0 {
		return s.verify(ctx)
	}
	return nil
}

// lead lets the child live until the moment of its end.
func (s *soak) lead(ctx context.Context, c *life) error {
	if err := c.Await(ctx, c.Started, "started"); err != nil {
		return err
	}
	start := time.Now()
	if c.plan.At == opening {
		return c.Pass(ctx, s.part(c.plan, s.opens), c.Ready)
	}
	if err := c.Await(ctx, c.Ready, "ready"); err != nil {
		return err
	}
	s.opens = time.Since(start)
	c.settled = true
	if err := s.judge(c); err != nil {
		return err
	}
	if err := c.Tell(child.Go); err != nil {
		return err
	}
	if err := c.Pass(ctx, c.plan.Run, c.Closed); err != nil || c.plan.At == writing || c.plan.At == loading {
		return err
	}
	start = time.Now()
	if err := c.Tell(child.Close); err != nil {
		return err
	}
	if c.plan.At == closing {
		return c.Pass(ctx, s.part(c.plan, s.closes), c.Closed)
	}
	err := c.Await(ctx, c.Closed, "closed")
	s.closes = time.Since(start)
	return err
}

// part of the time that something took last.
func (s *soak) part(p plan, took time.Duration) time.Duration {
	return time.Duration(p.Part * float64(took))
}

// judge checks what a child found.
func (s *soak) judge(c *life) error {
	doubt := c.ledger.InFlight()
	v := c.judge()
	if len(v.Findings) > 0 {
		const most = 10
		return fmt.Errorf("%d findings, opened by %s:\n  %s", len(v.Findings), c.rung, strings.Join(v.Findings[:min(most, len(v.Findings))], "\n  "))
	}
	if c.shown {
		s.total.add("check", 1)
		s.total.add("key checked", int64(len(c.found)))
	}
	s.total.add("in doubt", int64(doubt))
	s.total.add("lost within the bound", int64(v.Lost))
	s.total.peak("ms of batched writes lost", v.Span.Milliseconds())
	return nil
}

// verify does what "frsinspect verify" does: it reads every byte of the closed
// store.
func (s *soak) verify(ctx context.Context) (err error) {
	layout, lock, err := restart.OpenLayout(vfs.Default, s.store())
	if errors.Is(err, restart.ErrNoStore) {
		return nil // killed before there was one
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	log, err := inspect.OpenStore(vfs.Default, inspect.Store{
		Log: layout.Log, StoreID: layout.StoreID, Lineage: layout.Lineage, Generation: layout.Generation,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	report, err := log.Verify(ctx, nil)
	for _, d := range report.Damage {
		err = errors.Join(err, fmt.Errorf("verify: %s at offset %d, LSN %d: %s", d.File, d.Offset, d.LSN, d.Reason))
	}
	s.total.add("verify", 1)
	return err
}

// remember keeps the store as it is, by hard links: a store that is opened
// writes to new files only.
func (s *soak) remember() error {
	if err := os.RemoveAll(s.before()); err != nil {
		return err
	}
	err := copyTree(s.before(), s.store())
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing there yet
	}
	return err
}

// copyTree links the files of one directory into another.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		return os.Link(name, filepath.Join(to, rel))
	})
}
