package memfs_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// The observer sees every mutating operation, in order, and may clone.
func TestOnOp(t *testing.T) {
	m := memfs.New()
	must(t, m.MkdirAll("/e"))
	var got []string
	m.OnOp(func(op memfs.Op) {
		got = append(got, op.String())
		m.CrashClone(memfs.Nothing())
		if op.Seq != m.Ops() {
			t.Errorf("operation %v is not the last one, %d", op, m.Ops())
		}
	})
	must(t, m.MkdirAll("/d"))
	f, err := m.Create("/d/a")
	must(t, err)
	_, err = f.WriteAt([]byte("abc"), 600)
	must(t, err)
	_, err = f.ReadAt(make([]byte, 3), 0) // changes nothing
	must(t, err)
	must(t, f.Allocate(5000))
	must(t, f.Allocate(5000)) // changes nothing
	must(t, f.Truncate(100))
	must(t, f.SyncData())
	must(t, f.Close())
	must(t, m.Link("/d/a", "/d/b"))
	must(t, m.Rename("/d/b", "/d/c"))
	must(t, m.Remove("/d/a"))
	must(t, m.SyncDir("/d"))
	m.OnSync(func(memfs.Op) error { return syscall.EIO })
	if err := m.SyncDir("/d"); !errors.Is(err, syscall.EIO) {
		t.Errorf("SyncDir: %v, want EIO", err)
	}
	m.OnOp(nil)
	put(t, m, "x", "x", 0, false)
	want := []string{
		"3 mkdir /d", "4 syncdir /", "5 create /d/a", "6 write /d/a [600, +3)", "7 allocate /d/a 5000",
		"8 truncate /d/a 100", "9 syncdata /d/a", "10 link /d/a /d/b", "11 rename /d/b /d/c",
		"12 remove /d/a", "13 syncdir /d", "14 syncdir /d: " + syscall.EIO.Error(),
	}
	if !slices.Equal(got, want) {
		t.Errorf("observed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPendingListsWhatNoSyncCovers(t *testing.T) {
	m := memfs.New()
	must(t, m.MkdirAll("/d"))
	must(t, m.MkdirAll("/e"))
	put(t, m, "/d/a", "abc", 510, false)
	put(t, m, "/d/b", "abc", 0, true)
	must(t, m.Rename("/d/b", "/e/b"))
	check := func(want ...string) {
		t.Helper()
		var got []string
		for _, op := range m.Pending() {
			got = append(got, strings.SplitN(op.String(), " ", 2)[1])
		}
		if !slices.Equal(got, want) {
			t.Errorf("pending %q, want %q", got, want)
		}
	}
	check("create /d/a", "write /d/a [510, +3)", "create /d/b", "rename /d/b /e/b", "rename /d/b /e/b (old name)")
	if op := m.Pending()[1]; op.Sectors != 2 {
		t.Errorf("a write across a sector's end touches %d sectors, want 2", op.Sectors)
	}
	must(t, m.SyncDir("/e"))
	check("create /d/a", "write /d/a [510, +3)", "create /d/b", "rename /d/b /e/b (old name)")
	must(t, m.SyncDir("/d"))
	check("write /d/a [510, +3)")
	if err := m.FailSync("/d/a", syscall.EIO); !errors.Is(err, syscall.EIO) {
		t.Errorf("FailSync: %v, want EIO", err)
	}
	check("write /d/a [510, +3)") // its size
	if op := m.Pending()[0]; op.Sectors != 0 || !op.Grows {
		t.Errorf("after a failed sync %+v is pending, want a size without sectors", op)
	}
}

func TestFullDisk(t *testing.T) {
	m := memfs.New()
	must(t, m.MkdirAll("/d"))
	m.SetCapacity(8 * 4096)
	free := func(want int64) {
		t.Helper()
		free, total, err := m.Free("/d")
		if err != nil || free != want*4096 || total != 8*4096 {
			t.Errorf("Free = %d of %d, %v; want %d", free, total, err, want*4096)
		}
	}
	full := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v, want ENOSPC", what, err)
		}
	}
	f, err := m.Create("/d/reserved")
	must(t, err)
	defer f.Close()
	must(t, f.Allocate(3*4096))
	free(5)
	g, err := m.Create("/d/grows")
	must(t, err)
	must(t, g.Truncate(100*4096)) // a hole costs nothing
	free(5)
	n, err := g.WriteAt(make([]byte, 6*4096), 100)
	full("a write of six blocks", err)
	if n != 5*4096-100 {
		t.Errorf("%d bytes were written, want %d, which fit", n, 5*4096-100)
	}
	free(0)
	_, err = g.WriteAt([]byte("in place"), 50)
	must(t, err)
	_, err = f.WriteAt(make([]byte, 3*4096), 0) // reserved
	must(t, err)
	_, err = f.WriteAt([]byte("x"), 3*4096)
	full("a write behind the reserved blocks", err)
	full("an allocation", f.Allocate(3*4096+1))
	must(t, g.Truncate(4096))
	free(4)
	must(t, m.Remove("/d/grows"))
	free(4) // still open
	must(t, g.Close())
	free(5)
	if c, _, err := m.CrashClone(memfs.Everything()).Free("/d"); err != nil || c != 5*4096 {
		t.Errorf("in a clone %d bytes are free, %v", c, err)
	}
	put(t, m, "/d/small", "x", 0, false)
	free(4)
	must(t, m.Rename("/d/small", "/d/reserved")) // which is open
	must(t, f.Truncate(0))
	free(7)
	m.SetCapacity(0)
	must(t, f.Allocate(100*4096))
}

