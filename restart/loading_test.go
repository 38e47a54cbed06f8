package restart_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// A store is right from the moment that it is open, whatever of it is loaded.

// imaged returns the files of a closed store of n entries in region "a".
func imaged(t *testing.T, n int) (*memfs.FS, contents) {
	t.Helper()
	fsys := memfs.New()
	st := open(t, fsys, small(fsys))
	r := region(t, st, "a")
	want := contents{"a": {}}
	for i := range n {
		k, v := fmt.Sprintf("key-%04d", i), strings.Repeat("v", 1+i%300)
		put(t, r, k, v)
		want["a"][k] = v
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return fsys, want
}

// stalled is a store whose loader reads one part of the image, and goes on
// reading it until release is called.
type stalled struct {
	st      *restart.Store
	r       *restart.Region
	want    contents
	inside  []string // keys in the part
	outside []string
	release func()
	damaged func() int // parts reported damaged so far
}

func stallLoad(t *testing.T, o restart.Options) *stalled {
	t.Helper()
	fsys, want := imaged(t, 1000)
	im := decodeImage(t, readAll(t, fsys, filesLike(t, fsys, "*.img")[0]))
	const n = 20
	part := im.Regions[0].Parts[n]
	s := &stalled{want: want}
	for k := range want["a"] {
		if index.Part(index.HashKey([]byte(k)), im.Regions[0].PartBits) == n {
			s.inside = append(s.inside, k)
		} else {
			s.outside = append(s.outside, k)
		}
	}
	if len(s.inside) < 3 || len(s.inside) != part.Entries {
		t.Fatalf("%d keys in part %d, which has %d", len(s.inside), n, part.Entries)
	}
	started, gate := make(chan struct{}), make(chan struct{})
	s.release = sync.OnceFunc(func() { close(gate) })
	efs := errfs.Wrap(fsys, errfs.Rule{
		Kinds: errfs.Read, Name: "*.img", Match: func(op errfs.Op) bool { return op.Offset == part.Offset },
		Before: func(errfs.Op) { close(started); <-gate },
	})
	var mu sync.Mutex
	var damaged int
	o.FS, o.SegmentSize, o.MemoryLimit = efs, 64<<10, 8<<20
	o.Events.PartDamaged = func(string, error) { mu.Lock(); damaged++; mu.Unlock() }
	s.damaged = func() int { mu.Lock(); defer mu.Unlock(); return damaged }
	st, err := restart.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	s.st, s.r = st, region(t, st, "a")
	t.Cleanup(func() {
		s.release()
		if err := st.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if files := fsys.OpenFiles(); len(files) > 0 {
			t.Errorf("files left open: %v", files)
		}
		if n := s.damaged(); n != 0 {
			t.Errorf("%d parts reported damaged", n)
		}
	})
	<-started
	return s
}

// wait spins until ok, without a clock.
func wait(ok func() bool) {
	for !ok() {
		runtime.Gosched()
	}
}

func TestLoadingOthersGoOn(t *testing.T) {
	s := stallLoad(t, restart.Options{})
	for _, k := range s.outside {
		wantValue(t, s.r, k, s.want["a"][k])
	}
	put(t, s.r, s.outside[0], "new")
	if err := s.r.Delete([]byte(s.outside[1])); err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		v, err := s.r.Get([]byte(s.inside[0]))
		if err == nil && string(v) != s.want["a"][s.inside[0]] {
			err = fmt.Errorf("got %.20q", v)
		}
		got <- err
	}()
	go func() { got <- s.r.Put([]byte(s.inside[1]), []byte("new")) }()
	go func() { got <- s.r.Delete([]byte(s.inside[2])) }()
	select {
	case err := <-got:
		t.Errorf("an operation on a part that is not loaded returned (%v)", err)
	default:
	}
	s.release()
	for range 3 {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	s.want["a"][s.outside[0]], s.want["a"][s.inside[1]] = "new", "new"
	delete(s.want["a"], s.outside[1])
	delete(s.want["a"], s.inside[2])
	all, err := read(s.st)
	if err != nil || diff(all, s.want) != "" {
		t.Errorf("%v %s", err, diff(all, s.want))
	}
}

// A region may be emptied, dropped or closed while a part of it is read; what
// is read then is nobody's, and no damage is reported.
func TestLoadingMeetsClear(t *testing.T) {
	s := stallLoad(t, restart.Options{})
	if err := s.r.Clear(); err != nil {
		t.Fatal(err)
	}
	put(t, s.r, s.inside[0], "after")
	s.release()
	for _, k := range s.inside[1:] {
		wantValue(t, s.r, k, "-")
	}
	wantValue(t, s.r, s.inside[0], "after")
	if n := s.r.Len(); n != 1 {
		t.Errorf("Len %d, want 1", n)
	}
}

func TestLoadingMeetsDrop(t *testing.T) {
	s := stallLoad(t, restart.Options{})
	if err := s.st.DropRegion("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.r.Get([]byte(s.inside[0])); !errors.Is(err, restart.ErrDropped) {
		t.Errorf("get: %v, want ErrDropped", err)
	}
	again := region(t, s.st, "a")
	put(t, again, s.inside[1], "again")
	s.release()
	wantValue(t, again, s.inside[0], "-")
	wantValue(t, again, s.inside[1], "again")
}

func TestLoadingMeetsClose(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		t.Run(fmt.Sprintf("read-only %v", readOnly), func(t *testing.T) {
			s := stallLoad(t, restart.Options{ReadOnly: readOnly})
			closed := make(chan error)
			go func() { closed <- s.st.Close() }()
			if readOnly { // a writer's Close loads all, for its image
				wait(func() bool { _, err := s.r.Get([]byte(s.outside[0])); return errors.Is(err, restart.ErrClosed) })
			}
			s.release()
			if err := <-closed; err != nil {
				t.Error(err)
			}
		})
	}
}

