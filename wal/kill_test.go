package wal_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// journal follows a workload: which steps had been issued and acknowledged as
// durable.
type journal struct {
	mu      sync.Mutex
	steps   []step
	issued  int
	durable int
}

func (j *journal) get() (issued []step, durable int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.steps[:j.issued], j.durable
}

// run applies all steps.
func (j *journal) run(t *testing.T, m *machine) {
	for _, s := range j.steps {
		j.mu.Lock()
		j.issued++
		j.mu.Unlock()
		if err := m.apply(s); err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		if s.do != "put" || s.dur == wal.Sync {
			j.mu.Lock()
			j.durable = j.issued
			j.mu.Unlock()
		}
	}
}

// TestKillThenPowerFailure kills the process after each file operation of a
// workload, recovers in the same kernel, and then cuts the power at each file
// operation of the recovery and of what follows. The killed process leaves
// bytes and names that no sync covers: what recovery acknowledges must not
// depend on them.
func TestKillThenPowerFailure(t *testing.T) {
	for name, steps := range workloads() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := &journal{steps: steps}
			fs := memfs.New()
			m, err := openMachine(fs, dir, wal.Options{SegmentSize: wal.MinSegmentSize})
			if err != nil {
				t.Fatal(err)
			}
			var kills atomic.Uint64
			fs.OnOp(func(op memfs.Op) {
				issued, durable := j.get()
				kill := kills.Add(1)
				seeds := uint64(3)
				if testing.Short() {
					seeds = 1
				}
				for seed := 10 * kill; seed < 10*kill+seeds && !t.Failed(); seed++ {
					if err := killed(fs.KillClone(), issued, durable, seed); err != nil {
						t.Errorf("kill after %v, seed %d: %v", op, seed, err)
					}
				}
			})
			j.run(t, m)
			fs.OnOp(nil)
			mustClose(t, m.Log)
			if n := kills.Load(); n < uint64(len(steps)) {
				t.Errorf("%d kills in %d steps", n, len(steps))
			}
		})
	}
}

// killed recovers after a kill, cuts the power somewhere, and checks what the
// last recovery then finds. seed chooses where, and what the cut leaves.
func killed(fs *memfs.FS, issued []step, durable int, seed uint64) error {
	var cut error
	var ops atomic.Uint64 // several goroutines work on the files
	fs.OnOp(func(memfs.Op) {
		if ops.Add(1) == 1+seed%23 {
			cut = cutPower(fs, issued, durable, nil, seed)
		}
	})
	l, err := wal.Open(dir, smallOptions(fs))
	if err != nil {
		return err
	}
	shown, err := ids(l)
	if err != nil {
		_ = l.Close()
		return err
	}
	if !explainedBy(issued, durable, shown) {
		_ = l.Close()
		return fmt.Errorf("after the kill: records %s, %d of %d steps durable", brief(shown), durable, len(issued))
	}
	if err = l.Sync(); err == nil {
		// Acknowledged: everything shown is there from now on.
		_, _, err = put(l, payload(2000, 50), wal.Sync)
	}
	if err == nil {
		err = cutPower(fs, nil, 0, append(shown, 2000), seed)
	}
	if cerr := l.Close(); err == nil {
		err = cerr
	}
	if cut != nil {
		err = fmt.Errorf("power failure during recovery: %w", cut)
	}
	return err
}

// explainedBy reports whether a log may hold the records got, and the one that
// killed itself adds.
func explainedBy(issued []step, durable int, got []int) bool {
	if n := len(got); n > 0 && got[n-1] == 2000 {
		got = got[:n-1]
	}
	for n := durable; n <= len(issued); n++ {
		if explains(issued[:n], got) {
			return true
		}
	}
	return false
}

// cutPower checks what survives a power failure now: exactly want, or, if that
// is nil, what the steps explain.
func cutPower(fs *memfs.FS, issued []step, durable int, want []int, seed uint64) error {
	for _, c := range []memfs.Crash{memfs.Nothing(), memfs.Everything(), memfs.Random(seed), memfs.Random(seed + 1)} {
		after := fs.CrashClone(c)
		l, err := wal.Open(dir, smallOptions(after))
		if err != nil {
			return err
		}
		got, err := ids(l)
		if cerr := l.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
		if want != nil && !slices.Equal(got, want) {
			return fmt.Errorf("power failure: records %s, want %s", brief(got), brief(want))
		}
		if want == nil && !explainedBy(issued, durable, got) {
			return fmt.Errorf("power failure: records %s, %d of %d steps durable", brief(got), durable, len(issued))
		}
	}
	return nil
}
