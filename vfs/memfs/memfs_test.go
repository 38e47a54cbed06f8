package memfs_test

import (
	"testing"

	"github.com/fastrestart/frs/vfs/memfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put creates or opens a file and writes into it; it syncs if asked to.
func put(t testing.TB, m *memfs.FS, name, data string, off int64, sync bool) {
	t.Helper()
	f, err := m.OpenWrite(name)
	if err != nil {
		f, err = m.Create(name)
	}
	must(t, err)
	_, err = f.WriteAt([]byte(data), off)
	must(t, err)
	if sync {
		must(t, f.Sync())
	}
	must(t, f.Close())
}

// get returns a file's content, or "absent".
func get(t testing.TB, m *memfs.FS, name string) string {
	t.Helper()
	f, err := m.Open(name)
	if err != nil {
		return "absent"
	}
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	p := make([]byte, size)
	_, err = f.ReadAt(p, 0)
	must(t, err)
	return string(p)
}

func TestSyncedFileWithSyncedNameSurvives(t *testing.T) {
	m := memfs.New()
	must(t, m.MkdirAll("/db"))
	put(t, m, "/db/a", "hello", 0, true)
	if got := get(t, m.CrashClone(memfs.Nothing()), "/db/a"); got != "absent" {
		t.Fatalf("a name that was not synced survived: %q", got)
	}
	must(t, m.SyncDir("/db"))
	if got := get(t, m.CrashClone(memfs.Nothing()), "/db/a"); got != "hello" {
		t.Fatalf("after the crash %q, want hello", got)
	}
	put(t, m, "/db/a", "HELLO there", 0, false)
	if got := get(t, m.CrashClone(memfs.Nothing()), "/db/a"); got != "hello" {
		t.Fatalf("after the crash %q, want hello", got)
	}
	if got := get(t, m.CrashClone(memfs.Everything()), "/db/a"); got != "HELLO there" {
		t.Fatalf("after the crash %q, want all of it", got)
	}
}
