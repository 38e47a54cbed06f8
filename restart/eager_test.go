package restart_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// TestEagerByImage: where memory has no room for what the log holds, an eager load
// takes the keys from the image, and as many values as there is room for.
func TestEagerByImage(t *testing.T) {
	fsys, want := imaged(t, 5000)
	o := small(fsys)
	o.Load, o.MemoryLimit = restart.Eager, 1<<20
	var last atomic.Pointer[restart.LoadInfo]
	o.Events.LoadProgress = func(i restart.LoadInfo) { last.Store(&i) }
	st := open(t, fsys, o)
	if rep := st.Recovery(); rep.Rung != restart.RungCleanImage || rep.Loaded <= 0 || rep.Entries != 5000 {
		t.Errorf("%v, loaded in %v", rep, rep.Loaded)
	}
	if i := last.Load(); i == nil || i.Done <= 0 || i.Done > i.Total {
		t.Errorf("progress %+v", i)
	}
	m := st.Metrics()
	if m.LogBytes*4 < m.MemoryLimit*3 || m.MemoryUsed > m.MemoryLimit || m.MemoryUsed < m.MemoryLimit/2 {
		t.Errorf("%d bytes of log, %d of %d in memory", m.LogBytes, m.MemoryUsed, m.MemoryLimit)
	}
	got, err := read(st)
	if err != nil || diff(got, want) != "" {
		t.Errorf("%v %s", err, diff(got, want))
	}
}

// TestEagerWritesNoImage: an eager open that took everything from the log knows
// which image there is: a close writes another only if something was written.
func TestEagerWritesNoImage(t *testing.T) {
	fsys, _ := imaged(t, 1000)
	o := small(fsys)
	o.Load = restart.Eager
	before := filesLike(t, fsys, "*.img")
	for _, write := range []bool{false, true} {
		st := open(t, fsys, o)
		if write {
			put(t, region(t, st, "a"), "more", "value")
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if changed := !slices.Equal(filesLike(t, fsys, "*.img"), before); changed != write {
			t.Errorf("written %v: images %v, were %v", write, filesLike(t, fsys, "*.img"), before)
		}
	}
	killed := fsys.KillClone()
	st := open(t, killed, o)
	put(t, region(t, st, "a"), "and more", "value")
	if err := st.Sync(); err != nil {
		t.Fatal(err)
	}
	killed = killed.KillClone()
	before = filesLike(t, killed, "*.img")
	if err := open(t, killed, o).Close(); err != nil {
		t.Fatal(err)
	}
	if slices.Equal(filesLike(t, killed, "*.img"), before) {
		t.Errorf("images %v, and a record behind them", before)
	}
}

// The context of OpenContext ends an eager load as well.
func TestEagerCancelled(t *testing.T) {
	fsys, want := imaged(t, 5000)
	ctx, cancel := context.WithCancel(t.Context())
	o := small(fsys)
	o.Load, o.Events.LoadProgress = restart.Eager, func(restart.LoadInfo) { cancel() }
	st, err := restart.OpenContext(ctx, dir, o)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("open: %v, %v", st, err)
	}
	if files := fsys.OpenFiles(); len(files) > 0 {
		t.Errorf("files left open: %v", files)
	}
	wantContents(t, fsys, small(nil), want)
}

// An eager open that finds a damaged value is refused, and has changed nothing. A
// lazy one serves the others.
func TestEagerRefusesDamage(t *testing.T) {
	live := memfs.New()
	writer := open(t, live, small(live))
	w := region(t, writer, "a")
	for i := range 5000 {
		put(t, w, fmt.Sprintf("key-%04d", i), strings.Repeat("v", 1+i%300))
	}
	checkpoint(t, writer)
	put(t, w, "key-0000", "in a tail that an open copies before it goes on")
	fsys := live.KillClone()
	segs := filesLike(t, fsys, "*.seg")
	if len(segs) < 3 {
		t.Fatalf("segments %v, want some", segs)
	}
	flip(t, fsys, segs[0], 10_000, 1)
	o := small(nil)
	o.Load = restart.Eager
	wantRefused(t, fsys, o)
	st := open(t, fsys, small(fsys))
	r := region(t, st, "a")
	damaged := 0
	for i := range 5000 {
		if _, err := r.Get([]byte(fmt.Sprintf("key-%04d", i))); errors.Is(err, restart.ErrCorrupt) {
			damaged++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if damaged != 1 {
		t.Errorf("%d values damaged, want 1", damaged)
	}
}

// TestEagerReason: an eager open that did not need an image says of a damaged one
// all the same that it was refused, and does not mind one that cannot be closed.
func TestEagerReason(t *testing.T) {
	fsys, want := imaged(t, 1000)
	st := open(t, fsys, small(fsys))
	put(t, region(t, st, "a"), "more", "value")
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	want["a"]["more"] = "value"
	names := filesLike(t, fsys, "*.img")
	newest := names[len(names)-1]
	flip(t, fsys, newest, 20, 1)
	e := errfs.Wrap(fsys)
	e.Inject(errfs.Rule{Kinds: errfs.Close, Name: "*.img", Times: errfs.Forever, Done: true, Err: errors.New("boom")})
	o := small(e)
	o.Load, o.ReadOnly = restart.Eager, true
	st, err := restart.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if why := st.Recovery().Reason; !strings.Contains(why, filepath.Base(newest)) || !strings.Contains(why, "everything is to be loaded") {
		t.Errorf("reason %q", why)
	}
	got, err := read(st)
	if err := errors.Join(err, st.Close()); err != nil || diff(got, want) != "" {
		t.Errorf("%v %s", err, diff(got, want))
	}
}

// TestOpenWithEndedContext: a context that has ended ends every open that has
// something to replay, before it changes anything.
func TestOpenWithEndedContext(t *testing.T) {
	fsys := memfs.New()
	st := open(t, fsys, small(fsys))
	r := region(t, st, "a")
	for i := range 100 { // few records a segment
		put(t, r, fmt.Sprint("key-", i), strings.Repeat("v", 3000))
	}
	if err := st.Sync(); err != nil {
		t.Fatal(err)
	}
	killed := fsys.KillClone()
	before := directoryState(t, killed)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, mode := range []restart.LoadMode{restart.Lazy, restart.Eager, restart.KeysOnly} {
		o := small(killed)
		o.Load = mode
		if _, err := restart.OpenContext(ctx, dir, o); !errors.Is(err, context.Canceled) {
			t.Errorf("%v: %v", mode, err)
		}
		if d := lost(before, directoryState(t, killed)); d != "" {
			t.Errorf("%v: %s", mode, d)
		}
	}
}