func TestKillKeepsWhatIsUnsynced(t *testing.T) {
	m := memfs.New()
	must(t, m.MkdirAll("/d"))
	must(t, m.MkdirAll("/e"))
	put(t, m, "/d/a", "synced", 0, true)
	must(t, m.SyncDir("/d"))
	put(t, m, "/d/a", "SYN", 0, false)
	must(t, m.Link("/d/a", "/e/b"))
	must(t, m.Rename("/d/a", "/e/a"))
	before := states(t, m)
	k := m.KillClone()
	if a, b := tree(t, m), tree(t, k); a != b {
		t.Errorf("after the kill %s, want %s", b, a)
	}
	if got := states(t, k); !slices.Equal(got, before) {
		t.Errorf("possible states after the kill %q, want %q", got, before)
	}
	put(t, k, "/e/a", "syn", 0, true)
	must(t, k.SyncDir("/d"))
	must(t, k.SyncDir("/e"))
	if got, want := states(t, k), []string{"d/ e/ e/a=synced e/b=synced"}; !slices.Equal(got, want) {
		t.Errorf("after syncs in the clone %q, want %q", got, want)
	}
	if got := states(t, m); !slices.Equal(got, before) {
		t.Errorf("syncs in the clone changed the original: %q, want %q", got, before)
	}
}

func TestOpenFiles(t *testing.T) {
	m := memfs.New()
	f, err := m.Create("b")
	must(t, err)
	l, err := m.Lock("a", vfs.Exclusive)
	must(t, err)
	if got, want := m.OpenFiles(), []string{"a", "b"}; !slices.Equal(got, want) {
		t.Errorf("open %q, want %q", got, want)
	}
	must(t, f.Close())
	must(t, l.Close())
	if got := m.OpenFiles(); len(got) > 0 {
		t.Errorf("open %q, want none", got)
	}
}

func TestRelativeAndAbsoluteNamesAreTheSame(t *testing.T) {
	m := memfs.New()
	must(t, m.MkdirAll("d"))
	put(t, m, "d/./x/../a", "A", 0, false)
	for _, name := range []string{"/d/a", "./d/a", "d//a"} {
		if got := get(t, m, name); got != "A" {
			t.Errorf("%s: %s, want A", name, got)
		}
	}
	if err := m.Remove("/"); err == nil {
		t.Error("the root could be removed")
	}
}

func TestFingerprint(t *testing.T) {
	base := func(change func(m *memfs.FS)) uint64 {
		m := memfs.New()
		must(t, m.MkdirAll("/d"))
		put(t, m, "/d/a", "A", 0, false)
		put(t, m, "/d/b", "A", 0, false)
		if change != nil {
			change(m)
		}
		return m.Fingerprint()
	}
	seen := map[uint64]string{base(nil): "the base"}
	for what, change := range map[string]func(m *memfs.FS){
		"other bytes":      func(m *memfs.FS) { put(t, m, "/d/a", "B", 0, false) },
		"a longer file":    func(m *memfs.FS) { put(t, m, "/d/a", "\x00", 1, false) },
		"another name":     func(m *memfs.FS) { must(t, m.Rename("/d/a", "/d/c")) },
		"no file":          func(m *memfs.FS) { must(t, m.Remove("/d/a")) },
		"one file, linked": func(m *memfs.FS) { must(t, m.Remove("/d/b")); must(t, m.Link("/d/a", "/d/b")) },
		"one more dir":     func(m *memfs.FS) { must(t, m.MkdirAll("/d/e")) },
	} {
		sum := base(change)
		if other, ok := seen[sum]; ok {
			t.Errorf("%s has the fingerprint of %s", what, other)
		}
		seen[sum] = what
	}
	if base(nil) != base(func(m *memfs.FS) { must(t, m.SyncDir("/d")) }) {
		t.Error("a sync changed the fingerprint")
	}
}

// A store of twenty files of 64 KiB with a few unsynced writes.
func BenchmarkCrashClone(b *testing.B) {
	m := memfs.New()
	must(b, m.MkdirAll("/d"))
	for i := range 20 {
		put(b, m, fmt.Sprintf("/d/%016x.seg", i), strings.Repeat("x", 64<<10), 0, true)
	}
	must(b, m.SyncDir("/d"))
	for i := range 4 {
		put(b, m, "/d/0000000000000003.seg", "some frame", int64(i)*700, false)
	}
	put(b, m, "/d/new", "x", 0, false)
	for _, c := range []struct {
		what  string
		crash memfs.Crash
	}{{"nothing", memfs.Nothing()}, {"everything", memfs.Everything()}, {"random", memfs.Crash{Names: 0.5, Data: 0.5, Tear: 0.5}}} {
		b.Run(c.what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.CrashClone(c.crash)
			}
		})
	}
}
