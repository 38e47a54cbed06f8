package restart_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

// TestDiskFull fills the disk at a hundred and more places of a workload and
// then makes room again. While it is full, writes are refused and leave
// nothing, or are in doubt and stay visible; with room the store resumes by
// itself; nothing that was acknowledged is lost at any time.
func TestDiskFull(t *testing.T) {
	s := seed(t)
	// From less than an empty store takes to more than the workload does.
	const from, to = 8 << 10, 1 << 20
	step := int64(4 << 10) // a block of the disk
	if testing.Short() {
		step *= 8
	}
	for k, p := range faultPlans() {
		t.Run(p.name, func(t *testing.T) {
			list := p.workload(s + uint64(k))
			total := newLedger(nil)
			runs, resumed, spared := 0, 0, false
			for room := int64(from); room < to && !spared; room += step {
				f := fullRun{plan: p, ledger: newLedger(syscall.ENOSPC), room: room}
				if err := f.run(list); err != nil {
					t.Fatalf("with %d bytes: %v", room, err)
				}
				runs++
				resumed += f.resumed
				total.add(&f.ledger)
				spared = f.refused+f.inDoubt == 0
			}
			t.Logf("%d runs: %d steps acknowledged, %d refused, %d in doubt; %d acknowledged after there was room again",
				runs, total.acked, total.refused, total.inDoubt, resumed)
			if resumed == 0 || total.full == 0 || !spared {
				t.Error("the test was vacuous")
			}
		})
	}
}

// fullRun is one run of a workload on a disk with room for so many bytes, until
// enough steps have failed.
type fullRun struct {
	plan
	ledger
	room    int64
	resumed int
}

// enough is how many steps fail before there is room again.
const enough = 5

func (f *fullRun) run(list []step) error {
	disk := memfs.New()
	disk.SetCapacity(f.room)
	m, err := startMachine(disk, f.o)
	if err != nil {
		f.refused++
		if !f.documented(err) {
			return fmt.Errorf("open: %w", err)
		}
	} else {
		err = f.work(m, disk, list)
		if cerr := m.close(); cerr == nil {
			f.durable = len(f.log)
		} else if err == nil {
			err = fmt.Errorf("close: %w", cerr)
		}
		if err != nil {
			return err
		}
	}
	if open := disk.OpenFiles(); len(open) > 0 {
		return fmt.Errorf("left open: %v", open)
	}
	disk.SetCapacity(0)
	return f.afterwards(disk, f.o, uint64(f.room))
}

func (f *fullRun) work(m *machine, disk *memfs.FS, list []step) error {
	for _, s := range list {
		if s.do == doReopen {
			continue
		}
		err := m.apply(s)
		if wrong := f.take(s, err); wrong != nil {
			return wrong
		}
		more := f.refused+f.inDoubt < enough
		switch {
		case errors.Is(err, restart.ErrPoisoned):
			return fmt.Errorf("a full disk is no reason to give up: %w", err)
		case err == nil && !more:
			f.resumed++
		case err != nil && disk == nil:
			return fmt.Errorf("%v, with room again: %w", s, err)
		case err != nil:
			if wrong := f.visible(m.st); wrong != nil {
				return fmt.Errorf("after %v failed with %w: %w", s, err, wrong)
			}
		}
		if !more && disk != nil {
			disk.SetCapacity(0)
			disk = nil
		}
	}
	if disk != nil {
		disk.SetCapacity(0) // closing takes some, too
	}
	return nil
}