// loadModes are the ways to open, with what must hold when all is loaded.
func TestLoadModes(t *testing.T) {
	for _, mode := range []restart.LoadMode{restart.Lazy, restart.Eager, restart.KeysOnly} {
		t.Run(mode.String(), func(t *testing.T) {
			fsys, want := imaged(t, 1000)
			loaded := make(chan restart.RecoveryReport, 1)
			o := small(fsys)
			o.Load, o.Events.Loaded = mode, func(r restart.RecoveryReport) { loaded <- r }
			st := open(t, fsys, o)
			if mode == restart.Eager && len(loaded) == 0 {
				t.Error("Open returned before everything was loaded")
			}
			rung := restart.RungCleanImage
			if mode == restart.Eager {
				rung = restart.RungFullScan // the quickest way to everything
			}
			if rep := <-loaded; rep.Loaded <= 0 || rep.Rung != rung || rep.Entries != 1000 {
				t.Errorf("%v, loaded in %v", rep, rep.Loaded)
			}
			if rep := st.Recovery(); rep.OpenTook <= 0 || rep.OpenTook < rep.Took || rep.FirstRead != 0 ||
				mode == restart.Eager && rep.OpenTook < rep.Loaded {
				t.Errorf("open took %v, recovery %v, first read after %v, loaded after %v", rep.OpenTook, rep.Took, rep.FirstRead, rep.Loaded)
			}
			if _, err := region(t, st, "a").Get([]byte("no such key")); !errors.Is(err, restart.ErrNotFound) {
				t.Error(err)
			}
			first := st.Recovery().FirstRead
			if _, err := region(t, st, "a").Get([]byte("no such key")); !errors.Is(err, restart.ErrNotFound) {
				t.Error(err)
			}
			if rep := st.Recovery(); first < rep.OpenTook || rep.FirstRead != first {
				t.Errorf("first read after %v, open took %v; after the second read: %v", first, rep.OpenTook, rep.FirstRead)
			}
			for _, name := range fsys.OpenFiles() {
				if strings.HasSuffix(name, ".img") {
					t.Errorf("%s is still open", name)
				}
			}
			got, err := read(st)
			if err != nil || diff(got, want) != "" {
				t.Errorf("%v %s", err, diff(got, want))
			}
			faults := st.Metrics().FaultIns
			if mode == restart.KeysOnly && faults < 1000 || mode != restart.KeysOnly && faults != 0 {
				t.Errorf("%d values read from the log", faults)
			}
		})
	}
}

