package crashtest

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// Schedule is a plan of failures. It is run with i = 0, 1, 2, ... until a run
// meets no failure any more, so each place is tried. A run does the workload
// but for its last Config.Resume operations, closes the system whatever it
// said, opens it again as a process does that restarts without a reboot, does
// the rest and closes it. Before and after each Close the machine stops, and
// some of the states that this may leave are checked.
//
// Open and Apply may fail while failures are injected; an operation that did
// has status [Failed]. They may not panic, leave files open, or fail in the
// second life if no failure hit that one.
type Schedule struct {
	// Name says what it does; without "/" and "#".
	Name string
	// Rule is what happens; run i adds i to its Skip. A Rule whose Times is
	// [errfs.Forever] ends with the first life. A rule that fails nothing may
	// not make the system fail either.
	Rule errfs.Rule
	// Space, if above 0, also limits the disk of the first life to i x Space
	// bytes more than Config.Setup took.
	Space int64
	// Max bounds the number of runs. 0: 10000. Report.CutShort counts the
	// schedules that it stopped.
	Max int
}

// FailOnce fails each operation of the kinds once.
func FailOnce(kinds errfs.Kind, err error) Schedule {
	return named(fmt.Sprintf("once %v: %v", kinds, err), Schedule{Rule: errfs.Rule{Kinds: kinds, Err: err}})
}

// FailFrom fails each operation of the kinds and all later ones.
func FailFrom(kinds errfs.Kind, err error) Schedule {
	return named(fmt.Sprintf("from there on %v: %v", kinds, err),
		Schedule{Rule: errfs.Rule{Kinds: kinds, Err: err, Times: errfs.Forever}})
}

// FailSync fails each sync once, as kernels do: what was unsynced reads back
// and is on no disk, and no later sync of the file brings it there.
func FailSync() Schedule { return named("each sync fails once", FailOnce(errfs.Syncs, syscall.EIO)) }

// ShortWrite has each write fall short after n bytes, with ENOSPC.
func ShortWrite(n int) Schedule {
	return Schedule{
		Name: fmt.Sprintf("short write of %d bytes", n),
		Rule: errfs.Rule{Kinds: errfs.Write, Err: syscall.ENOSPC, Short: n},
	}
}

// NoSpace fills the disk after 0, step, 2 x step ... bytes. Blocks have 4096.
// There is room again in the second life.
func NoSpace(step int64) Schedule {
	return Schedule{Name: fmt.Sprintf("no space in steps of %d", step), Space: step}
}

// Slow delays every operation of the kinds by d. Nothing may fail for it.
func Slow(kinds errfs.Kind, d time.Duration) Schedule {
	return Schedule{
		Name: fmt.Sprintf("slow %v: %v", kinds, d),
		Rule: errfs.Rule{Kinds: kinds, Times: errfs.Forever, Before: func(errfs.Op) { time.Sleep(d) }},
		Max:  1,
	}
}

// AllFaults fails each change once and from there on, each read and look at
// names once, each close, cuts writes short and fills the disk in steps of 4096
// bytes, if need be up to 4 MiB.
func AllFaults() []Schedule {
	full := NoSpace(4096)
	full.Max = 1024
	return []Schedule{
		named("each change fails once", FailOnce(errfs.Mutations, syscall.EIO)),
		named("each change and all later ones fail", FailFrom(errfs.Mutations, syscall.EIO)),
		named("each look fails once", FailOnce(errfs.Read|errfs.Open|errfs.OpenWrite|errfs.List|errfs.Stat, syscall.EIO)),
		named("each close fails once", FailOnce(errfs.Close, syscall.EIO)),
		ShortWrite(1), ShortWrite(memfs.SectorSize), full,
	}
}

// named replaces what has a meaning in a [Failure.ID].
func named(name string, s Schedule) Schedule {
	s.Name = strings.NewReplacer("/", "-", "#", "-").Replace(name)
	return s
}

// harmless reports whether nothing fails.
func (s *Schedule) harmless() bool { return s.Rule.Err == nil && s.Rule.Short == 0 && s.Space == 0 }

const maxFaultRuns = 10000

