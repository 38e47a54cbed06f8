package crashtest

import (
	"errors"
	"fmt"
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
// with a description of the first failure.
func Run[S, Op any](t TB, c Config[S, Op]) Report {
	t.Helper()
	r, err := Enumerate(c)
	t.Logf("%v", r)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return r
}

// Enumerate runs the workload on a file system in memory, stops the machine at
// each file operation, and has the states that this may leave checked. It
// returns the first [*Failure], or an error about c, or [ErrVacuous].
func Enumerate[S, Op any](c Config[S, Op]) (Report, error) {
	if err := c.validate(); err != nil {
		return Report{}, err
	}
	c = c.withDefaults()
	t := &tally{seen: map[stateKey]struct{}{}}
	t.report.Seed = c.Seed
	if err := c.crashes(t); err != nil {
		return t.report, err
	}
	if t.failure != nil {
		return t.report, t.failure
	}
	if t.report.Acked == 0 && c.Only == "" {
		return t.report, ErrVacuous
	}
	return t.report, nil
}

// crashes runs the workload without faults and explores all crash points.
func (c *Config[S, Op]) crashes(t *tally) error {
	fs, err := c.prepare()
	if err != nil {
		return err
	}
	j := &journal[Op]{ops: c.Ops, promise: c.Promise}
	e := &explorer[S, Op]{c: c, t: t}
	points := make(chan point[Op], c.Workers)
	var workers sync.WaitGroup
	for range c.Workers {
		workers.Go(func() {
			for p := range points {
				e.explore(p, 1)
			}
		})
	}
	r := &recorder[Op]{fs: fs, every: c.Every, crash: j.capture, sink: func(p point[Op]) {
		p.order = p.n
		if !t.failed.Load() && e.leadsTo(p.id) {
			points <- p
		}
	}}
	r.start()
	err = c.work(fs, j)
	r.stop()
	close(points)
	workers.Wait()
	c.finish(t, j, fs, err)
	return nil
}

// prepare returns the file system before the first crash point.
func (c *Config[S, Op]) prepare() (*memfs.FS, error) {
	fs := memfs.New()
	if err := fs.MkdirAll(c.Dir); err != nil {
		return nil, fmt.Errorf("crashtest: %w", err)
	}
	if c.Setup != nil {
		if err := c.Setup(fs, c.Dir); err != nil {
			return nil, fmt.Errorf("crashtest: Setup: %w", err)
		}
	}
	return fs, nil
}

// finish counts the run and says whether the workload itself went wrong.
func (c *Config[S, Op]) finish(t *tally, j *journal[Op], fs *memfs.FS, err error) {
	last := j.capture(func() {})
	t.count(func(r *Report) {
		r.Runs++
		r.Acked += last.Acked
		if last.Acked == 0 {
			r.VacuousRuns++
		}
	})
	if open := fs.OpenFiles(); err == nil && len(open) > 0 {
		err = fmt.Errorf("left open by Close: %s", strings.Join(open, ", "))
	}
	if err != nil {
		e := &explorer[S, Op]{c: c, t: t}
		f := e.failure(last, fmt.Errorf("the workload failed without a fault: %w", err), int(^uint(0)>>1))
		f.ID, f.Crash = "", ""
		t.fail(f)
	}
}
