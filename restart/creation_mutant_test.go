package restart_test

import (
	"path/filepath"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

// TestCreationKilledThenPowerFailure kills the process at each file operation of
// the creation of a store, its directory included. What the next process
// acknowledges survives a power failure, although it found directories and
// files that the first one made and did not sync.
func TestCreationKilledThenPowerFailure(t *testing.T) {
	var killed []*memfs.FS
	first := memfs.New()
	deep := filepath.Join("/above", "parent", "store")
	first.OnOp(func(memfs.Op) { killed = append(killed, first.KillClone()) })
	st, err := restart.Open(deep, small(first))
	first.OnOp(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if len(killed) < 10 {
		t.Fatalf("only %d operations", len(killed))
	}
	for i, fs := range killed {
		o := small(fs)
		o.Durability = restart.Sync
		st, err := restart.Open(deep, o)
		if err != nil {
			t.Errorf("operation %d: open after the kill: %v", i, err)
			continue
		}
		put(t, region(t, st, "r"), "k", "v")
		after := fs.CrashClone(memfs.Nothing())
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		o.FS, o.MustExist = after, true
		if st, err = restart.Open(deep, o); err != nil {
			t.Errorf("operation %d: open after the power failure: %v", i, err)
			continue
		}
		wantValue(t, region(t, st, "r"), "k", "v")
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A process is killed at any file operation of the creation of a store, and the
// power fails at any file operation of the open that finishes it: of what is not
// synced only the last operation survives. Nothing was acknowledged, and the store
// can be opened.
func TestCreationKilledTwice(t *testing.T) {
	var killed []*memfs.FS
	first := memfs.New()
	first.OnOp(func(memfs.Op) { killed = append(killed, first.KillClone()) })
	st, err := restart.Open(dir, small(first))
	first.OnOp(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	for i, fs := range killed {
		var cut []*memfs.FS
		fs.OnOp(func(memfs.Op) {
			left := len(fs.Pending())
			cut = append(cut, fs.CrashClone(memfs.Crash{Choose: func(memfs.Op) memfs.Fate {
				left--
				return memfs.Fate{Happened: left == 0}
			}}))
		})
		st, err := restart.Open(dir, small(fs))
		fs.OnOp(nil)
		if err != nil {
			t.Fatalf("operation %d: open after the kill: %v", i, err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
		for j, fs := range cut {
			st, err := restart.Open(dir, small(fs))
			if err != nil {
				t.Errorf("killed at operation %d, power failed at %d: %v", i, j, err)
				continue
			}
			put(t, region(t, st, "r"), "k", "v")
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
