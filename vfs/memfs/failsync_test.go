package memfs_test

import (
	"errors"
	"slices"
	"syscall"
	"testing"

	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// What a failed sync leaves: bytes that read back, that no later sync brings to
// the disk, and that are gone after the crash.
func TestFailedSync(t *testing.T) {
	m := memfs.New()
	f, err := m.Create("f")
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte(sectors("aaaa")), 0)
	must(t, err)
	must(t, f.Sync())
	must(t, m.SyncDir("/"))

	m.OnSync(func(memfs.Op) error { return syscall.EIO })
	_, err = f.WriteAt([]byte(sectors("BC")), memfs.SectorSize)
	must(t, err)
	_, err = f.WriteAt([]byte(sectors("D")), 4*memfs.SectorSize)
	must(t, err)
	if err := f.SyncData(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("SyncData: %v, want EIO", err)
	}
	m.OnSync(nil)

	crash := func(what, nothing, everything string) {
		t.Helper()
		if got := letters(t, get(t, m.CrashClone(memfs.Nothing()), "f")); got != nothing {
			t.Errorf("%s, nothing unsynced survives: %s, want %s", what, got, nothing)
		}
		if got := letters(t, get(t, m.CrashClone(memfs.Everything()), "f")); got != everything {
			t.Errorf("%s, everything survives: %s, want %s", what, got, everything)
		}
	}
	if got := letters(t, get(t, m, "f")); got != "aBCaD" {
		t.Errorf("before the crash the file reads %s, want aBCaD", got)
	}
	crash("after the failure", "aaaa", "aaaa.")
	must(t, f.SyncData())
	crash("synced again", "aaaa.", "aaaa.")

	_, err = f.WriteAt([]byte(sectors("BC")), memfs.SectorSize)
	must(t, err)
	torn := m.CrashClone(memfs.Crash{Choose: func(memfs.Op) memfs.Fate { return memfs.Torn(2) }})
	if got := letters(t, get(t, torn, "f")); got != "aaaa." {
		t.Errorf("rewritten in place, not synced: %s, want aaaa.", got)
	}
	must(t, f.SyncData())
	crash("rewritten in place and synced", "aaaa.", "aaaa.")

	_, err = f.WriteAt([]byte(sectors("XE")), 0)
	must(t, err)
	must(t, f.SyncData())
	if got := letters(t, get(t, m, "f")); got != "XECaD" {
		t.Errorf("before the crash the file reads %s, want XECaD", got)
	}
	crash("a sector beside written and synced", "Xaaa.", "Xaaa.")

	must(t, copyFile(m, "f", "g"))
	if got := letters(t, get(t, m.CrashClone(memfs.Nothing()), "g")); got != "XECaD" {
		t.Errorf("copied to a new file: %s, want XECaD", got)
	}
	// The process dies, the kernel lives on: the next one is shown the lie, too.
	killed := m.KillClone()
	if got := letters(t, get(t, killed, "f")); got != "XECaD" {
		t.Errorf("after a kill %s, want XECaD", got)
	}
	if got := letters(t, get(t, killed.CrashClone(memfs.Everything()), "f")); got != "Xaaa." {
		t.Errorf("after a kill and a crash %s, want Xaaa.", got)
	}
	put(t, killed, "f", sectors("B"), memfs.SectorSize, true)
	if got := letters(t, get(t, killed.CrashClone(memfs.Everything()), "f")); got != "Xaaa." {
		t.Errorf("after a kill, written again, and a crash %s, want Xaaa.", got)
	}
	// After the reboot the sectors are as good as any.
	rebooted := m.CrashClone(memfs.Nothing())
	put(t, rebooted, "f", sectors("B"), memfs.SectorSize, true)
	if got := letters(t, get(t, rebooted.CrashClone(memfs.Nothing()), "f")); got != "XBaa." {
		t.Errorf("written again after the reboot: %s, want XBaa.", got)
	}
}

func copyFile(fsys vfs.FS, from, to string) error {
	f, err := fsys.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	p := make([]byte, size)
	if _, err := f.ReadAt(p, 0); err != nil {
		return err
	}
	g, err := fsys.Create(to)
	if err != nil {
		return err
	}
	defer g.Close()
	if _, err := g.WriteAt(p, 0); err != nil {
		return err
	}
	if err := g.Sync(); err != nil {
		return err
	}
	return fsys.SyncDir("/")
}

func TestFailedSyncDirLeavesNamesUndecided(t *testing.T) {
	m := memfs.New()
	put(t, m, "f", "F", 0, true)
	if err := m.FailSync("/", syscall.EIO); !errors.Is(err, syscall.EIO) {
		t.Fatalf("error %v, want EIO", err)
	}
	if got, want := states(t, m), []string{"", "f=F"}; !slices.Equal(got, want) {
		t.Errorf("possible states %q, want %q", got, want)
	}
	must(t, m.SyncDir("/"))
	if got, want := states(t, m), []string{"f=F"}; !slices.Equal(got, want) {
		t.Errorf("possible states %q, want %q", got, want)
	}
}
