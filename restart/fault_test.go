package restart_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// faultPlans are short workloads in which everything happens.
func faultPlans() []plan {
	type w = map[action]int
	o := restart.Options{SegmentSize: 64 << 10, MemoryLimit: 8 << 20, Compaction: restart.NoCompaction}
	common := w{doClear: 2, doDrop: 2, doRegion: 4, doCompact: 2, doCheckpoint: 3, doReopen: 1, doExpired: 3}
	list := []plan{
		{name: "sync", o: inSync(o), weights: common},
		{name: "batched", o: inBatches(o), weights: common},
		{name: "mixed", o: o, mixed: true, weights: common},
	}
	list[1].weights = w{doSync: 12, doCompact: 2, doCheckpoint: 3, doReopen: 1}
	for i := range list {
		list[i].steps, list[i].size, list[i].keys = 44, 8<<10, 20
	}
	return list
}

// TestFaults fails the first file operation of a workload, the second, and so
// on, once and from there on. Whatever fails: no panic, no leak, a documented
// error, nothing lost that was acknowledged as durable, nothing there that was
// refused, and after poison nothing succeeds.
func TestFaults(t *testing.T) {
	changes := errfs.Mutations
	looks := errfs.Read | errfs.Open | errfs.OpenWrite | errfs.List | errfs.Stat
	s := seed(t)
	for _, rule := range []struct {
		name   string
		rule   errfs.Rule
		stride int
	}{
		{"each sync fails once", errfs.Rule{Kinds: errfs.Syncs, Err: syscall.EIO}, 1},
		{"each sync fails for want of space", errfs.Rule{Kinds: errfs.Syncs, Err: syscall.ENOSPC}, 3},
		{"each change fails once", errfs.Rule{Kinds: changes, Err: syscall.EIO}, 2},
		{"each change and all later ones fail", errfs.Rule{Kinds: changes, Err: syscall.EIO, Times: errfs.Forever}, 3},
		{"each change finds no space once", errfs.Rule{Kinds: changes &^ errfs.Syncs, Err: syscall.ENOSPC}, 3},
		{"no space from there on", errfs.Rule{Kinds: changes &^ errfs.Syncs, Err: syscall.ENOSPC, Times: errfs.Forever}, 3},
		{"each change is done and fails", errfs.Rule{Kinds: changes, Err: syscall.EIO, Done: true}, 3},
		{"each write falls short", errfs.Rule{Kinds: errfs.Write, Err: syscall.ENOSPC, Short: 700}, 3},
		{"each look fails once", errfs.Rule{Kinds: looks, Err: syscall.EIO}, 3},
		{"each close fails once", errfs.Rule{Kinds: errfs.Close, Err: syscall.EIO}, 2},
	} {
		t.Run(rule.name, func(t *testing.T) {
			var total ledger
			runs, plans := 0, faultPlans()
			for k, p := range plans {
				list := p.workload(s + uint64(k))
				first, stride := 0, rule.stride
				if testing.Short() {
					stride *= 8
				}
				if !everyFault && stride > 1 {
					first = int(s % uint64(stride))
				}
				for i := first; ; i += stride {
					f := faultRun{plan: p, rule: rule.rule, i: i, seed: s}
					hits, err := f.run(list)
					if err != nil {
						t.Fatalf("%s, operation %d: %v", p.name, i, err)
					}
					runs++
					total.add(&f.ledger)
					if hits == 0 {
						break
					}
				}
			}
			t.Logf("%d runs: %d steps acknowledged, %d refused (%d for want of space), %d in doubt; %d stores poisoned, %d reopened",
				runs, total.acked, total.refused, total.full, total.inDoubt, total.poisoned, total.reopened)
			if runs < 3*len(plans) || total.acked == 0 || total.refused+total.inDoubt == 0 && rule.rule.Kinds != errfs.Close {
				t.Error("the test was vacuous")
			}
		})
	}
}

func (l *ledger) add(o *ledger) {
	l.acked += o.acked
	l.refused += o.refused
	l.inDoubt += o.inDoubt
	l.poisoned += o.poisoned
	l.reopened += o.reopened
	l.full += o.full
}

// faultRun is one run of a workload in which operation i fails.
type faultRun struct {
	plan
	ledger
	rule errfs.Rule
	i    int
	seed uint64
	m    *machine
	inj  *errfs.Injection
}

func (f *faultRun) run(list []step) (hits int, err error) {
	disk := memfs.New()
	files := errfs.Wrap(disk)
	rule := f.rule
	rule.Skip += f.i
	f.inj = files.Inject(rule)
	f.ledger = newLedger(rule.Err)
	if f.m, err = startMachine(files, f.o); err == nil {
		err = f.work(list)
		if cerr := f.m.close(); cerr == nil {
			f.durable = len(f.log)
		}
	} else {
		err = f.opened(err)
	}
	if open := disk.OpenFiles(); err == nil && len(open) > 0 {
		err = fmt.Errorf("left open: %v", open)
	}
	hits = f.inj.Hits()
	files.Clear()
	if err == nil {
		err = f.afterwards(disk, f.o, f.seed+uint64(f.i))
	}
	return hits, err
}

// opened checks the error of an open on failing files.
func (f *faultRun) opened(err error) error {
	if !errors.Is(err, f.rule.Err) {
		return fmt.Errorf("open: %w, want it to wrap %w", err, f.rule.Err)
	}
	f.refused++
	return nil
}

// work does the steps, going on after errors.
func (f *faultRun) work(list []step) error {
	for _, s := range list {
		if s.do == doReopen {
			if open, err := f.reopen(); err != nil || !open {
				return err
			}
			continue
		}
		err := f.m.apply(s)
		if wrong := f.take(s, err); wrong != nil {
			return wrong
		}
		if err != nil && f.rule.Kinds&errfs.Read == 0 {
			if wrong := f.visible(f.m.st); wrong != nil {
				return fmt.Errorf("after %v failed with %w: %w", s, err, wrong)
			}
		}
	}
	if f.dead == nil && f.rule.Times == 0 && f.inj.Hits() > 0 && f.rule.Kinds&errfs.Read == 0 {
		if err := putSync(f.m.st); err != nil && !errors.Is(err, restart.ErrPoisoned) {
			return fmt.Errorf("the failure is over, the store not poisoned, and a put: %w", err)
		}
	}
	return nil
}

// reopen closes the store and opens it again, if that succeeds.
func (f *faultRun) reopen() (open bool, err error) {
	if err := f.m.close(); err == nil {
		f.durable = len(f.log)
	}
	if err := f.m.open(); err != nil {
		return false, f.opened(err)
	}
	if f.rule.Kinds&errfs.Read != 0 {
		if _, err := imageOf(f.m.st); err != nil {
			return true, f.opened(err)
		}
	}
	return true, f.settle(f.m.st)
}