// faults runs all schedules, as many at a time as there are workers.
func (c *Config[S, Op]) faults(t *tally) error {
	if c.Only != "" && !strings.Contains(c.Only, "#") {
		return nil
	}
	slots := make(chan struct{}, c.Workers)
	errs := make([]error, len(c.Faults))
	var group sync.WaitGroup
	for n := range c.Faults {
		slots <- struct{}{}
		group.Go(func() {
			errs[n] = c.schedule(t, n)
			<-slots
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// schedule runs schedule n until no failure fires.
func (c *Config[S, Op]) schedule(t *tally, n int) error {
	s := &c.Faults[n]
	limit := s.Max
	if limit == 0 {
		limit = maxFaultRuns
	}
	for i := range limit {
		e := &explorer[S, Op]{c: c, t: t, run: 1 + n*maxFaultRuns + i, fault: fmt.Sprintf("%s#%d", s.Name, i)}
		if t.done(order{run: e.run}) {
			return nil
		}
		if !e.leadsTo(e.fault) {
			continue
		}
		hits, err := e.faultRun(s, i)
		if err != nil || hits == 0 {
			return err
		}
		t.count(func(r *Report) { r.Faults += hits })
	}
	if limit > 1 && c.Only == "" {
		t.count(func(r *Report) { r.CutShort++ })
	}
	return nil
}

// faultRun is run i of a schedule. It returns how often a failure hit.
func (e *explorer[S, Op]) faultRun(s *Schedule, i int) (hits int, err error) {
	disk, err := e.c.prepare()
	if err != nil {
		return 0, err
	}
	in := inject(disk, s, i, e.c.Dir)
	j := &journal[Op]{ops: e.c.Ops, promise: e.c.Promise}
	take := e.stops(disk, j)
	lives := func(rest int) outcome {
		j.reopen(rest)
		l := life[S, Op]{c: e.c, fs: in.fs, j: j, closing: take}
		o := l.run()
		take()
		return o
	}
	o := lives(max(0, len(e.c.Ops)-e.c.Resume))
	err = e.blame(o, disk, s.harmless())
	if err == nil {
		in.endLife(disk, s)
		before := in.hits()
		o = lives(len(e.c.Ops))
		if err = e.blame(o, disk, in.hits() == before); err != nil {
			err = fmt.Errorf("opened again after the fault: %w", err)
		}
	}
	e.finish(j, err)
	return in.hits(), nil
}

// blame returns what may not happen even under a fault, or, if none hit, at all.
func (e *explorer[S, Op]) blame(o outcome, disk *memfs.FS, unhurt bool) error {
	if err := o.panicked(); err != nil {
		return err
	}
	if err := o.err(); err != nil && unhurt {
		return err
	}
	return leaks("Close, or by an Open that failed", disk.OpenFiles())
}

// stops returns a function that stops the machine.
func (e *explorer[S, Op]) stops(disk *memfs.FS, j *journal[Op]) func() {
	n := 0
	return func() {
		p := point[Op]{n: n, id: fmt.Sprintf("%s/%d", e.fault, n)}
		if n++; !e.leadsTo(p.id) {
			return
		}
		c := Crash[Op]{Depth: 1, Fault: e.fault, shown: -1, After: fmt.Sprintf("operation %d of the disk", disk.Ops())}
		p.crash = j.capture(c, func() { p.fs = disk.KillClone() })
		p.fs.SetCapacity(0)
		p.order = p.n
		e.explore(p)
	}
}

// injected is a disk with a failure.
type injected struct {
	fs   *errfs.FS
	rule *errfs.Injection
	full atomic.Int64 // operations that found no space
}

func inject(disk *memfs.FS, s *Schedule, i int, dir string) *injected {
	in := &injected{fs: errfs.Wrap(disk)}
	if s.Space > 0 {
		free, total, _ := disk.Free(dir) // the directory exists
		disk.SetCapacity(max(1, total-free+int64(i)*s.Space))
		in.fs.Inject(errfs.Rule{Times: errfs.Forever, After: func(_ errfs.Op, err error) {
			if errors.Is(err, syscall.ENOSPC) {
				in.full.Add(1)
			}
		}})
		if s.harmlessRule() {
			return in
		}
	}
	rule := s.Rule
	if rule.Skip += i; rule.Skip < 0 {
		rule.Skip = math.MaxInt
	}
	in.rule = in.fs.Inject(rule)
	return in
}

// harmlessRule reports whether there is no rule but the zero one.
func (s *Schedule) harmlessRule() bool {
	r := &s.Rule
	return r.Err == nil && r.Short == 0 && r.Before == nil && r.After == nil && r.Alter == nil
}

// endLife ends what is not to go on in the second life.
func (in *injected) endLife(disk *memfs.FS, s *Schedule) {
	disk.SetCapacity(0)
	if in.rule != nil && s.Rule.Times == errfs.Forever {
		in.rule.Remove()
	}
}

func (in *injected) hits() int {
	n := int(in.full.Load())
	if in.rule != nil {
		n += in.rule.Hits()
	}
	return n
}

// hasRun reports whether a fault is a run of the named schedule.
func hasRun(fault, name string) bool {
	i := strings.LastIndexByte(fault, '#')
	return i >= 0 && fault[:i] == name
}