// TestWorkWhileLoading opens again and again, in every mode, and works at once:
// every kind of operation meets parts in every state, and a load of parts and
// values, or of the whole, in every state.
func TestWorkWhileLoading(t *testing.T) {
	rounds := 160
	if raceEnabled {
		rounds = 40
	}
	s := seed(t)
	for name, o := range map[string]restart.Options{
		"parts": {SegmentSize: 64 << 10, MemoryLimit: 2 << 20, Compaction: restart.NoCompaction},
		"whole": restart.LoadWhole(restart.Options{SegmentSize: 64 << 10, MemoryLimit: 64 << 20, Compaction: restart.NoCompaction}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { workWhileLoading(t, rounds, s, o) })
		})
	}
}

func workWhileLoading(t *testing.T, rounds int, s uint64, o restart.Options) {
	m := newModel(t, s, o)
	for i := range 6000 {
		r := m.region()
		k, v := fmt.Sprintf("key-%d", i%2000), m.value()
		m.check("put", r.Put([]byte(k), v))
		m.want[r.Name()][k] = string(v)
	}
	rnd := rand.New(rand.NewPCG(s, 2))
	rungs := map[restart.Rung]int{}
	loaded := 0
	for range rounds {
		if rnd.IntN(3) == 0 {
			m.check("sync", m.st.Sync())
			after := m.fs.KillClone()
			m.close()
			m.fs = after
		} else {
			m.close()
		}
		m.opts.Load = restart.LoadMode(rnd.IntN(3))
		m.open()
		rungs[m.st.Recovery().Rung]++
		// Before the background begins, when it does, or when it is through.
		time.Sleep(time.Duration(9+rnd.IntN(3)) * time.Millisecond)
		for range rnd.IntN(60) {
			m.act(rnd)
		}
		if rnd.IntN(4) == 0 {
			m.compare()
		}
		if m.st.Recovery().Loaded != 0 {
			loaded++
		}
	}
	m.compare()
	m.close()
	t.Logf("%v, %d loaded", rungs, loaded)
	if rungs[restart.RungCleanImage] == 0 || rungs[restart.RungImageTail] == 0 || loaded == 0 {
		t.Error("a rung was not met, or nothing was loaded")
	}
}

// act does one operation, the rarer ones more often than step does.
func (m *model) act(rnd *rand.Rand) {
	switch rnd.IntN(30) {
	case 0:
		m.check("compact", m.st.Compact(m.t.Context()))
	case 1:
		m.check("checkpoint", m.st.Checkpoint(m.t.Context()))
	case 2:
		m.scan()
	case 3:
		if rnd.IntN(8) == 0 {
			r := m.region()
			m.check("clear", r.Clear())
			clear(m.want[r.Name()])
		}
	case 4:
		r := m.region()
		if n := r.Len(); n != len(m.want[r.Name()]) {
			m.t.Fatalf("Len %d, want %d", n, len(m.want[r.Name()]))
		}
	case 5:
		m.batch()
	case 6:
		r, k := m.region(), m.key()
		got, err := r.Has(k)
		if _, want := m.want[r.Name()][string(k)]; err != nil || got != want {
			m.t.Fatalf("Has %q = %v, %v, want %v", k, got, err, want)
		}
	default:
		m.step()
	}
}

// Read-only opens beside each other, while they load.
func TestReadOnlyWhileLoading(t *testing.T) {
	fsys, want := imaged(t, 1000)
	before := directoryState(t, fsys)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, mode := range []restart.LoadMode{restart.Lazy, restart.Eager, restart.KeysOnly} {
				st, err := restart.Open(dir, restart.Options{FS: fsys, ReadOnly: true, Load: mode})
				if err != nil {
					t.Error(err)
					return
				}
				got, err := read(st)
				if err != nil || diff(got, want) != "" {
					t.Errorf("%v %s", err, diff(got, want))
				}
				if err := st.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	after := directoryState(t, fsys)
	if d := lost(before, after); d != "" || len(after) != len(before) {
		t.Errorf("readers changed the directory: %s, %d files, were %d", d, len(after), len(before))
	}
}
