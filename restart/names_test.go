package restart_test

import (
	"syscall"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// TestNamesOfFailedCreation: a directory sync of the creation fails, so names
// are there that no power failure need leave. The next open, by the same
// kernel, sees them, and must not acknowledge anything behind them before they
// are durable.
func TestNamesOfFailedCreation(t *testing.T) {
	var disk *memfs.FS
	rule := errfs.Rule{Kinds: errfs.SyncDir, Err: syscall.EIO}
	failed := 0
	for i, files := range errfs.Every(func() vfs.FS { disk = memfs.New(); return disk }, rule) {
		if st, err := restart.Open(dir, restart.Options{FS: files}); err == nil {
			_ = st.Close() // a later directory sync may be the one that fails
		} else {
			failed++
		}
		disk = disk.KillClone()
		st, err := restart.Open(dir, restart.Options{FS: disk, Durability: restart.Sync})
		if err != nil {
			t.Fatalf("sync %d failed: the next open: %v", i, err)
		}
		put(t, region(t, st, "r"), "k", "v")
		after := disk.CrashClone(memfs.Nothing())
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		st, err = restart.Open(dir, restart.Options{FS: after})
		if err != nil {
			t.Fatalf("sync %d failed: the open after the power failure: %v", i, err)
		}
		wantValue(t, region(t, st, "r"), "k", "v")
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if failed < 3 {
		t.Errorf("%d creations failed, want more", failed)
	}
}
