package crashtest

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/fastrestart/frs/vfs/memfs"
)

// TB is the part of testing.TB that [Run] needs.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// ErrVacuous is returned for a run in which nothing was acknowledged: it has
// tested no promise.
var ErrVacuous = errors.New("crashtest: nothing was acknowledged")

// Run tests a system as [Enumerate] does, logs the report, and fails the test
// with a description of the first failure, shrunk as [Shrink] does.
func Run[S, Op any](t TB, c Config[S, Op]) Report {
	t.Helper()
	r, err := Enumerate(c)
	t.Logf("%v", r)
	var f *Failure
	switch {
	case errors.As(err, &f) && c.Only == "":
		small, g, runs := Shrink(c, f)
		t.Fatalf("%v\nshrunk from %d operations to %d in %d runs; to see it again: these operations, Seed: %d, Only: %q",
			g, len(c.Ops), len(small.Ops), runs, g.Seed, g.ID)
	case err != nil:
		t.Fatalf("%v", err)
	}
	return r
}

// Enumerate runs the workload on a file system in memory, stops the machine at
// each file operation, and has the states that this may leave checked; then it
// does as much of it again with each fault. It returns the first [*Failure], or
// an error about c, or [ErrVacuous].
func Enumerate[S, Op any](c Config[S, Op]) (Report, error) {
	if err := c.validate(); err != nil {
		return Report{}, err
	}
	c = c.withDefaults()
	t := &tally{seen: map[stateKey]order{}}
	t.report.Seed = c.Seed
	err := c.crashes(t)
	if err == nil && !t.failed.Load() {
		err = c.faults(t)
	}
	switch {
	case err != nil:
		return t.report, err
	case t.failure != nil:
		return t.report, t.failure
	case c.Only != "" && t.report.Distinct == 0:
		return t.report, fmt.Errorf("crashtest: Config.Only names no state: %q", c.Only)
	case c.Only == "" && t.report.Acked == 0:
		return t.report, ErrVacuous
	}
	return t.report, nil
}

// crashes runs the workload without faults and explores all crash points.
func (c *Config[S, Op]) crashes(t *tally) error {
	if strings.Contains(c.Only, "#") {
		return nil
	}
	fs, err := c.prepare()
	if err != nil {
		return err
	}
	j := &journal[Op]{ops: c.Ops, end: len(c.Ops), promise: c.Promise}
	e := &explorer[S, Op]{c: c, t: t}
	points := make(chan point[Op], c.Workers)
	var workers sync.WaitGroup
	for range c.Workers {
		workers.Go(func() {
			for p := range points {
				e.explore(p)
			}
		})
	}
	r := &recorder[Op]{fs: fs, j: j, every: c.Every, about: Crash[Op]{Depth: 1, shown: -1}}
	r.sink = func(p point[Op]) {
		p.order = p.n
		if !t.failed.Load() && e.leadsTo(p.id) {
			points <- p
		}
	}
	r.start()
	l := life[S, Op]{c: c, fs: fs, j: j}
	err = l.run().err()
	r.stop()
	close(points)
	workers.Wait()
	if err == nil {
		err = leaks("Close", fs.OpenFiles())
	}
	e.finish(j, err)
	return nil
}

// prepare returns the file system before the first crash point.
func (c *Config[S, Op]) prepare() (*memfs.FS, error) {
	fs := memfs.New()
	if err := fs.MkdirAll(c.Dir); err != nil {
		return nil, fmt.Errorf("crashtest: %w", err)
	}
	if c.Setup != nil {
		if err := guard(func() error { return c.Setup(fs, c.Dir) }); err != nil {
			return nil, fmt.Errorf("crashtest: Setup: %w", err)
		}
	}
	return fs, nil
}

// finish counts the run; err is what went wrong in the workload itself.
func (e *explorer[S, Op]) finish(j *journal[Op], err error) {
	last := j.capture(Crash[Op]{Fault: e.fault}, func() {})
	e.t.count(func(r *Report) {
		r.Runs++
		r.Acked += last.Acked
		if last.Acked == 0 {
			r.VacuousRuns++
		}
	})
	if err != nil {
		f := e.failure(last, fmt.Errorf("the workload: %w", err), math.MaxInt)
		f.Crash = ""
		e.t.fail(f)
	}
}
