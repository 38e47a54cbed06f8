package memfs_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// tree returns all files and directories with their contents, in one line each.
func tree(t testing.TB, m *memfs.FS) string {
	t.Helper()
	var lines []string
	var walk func(dir string)
	walk = func(dir string) {
		names, err := m.List("/" + dir)
		must(t, err)
		for _, name := range names {
			path := dir + name
			st, err := m.Stat("/" + path)
			must(t, err)
			if st.IsDir {
				lines = append(lines, path+"/")
				walk(path + "/")
			} else {
				lines = append(lines, path+"="+get(t, m, "/"+path))
			}
		}
	}
	walk("")
	return strings.Join(lines, " ")
}

// states returns every state that a crash can leave when each pending operation
// survives or not.
func states(t testing.TB, m *memfs.FS) []string {
	t.Helper()
	n := len(m.Pending())
	if n > 12 {
		t.Fatalf("%d pending operations are too many", n)
	}
	seen := map[string]bool{}
	for set := range 1 << n {
		i := -1
		clone := m.CrashClone(memfs.Crash{Choose: func(memfs.Op) memfs.Fate {
			i++
			return memfs.Fate{Happened: set>>i&1 == 1}
		}})
		if len(clone.Pending()) > 0 {
			t.Fatalf("after a crash there is something unsynced: %v", clone.Pending())
		}
		seen[tree(t, clone)] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// situation is what happens before the power fails; what is durable at first is
// the directory d with the files old=OLD and other=OTHER, and the directory e.
type situation struct {
	*testing.T
	m *memfs.FS
}

func (s situation) put(name, data string, off int64) { put(s, s.m, name, data, off, false) }
func (s situation) sync(name string) {
	f, err := s.m.OpenWrite(name)
	must(s, err)
	must(s, f.SyncData())
	must(s, f.Close())
}
func (s situation) syncDir(name string)    { must(s, s.m.SyncDir(name)) }
func (s situation) rename(from, to string) { must(s, s.m.Rename(from, to)) }
func (s situation) link(from, to string)   { must(s, s.m.Link(from, to)) }
func (s situation) remove(name string)     { must(s, s.m.Remove(name)) }
func (s situation) truncate(name string, size int64) {
	f, err := s.m.OpenWrite(name)
	must(s, err)
	must(s, f.Truncate(size))
	must(s, f.Close())
}

func TestWhatSurvivesAPowerFailure(t *testing.T) {
	for _, c := range []struct {
		what string
		do   func(s situation)
		want []string // the states of d/ and e/, the unchanged part left out
	}{
		{"nothing was done", func(s situation) {}, []string{
			"d/old=OLD d/other=OTHER",
		}},
		{"overwritten, not synced", func(s situation) { s.put("/d/old", "new", 0) }, []string{
			"d/old=OLD d/other=OTHER",
			"d/old=new d/other=OTHER",
		}},
		{"overwritten and synced", func(s situation) { s.put("/d/old", "new", 0); s.sync("/d/old") }, []string{
			"d/old=new d/other=OTHER",
		}},
		{"appended, not synced", func(s situation) { s.put("/d/old", "er", 3) }, []string{
			"d/old=OLD d/other=OTHER",
			"d/old=OLDer d/other=OTHER",
		}},
		{"another file was synced", func(s situation) { s.put("/d/old", "new", 0); s.sync("/d/other"); s.syncDir("/d") }, []string{
			"d/old=OLD d/other=OTHER",
			"d/old=new d/other=OTHER",
		}},
		{"two files written, write-back in any order", func(s situation) { s.put("/d/old", "new", 0); s.put("/d/other", "NEWER", 0) }, []string{
			"d/old=OLD d/other=NEWER",
			"d/old=OLD d/other=OTHER",
			"d/old=new d/other=NEWER",
			"d/old=new d/other=OTHER",
		}},
		{"truncated, not synced", func(s situation) { s.truncate("/d/old", 1) }, []string{
			"d/old=O d/other=OTHER",
			"d/old=OLD d/other=OTHER",
		}},
		{"created and synced, directory not", func(s situation) { s.put("/d/new", "NEW", 0); s.sync("/d/new") }, []string{
			"d/new=NEW d/old=OLD d/other=OTHER",
			"d/old=OLD d/other=OTHER",
		}},
		{"created, directory synced, file not", func(s situation) { s.put("/d/new", "NEW", 0); s.syncDir("/d") }, []string{
			"d/new= d/old=OLD d/other=OTHER",
			"d/new=NEW d/old=OLD d/other=OTHER",
		}},
		{"removed, directory not synced", func(s situation) { s.remove("/d/old") }, []string{
			"d/old=OLD d/other=OTHER",
			"d/other=OTHER",
		}},
		{"two removed in order, not synced: in any order", func(s situation) { s.remove("/d/old"); s.remove("/d/other") }, []string{
			"d/",
			"d/old=OLD",
			"d/old=OLD d/other=OTHER",
			"d/other=OTHER",
		}},
		{"renamed, directory not synced", func(s situation) { s.rename("/d/old", "/d/new") }, []string{
			"d/new=OLD d/other=OTHER",
			"d/old=OLD d/other=OTHER",
		}},
		{"renamed over another, directory not synced: old or new", func(s situation) { s.rename("/d/old", "/d/other") }, []string{
			"d/old=OLD d/other=OTHER",
			"d/other=OLD",
		}},
		{"published: written, synced, renamed, directory synced", func(s situation) {
			s.put("/d/tmp", "NEW", 0)
			s.sync("/d/tmp")
			s.rename("/d/tmp", "/d/old")
			s.syncDir("/d")
		}, []string{
			"d/old=NEW d/other=OTHER",
		}},
		{"published without a sync of the directory", func(s situation) {
			s.put("/d/tmp", "NEW", 0)
			s.sync("/d/tmp")
			s.rename("/d/tmp", "/d/old")
		}, []string{
			"d/old=NEW d/other=OTHER", "d/old=OLD d/other=OTHER", "d/old=OLD d/other=OTHER d/tmp=NEW",
		}},
		{"published without a sync of the file: a name without data", func(s situation) {
			s.put("/d/tmp", "NEW", 0)
			s.rename("/d/tmp", "/d/old")
			s.syncDir("/d")
		}, []string{
			"d/old= d/other=OTHER",
			"d/old=NEW d/other=OTHER",
		}},
		{"moved to another directory, only the target synced", func(s situation) {
			s.rename("/d/old", "/e/old")
			s.syncDir("/e")
		}, []string{
			"d/old=OLD d/other=OTHER e/old=OLD",
			"d/other=OTHER e/old=OLD",
		}},
		{"moved to another directory, only the source synced", func(s situation) {
			s.rename("/d/old", "/e/old")
			s.syncDir("/d")
		}, []string{
			"d/other=OTHER e/old=OLD",
		}},
		{"moved to another directory, nothing synced: never no name", func(s situation) {
			s.rename("/d/old", "/e/old")
		}, []string{
			"d/old=OLD d/other=OTHER",
			"d/old=OLD d/other=OTHER e/old=OLD",
			"d/other=OTHER e/old=OLD",
		}},
		{"renamed away and its name taken again: the old file has a name", func(s situation) {
			s.rename("/d/old", "/d/kept")
			s.put("/d/old", "NEW", 0)
			s.sync("/d/old")
		}, []string{
			"d/kept=OLD d/old=NEW d/other=OTHER", "d/kept=OLD d/other=OTHER", "d/old=OLD d/other=OTHER",
		}},
		{"renamed twice: without the first rename its target stays", func(s situation) {
			s.put("/d/tmp", "NEW", 0)
			s.sync("/d/tmp")
			s.rename("/d/tmp", "/d/old")
			s.rename("/d/old", "/d/kept")
		}, []string{
			"d/old=OLD d/other=OTHER", "d/old=OLD d/other=OTHER d/tmp=NEW", "d/old=NEW d/other=OTHER",
			"d/kept=NEW d/old=OLD d/other=OTHER", "d/kept=NEW d/old=OLD d/other=OTHER d/tmp=NEW",
			"d/kept=NEW d/other=OTHER",
		}},
		{"linked, directory not synced", func(s situation) { s.link("/d/old", "/e/old") }, []string{
			"d/old=OLD d/other=OTHER",
			"d/old=OLD d/other=OTHER e/old=OLD",
		}},
		{"linked, target synced, old name removed", func(s situation) {
			s.link("/d/old", "/e/old")
			s.syncDir("/e")
			s.remove("/d/old")
		}, []string{
			"d/old=OLD d/other=OTHER e/old=OLD",
			"d/other=OTHER e/old=OLD",
		}},
		{"removed and created again, directory not synced", func(s situation) {
			s.remove("/d/old")
			s.put("/d/old", "NEW", 0)
			s.sync("/d/old")
		}, []string{
			"d/old=NEW d/other=OTHER",
			"d/old=OLD d/other=OTHER",
			"d/other=OTHER",
		}},
		{"a directory made by MkdirAll is durable, a file in it is not", func(s situation) {
			must(s, s.m.MkdirAll("/d/x/y"))
			s.put("/d/x/y/f", "F", 0)
			s.sync("/d/x/y/f")
		}, []string{
			"d/old=OLD d/other=OTHER d/x/ d/x/y/",
			"d/old=OLD d/other=OTHER d/x/ d/x/y/ d/x/y/f=F",
		}},
		{"a directory renamed, not synced", func(s situation) { s.rename("/d", "/e/d") }, []string{
			"d/old=OLD d/other=OTHER",
			"d/old=OLD d/other=OTHER e/d/ e/d/old=OLD e/d/other=OTHER",
			"e/d/ e/d/old=OLD e/d/other=OTHER",
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := memfs.New()
			must(t, m.MkdirAll("/d"))
			must(t, m.MkdirAll("/e"))
			put(t, m, "/d/old", "OLD", 0, true)
			put(t, m, "/d/other", "OTHER", 0, true)
			must(t, m.SyncDir("/d"))
			if p := m.Pending(); len(p) > 0 {
				t.Fatalf("pending at first: %v", p)
			}
			c.do(situation{t, m})
			before := tree(t, m)
			var got []string
			for _, state := range states(t, m) {
				state = strings.Replace(" "+state+" ", " d/ d/", " d/", 1)
				state = strings.Replace(state, " e/ ", " ", 1)
				got = append(got, strings.TrimSpace(state))
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("possible states:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if after := tree(t, m); after != before {
				t.Errorf("the original changed from %s to %s", before, after)
			}
			if got := tree(t, m.CrashClone(memfs.Everything())); got != before {
				t.Errorf("everything survived, but it is %s, not %s", got, before)
			}
		})
	}
}

// A file that was removed while open keeps its bytes for its handles, and after
// the crash it is back unless the removal was synced.
func TestRemovedWhileOpen(t *testing.T) {
	m := memfs.New()
	put(t, m, "f", "synced", 0, true)
	must(t, m.SyncDir("/"))
	f, err := m.OpenWrite("f")
	must(t, err)
	defer f.Close()
	must(t, m.Remove("f"))
	_, err = f.WriteAt([]byte("SYN"), 0)
	must(t, err)
	if got, want := states(t, m), []string{"", "f=SYNced", "f=synced"}; !slices.Equal(got, want) {
		t.Errorf("possible states %q, want %q", got, want)
	}
	must(t, m.SyncDir("/"))
	if p := m.Pending(); len(p) > 0 {
		t.Errorf("pending for a file that no crash brings back: %v", p)
	}
	if got, want := states(t, m), []string{""}; !slices.Equal(got, want) {
		t.Errorf("possible states %q, want %q", got, want)
	}
}

func TestLinksShareOneFileAfterTheCrash(t *testing.T) {
	m := memfs.New()
	put(t, m, "a", "A", 0, true)
	must(t, m.Link("a", "b"))
	must(t, m.SyncDir("/"))
	c := m.CrashClone(memfs.Nothing())
	put(t, c, "a", "X", 0, false)
	if got := tree(t, c); got != "a=X b=X" {
		t.Errorf("after the crash %s, want one file with two names", got)
	}
	if st, err := c.Stat("b"); err != nil || st.Links != 2 {
		t.Errorf("after the crash %d links, %v; want 2", st.Links, err)
	}
	must(t, m.Remove("b"))
	must(t, m.SyncDir("/"))
	if st, err := m.CrashClone(memfs.Nothing()).Stat("a"); err != nil || st.Links != 1 {
		t.Errorf("after removal and crash %d links, %v; want 1", st.Links, err)
	}
}

func TestCloneAndOriginalAreIndependent(t *testing.T) {
	m := memfs.New()
	put(t, m, "f", sectors("abcdefghijklmnop"), 0, true)
	must(t, m.SyncDir("/"))
	c := m.CrashClone(memfs.Nothing())
	d := c.CrashClone(memfs.Nothing())
	put(t, m, "f", sectors("1"), 0, true)
	put(t, c, "f", sectors("2"), memfs.SectorSize, true)
	put(t, d, "g", "G", 0, false)
	must(t, c.Rename("f", "h"))
	for _, x := range []struct {
		m          *memfs.FS
		name, want string
	}{{m, "f", "1bcdefghijklmnop"}, {c, "h", "a2cdefghijklmnop"}, {d, "f", "abcdefghijklmnop"}} {
		if got := letters(t, get(t, x.m, x.name)); got != x.want {
			t.Errorf("%s holds %s, want %s", x.name, got, x.want)
		}
	}
	if got := get(t, m, "g") + get(t, c, "g") + get(t, c, "f"); got != "absentabsentabsent" {
		t.Errorf("names of one show in another: %s", got)
	}
}

func TestLocksAndHandlesAreNotCloned(t *testing.T) {
	m := memfs.New()
	l, err := m.Lock("LOCK", vfs.Exclusive)
	must(t, err)
	defer l.Close()
	must(t, m.SyncDir("/"))
	for what, c := range map[string]*memfs.FS{"crash": m.CrashClone(memfs.Nothing()), "kill": m.KillClone()} {
		if open := c.OpenFiles(); len(open) > 0 {
			t.Errorf("after a %s %q are open", what, open)
		}
		l, err := c.Lock("LOCK", vfs.Exclusive)
		if err != nil {
			t.Errorf("after a %s: %v", what, err)
			continue
		}
		must(t, l.Close())
	}
	if _, err := m.Lock("LOCK", vfs.Shared); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("the original lost its lock: %v", err)
	}
}

func TestSameSeedSameCrash(t *testing.T) {
	m := memfs.New()
	for i := range 20 {
		put(t, m, fmt.Sprint("f", i), sectors("abcd"), 0, false)
	}
	seen := map[uint64]bool{}
	for seed := range uint64(50) {
		a, b := m.CrashClone(memfs.Random(seed)), m.CrashClone(memfs.Random(seed))
		if tree(t, a) != tree(t, b) {
			t.Fatalf("seed %d gives two states", seed)
		}
		if a.Fingerprint() != b.Fingerprint() {
			t.Fatalf("seed %d: equal states have two fingerprints", seed)
		}
		seen[a.Fingerprint()] = true
	}
	if len(seen) < 20 {
		t.Errorf("50 seeds gave %d different states", len(seen))
	}
}
