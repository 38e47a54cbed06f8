package errfs_test

import (
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/vfs/vfstest"
)

func TestConformance(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) (vfs.FS, string) {
		e := errfs.Wrap(vfs.Default)
		t.Cleanup(func() {
			if open := e.OpenFiles(); len(open) > 0 {
				t.Errorf("files left open: %q", open)
			}
		})
		return e, t.TempDir()
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, fsys vfs.FS, name string) vfs.File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func content(t testing.TB, fsys vfs.FS, name string) string {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	p := make([]byte, size)
	_, err = f.ReadAt(p, 0)
	must(t, err)
	return string(p)
}

// workload does one operation of each mutating kind and stops at the first
// error.
func workload(fsys vfs.FS) error {
	if err := fsys.MkdirAll("/d"); err != nil {
		return err
	}
	f, err := fsys.Create("/d/a")
	if err != nil {
		return err
	}
	defer f.Close()
	for _, step := range []func() error{
		func() error { return f.Allocate(10) },
		func() error { _, err := f.WriteAt([]byte("hello"), 0); return err },
		func() error { return f.Truncate(5) },
		f.Sync,
		f.SyncData,
		func() error { return fsys.Link("/d/a", "/d/b") },
		func() error { return fsys.Rename("/d/b", "/d/c") },
		func() error { return fsys.SyncDir("/d") },
		func() error { return fsys.Remove("/d/c") },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Every operation of a workload fails in one round, in order, and the round
// after the last one runs through.
func TestEveryFailsEachOperationOnce(t *testing.T) {
	var failed []string
	rounds := 0
	for i, e := range errfs.Every(
		func() vfs.FS { return memfs.New() },
		errfs.Rule{Kinds: errfs.Mutations, Err: syscall.EIO},
	) {
		if i != rounds {
			t.Fatalf("round %d is numbered %d", rounds, i)
		}
		rounds++
		err := workload(e)
		if err == nil {
			continue
		}
		if !errors.Is(err, syscall.EIO) {
			t.Fatalf("round %d: %v, want EIO", i, err)
		}
		failed = append(failed, strings.Fields(err.Error())[0])
	}
	want := []string{"mkdir", "create", "allocate", "write", "truncate", "sync", "syncdata", "link", "rename", "syncdir", "remove"}
	if !slices.Equal(failed, want) {
		t.Errorf("failed %q, want %q", failed, want)
	}
	if rounds != len(want)+1 {
		t.Errorf("%d rounds, want %d and one without a failure", rounds, len(want))
	}
}

func TestRuleSelectsByKindNameAndNumber(t *testing.T) {
	for _, c := range []struct {
		what string
		rule errfs.Rule
		want string // of eight writes, to a.seg and b.idx in turn: which fail
	}{
		{"the first of all", errfs.Rule{}, "x......."},
		{"of another kind", errfs.Rule{Kinds: errfs.Sync}, "........"},
		{"by pattern", errfs.Rule{Name: "*.idx"}, ".x......"},
		{"the second by pattern", errfs.Rule{Name: "*.idx", Skip: 1}, "...x...."},
		{"two from the third on", errfs.Rule{Skip: 2, Times: 2}, "..xx...."},
		{"all from the sixth on", errfs.Rule{Skip: 5, Times: errfs.Forever}, ".....xxx"},
		{"by function", errfs.Rule{Times: errfs.Forever, Match: func(op errfs.Op) bool { return op.Offset == 2 }}, "....xx.."},
	} {
		e := errfs.Wrap(memfs.New())
		files := []vfs.File{create(t, e, "a.seg"), create(t, e, "b.idx")}
		rule := c.rule
		if rule.Kinds == 0 {
			rule.Kinds = errfs.Write
		}
		rule.Err = syscall.EIO
		inj := e.Inject(rule)
		got := ""
		for i := range 8 {
			if _, err := files[i%2].WriteAt([]byte("x"), int64(i/2)); err != nil {
				got += "x"
			} else {
				got += "."
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
		if hits := strings.Count(c.want, "x"); inj.Hits() != hits {
			t.Errorf("%s: Hits() = %d, want %d", c.what, inj.Hits(), hits)
		}
		inj.Remove()
		if _, err := files[0].WriteAt([]byte("x"), 0); err != nil {
			t.Errorf("%s: the removed rule still acts: %v", c.what, err)
		}
	}
}

func TestFailedOperationHasTheEffectThatItsRuleSays(t *testing.T) {
	for _, c := range []struct {
		what string
		rule errfs.Rule
		n    int
		err  error
		want string
	}{
		{"none", errfs.Rule{Err: syscall.EIO}, 0, syscall.EIO, "........"},
		{"short", errfs.Rule{Err: syscall.ENOSPC, Short: 3}, 3, syscall.ENOSPC, "abc....."},
		{"short without a reason", errfs.Rule{Short: 3}, 3, io.ErrShortWrite, "abc....."},
		{"full", errfs.Rule{Err: syscall.EIO, Done: true}, 8, syscall.EIO, "abcdefgh"},
		{"shorter than short", errfs.Rule{Short: 9}, 8, nil, "abcdefgh"},
		{"altered", errfs.Rule{Alter: func(_ errfs.Op, p []byte) { p[1] ^= 1 }}, 8, nil, "accdefgh"},
	} {
		e := errfs.Wrap(memfs.New())
		f := create(t, e, "a")
		_, err := f.WriteAt([]byte("........"), 0)
		must(t, err)
		rule := c.rule
		rule.Kinds = errfs.Write
		e.Inject(rule)
		data := []byte("abcdefgh")
		n, err := f.WriteAt(data, 0)
		if n != c.n || !errors.Is(err, c.err) {
			t.Errorf("%s: WriteAt = %d, %v; want %d, %v", c.what, n, err, c.n, c.err)
		}
		if got := content(t, e, "a"); got != c.want {
			t.Errorf("%s: the file holds %q, want %q", c.what, got, c.want)
		}
		if string(data) != "abcdefgh" {
			t.Errorf("%s: the caller's bytes were changed", c.what)
		}
	}
}

func TestReads(t *testing.T) {
	e := errfs.Wrap(memfs.New())
	f := create(t, e, "a")
	_, err := f.WriteAt([]byte("abcdefgh"), 0)
	must(t, err)
	read := func(rule errfs.Rule) (string, error) {
		rule.Kinds = errfs.Read
		defer e.Inject(rule).Remove()
		p := make([]byte, 8)
		n, err := f.ReadAt(p, 0)
		return string(p[:n]), err
	}
	if got, err := read(errfs.Rule{Err: syscall.EIO}); got != "" || !errors.Is(err, syscall.EIO) {
		t.Errorf("failed: %q, %v", got, err)
	}
	if got, err := read(errfs.Rule{Short: 2}); got != "ab" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short: %q, %v", got, err)
	}
	flip := func(_ errfs.Op, p []byte) { p[7] ^= 1 }
	if got, err := read(errfs.Rule{Alter: flip}); got != "abcdefgi" || err != nil {
		t.Errorf("altered: %q, %v", got, err)
	}
}

// Of several rules that fail one operation the first decides, and all are hit.
func TestFirstErrorCounts(t *testing.T) {
	e := errfs.Wrap(memfs.New(), errfs.Rule{Skip: 1, Err: syscall.EIO}, errfs.Rule{Skip: 1, Err: syscall.ENOSPC})
	third := e.Inject(errfs.Rule{Skip: 1})
	create(t, e, "a")
	if err := e.Remove("a"); !errors.Is(err, syscall.EIO) {
		t.Errorf("error %v, want EIO", err)
	}
	if third.Hits() != 1 || third.Seen() != 2 {
		t.Errorf("the last rule: %d of %d, want 1 of 2", third.Hits(), third.Seen())
	}
	e.Clear()
	must(t, e.Remove("a"))
}

// A rename that reports an error may have happened.
func TestRenameFailsAfterItsEffect(t *testing.T) {
	e := errfs.Wrap(memfs.New())
	create(t, e, "a")
	e.Inject(errfs.Rule{Kinds: errfs.Rename, Err: syscall.EIO, Done: true})
	if err := e.Rename("a", "b"); !errors.Is(err, syscall.EIO) {
		t.Fatalf("error %v, want EIO", err)
	}
	if _, err := e.Stat("b"); err != nil {
		t.Errorf("the rename did not happen: %v", err)
	}
}

// Opened and failed then: no handle may be left in the file system beneath.
func TestFailedOpenLeaksNothing(t *testing.T) {
	m := memfs.New()
	e := errfs.Wrap(m, errfs.Rule{Kinds: errfs.Create | errfs.Lock, Times: errfs.Forever, Err: syscall.EMFILE, Done: true})
	if _, err := e.Create("a"); !errors.Is(err, syscall.EMFILE) {
		t.Fatalf("error %v, want EMFILE", err)
	}
	if _, err := e.Lock("a", vfs.Exclusive); !errors.Is(err, syscall.EMFILE) {
		t.Fatalf("error %v, want EMFILE", err)
	}
	if open := append(m.OpenFiles(), e.OpenFiles()...); len(open) > 0 {
		t.Errorf("left open: %q", open)
	}
}

func TestOpenFilesNamesEachHandle(t *testing.T) {
	e := errfs.Wrap(memfs.New())
	f := create(t, e, "b")
	g, err := e.Open("b")
	must(t, err)
	l, err := e.Lock("LOCK", vfs.Exclusive)
	must(t, err)
	if got, want := e.OpenFiles(), []string{"LOCK", "b", "b"}; !slices.Equal(got, want) {
		t.Errorf("open %q, want %q", got, want)
	}
	must(t, l.Close())
	must(t, g.Close())
	if got, want := e.OpenFiles(), []string{"b"}; !slices.Equal(got, want) {
		t.Errorf("open %q, want %q", got, want)
	}
	e.Inject(errfs.Rule{Kinds: errfs.Close, Err: syscall.EIO})
	if err := f.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("Close: %v, want EIO", err)
	}
	if got := append(e.OpenFiles(), e.Inner().(*memfs.FS).OpenFiles()...); len(got) > 0 {
		t.Errorf("open %q after a Close that failed, want none", got)
	}
}

// Once a sync failed over memfs, the bytes read back, later syncs succeed, and
// the crash loses them.
func TestFailedSyncOverMemfs(t *testing.T) {
	for _, sync := range []struct {
		kind errfs.Kind
		call func(vfs.File) error
	}{
		{errfs.Sync, vfs.File.Sync},
		{errfs.SyncData, vfs.File.SyncData},
	} {
		m := memfs.New()
		e := errfs.Wrap(errfs.Wrap(m)) // the outer one passes it through the inner one
		f := create(t, e, "a")
		must(t, e.SyncDir("/"))
		e.Inject(errfs.Rule{Kinds: sync.kind, Err: syscall.EIO})
		_, err := f.WriteAt([]byte("gone"), 0)
		must(t, err)
		if err := sync.call(f); !errors.Is(err, syscall.EIO) {
			t.Fatalf("%v: error %v, want EIO", sync.kind, err)
		}
		must(t, sync.call(f))
		if got := content(t, e, "a"); got != "gone" {
			t.Errorf("%v: before the crash %q, want the bytes to read back", sync.kind, got)
		}
		if got := content(t, m.CrashClone(memfs.Everything()), "a"); got != "\x00\x00\x00\x00" {
			t.Errorf("%v: after the crash %q, want zeros", sync.kind, got)
		}
	}
}

func TestFailedSyncDirOverMemfs(t *testing.T) {
	m := memfs.New()
	e := errfs.Wrap(m, errfs.Rule{Kinds: errfs.SyncDir, Err: syscall.EIO})
	create(t, e, "a")
	if err := e.SyncDir("/"); !errors.Is(err, syscall.EIO) {
		t.Fatalf("error %v, want EIO", err)
	}
	if _, err := m.CrashClone(memfs.Nothing()).Stat("a"); err == nil {
		t.Error("a name is durable although SyncDir failed")
	}
	must(t, e.SyncDir("/"))
	if _, err := m.CrashClone(memfs.Nothing()).Stat("a"); err != nil {
		t.Error(err)
	}
}

// A blocked operation blocks nobody else, and After sees the result.
func TestDelay(t *testing.T) {
	e := errfs.Wrap(memfs.New())
	f := create(t, e, "a")
	entered, release := make(chan errfs.Op), make(chan struct{})
	result := make(chan error, 1)
	e.Inject(errfs.Rule{
		Kinds:  errfs.SyncData,
		Before: func(op errfs.Op) { entered <- op; <-release },
		After:  func(_ errfs.Op, err error) { result <- err },
		Err:    syscall.EIO,
	})
	done := make(chan error)
	go func() { done <- f.SyncData() }()
	if op := <-entered; op.Kind != errfs.SyncData || op.Name != "a" {
		t.Errorf("Before got %v", op)
	}
	if _, err := f.WriteAt([]byte("meanwhile"), 0); err != nil {
		t.Error(err)
	}
	close(release)
	if err := <-done; !errors.Is(err, syscall.EIO) {
		t.Errorf("SyncData: %v, want EIO", err)
	}
	if err := <-result; !errors.Is(err, syscall.EIO) {
		t.Errorf("After got %v, want EIO", err)
	}
}

func TestLimitGrowth(t *testing.T) {
	for name, fsys := range map[string]vfs.FS{"memfs": memfs.New(), "os": vfs.Default} {
		dir := t.TempDir()
		must(t, fsys.MkdirAll(dir))
		e := errfs.Wrap(fsys)
		f := create(t, e, filepath.Join(dir, "a"))
		e.LimitGrowth(10)
		if free, _, err := e.Free(dir); err != nil || free != 10 {
			t.Errorf("%s: Free = %d, %v; want 10", name, free, err)
		}
		_, err := f.WriteAt([]byte("12345678"), 0)
		must(t, err)
		n, err := f.WriteAt([]byte("abcdef"), 6)
		if n != 4 || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: WriteAt = %d, %v; want 4, ENOSPC", name, n, err)
		}
		if err := f.Allocate(11); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: Allocate: %v, want ENOSPC", name, err)
		}
		if err := f.Truncate(11); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: Truncate: %v, want ENOSPC", name, err)
		}
		_, err = f.WriteAt([]byte("in place"), 2)
		must(t, err)
		must(t, f.Truncate(9))
		if got := content(t, e, f.Name()); got != "12in plac" {
			t.Errorf("%s: the file holds %q", name, got)
		}
		e.LimitGrowth(-1)
		_, err = f.WriteAt([]byte("there is space again"), 9)
		must(t, err)
	}
}

func TestCount(t *testing.T) {
	e := errfs.Wrap(memfs.New())
	must(t, workload(e))
	for _, c := range []struct {
		kinds errfs.Kind
		want  int64
	}{
		{errfs.Write, 1}, {errfs.Syncs, 3}, {errfs.Mutations, 11}, {errfs.Read, 0}, {errfs.Any, 12},
	} {
		if got := e.Count(c.kinds); got != c.want {
			t.Errorf("Count(%v) = %d, want %d", c.kinds, got, c.want)
		}
	}
}
