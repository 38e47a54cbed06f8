package restart_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// A checkpoint is fuzzy: writers go on between C, where replay will start, and
// E, where its last part was copied. What they do there is found by replay, on
// whichever side of the copy it fell.

// fuzzy is a store with a checkpoint under way: region "early" was copied,
// "half" is in the middle, "late" is to come.
type fuzzy struct {
	st   *restart.Store
	want contents
}

func (f *fuzzy) region(t *testing.T, name string) *restart.Region { return region(t, f.st, name) }

// each calls fn for all keys of the three regions.
func (f *fuzzy) each(t *testing.T, fn func(r *restart.Region, k string)) {
	t.Helper()
	for _, name := range []string{"early", "half", "late"} {
		r := f.region(t, name)
		for k := range f.want.Clone()[name] {
			fn(r, k)
		}
	}
}

func (f *fuzzy) put(t *testing.T, r *restart.Region, k, v string) {
	t.Helper()
	put(t, r, k, v)
	f.want[r.Name()][k] = v
}

func (f *fuzzy) check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var duringCheckpoint = map[string]func(t *testing.T, f *fuzzy){
	"overwritten": func(t *testing.T, f *fuzzy) {
		f.each(t, func(r *restart.Region, k string) { f.put(t, r, k, "new "+k) })
	},
	"deleted": func(t *testing.T, f *fuzzy) {
		f.each(t, func(r *restart.Region, k string) {
			f.check(t, r.Delete([]byte(k)))
			delete(f.want[r.Name()], k)
		})
	},
	"deleted and put again": func(t *testing.T, f *fuzzy) {
		f.each(t, func(r *restart.Region, k string) {
			f.check(t, r.Delete([]byte(k)))
			f.put(t, r, k, "again "+k)
		})
	},
	"cleared": func(t *testing.T, f *fuzzy) {
		for name := range f.want {
			f.check(t, f.region(t, name).Clear())
			clear(f.want[name])
		}
	},
	"cleared and filled": func(t *testing.T, f *fuzzy) {
		for name := range f.want {
			f.check(t, f.region(t, name).Clear())
			clear(f.want[name])
			for i := range 20 {
				f.put(t, f.region(t, name), fmt.Sprintf("%04d", i*7), "filled")
			}
			f.check(t, f.region(t, name).Clear())
			clear(f.want[name])
			f.put(t, f.region(t, name), "0003", "twice")
		}
	},
	"dropped": func(t *testing.T, f *fuzzy) {
		for name := range f.want.Clone() {
			f.check(t, f.st.DropRegion(name))
			delete(f.want, name)
		}
	},
	"dropped and made again": func(t *testing.T, f *fuzzy) {
		for name := range f.want.Clone() {
			f.check(t, f.st.DropRegion(name))
			f.want[name] = map[string]string{}
			f.put(t, f.region(t, name), "0001", "of another region")
		}
	},
	"new region": func(t *testing.T, f *fuzzy) {
		f.want["new"] = map[string]string{}
		f.put(t, f.region(t, "new"), "k", "v")
	},
	"batch": func(t *testing.T, f *fuzzy) {
		b := f.st.NewBatch()
		f.each(t, func(r *restart.Region, k string) {
			if k[3]%2 == 0 {
				b.Delete(r, []byte(k))
				delete(f.want[r.Name()], k)
			} else {
				b.Put(r, []byte(k), []byte("batched"))
				f.want[r.Name()][k] = "batched"
			}
		})
		_, err := f.st.Apply(b)
		f.check(t, err)
	},
	"compacted": func(t *testing.T, f *fuzzy) { f.check(t, f.st.Compact(t.Context())) },
	"deleted and compacted": func(t *testing.T, f *fuzzy) {
		f.each(t, func(r *restart.Region, k string) {
			if k[3]%3 == 0 {
				f.check(t, r.Delete([]byte(k)))
				delete(f.want[r.Name()], k)
			}
		})
		f.check(t, f.st.Compact(t.Context()))
	},
	"order built": func(t *testing.T, f *fuzzy) {
		for range f.region(t, "half").Ascend(nil, nil) {
			break
		}
		f.each(t, func(r *restart.Region, k string) { f.put(t, r, k, "in order") })
	},
}

func TestCheckpointFuzzy(t *testing.T) {
	for what, act := range duringCheckpoint {
		t.Run(what, func(t *testing.T) {
			mem := memfs.New()
			efs := errfs.Wrap(mem)
			o := small(efs)
			o.Compaction = restart.NoCompaction
			var info restart.CheckpointInfo
			o.Events.CheckpointEnd = func(i restart.CheckpointInfo) { info = i }
			st, err := restart.Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			f := &fuzzy{st: st, want: contents{}}
			defer func() {
				if err := st.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			long := strings.Repeat("k", 4000)                        // keys that fill the image's buffer soon
			for _, name := range []string{"early", "half", "late"} { // in the order in which they are copied
				f.want[name] = map[string]string{}
				n := 30
				if name == "half" {
					n = 400
				}
				for i := range n {
					f.put(t, f.region(t, name), fmt.Sprintf("%04d%s", i, long), "old")
				}
			}
			var from, to restart.LSN
			acted := efs.Inject(errfs.Rule{Kinds: errfs.Write, Name: "image.tmp", Before: func(errfs.Op) {
				from = st.Metrics().End
				act(t, f)
				to = st.Metrics().End
			}})
			checkpoint(t, st)
			acted.Remove()
			if acted.Hits() != 1 || info.From > from || from >= to || to > info.To {
				t.Fatalf("acted %d times, from %d to %d, not within the checkpoint's %d to %d", acted.Hits(), from, to, info.From, info.To)
			}
			for i, after := range []*memfs.FS{mem.KillClone(), mem.CrashClone(memfs.Nothing()), mem.CrashClone(memfs.Random(1))} {
				rep := wantContents(t, after, small(nil), f.want)
				if rep.Rung != restart.RungImageTail {
					t.Errorf("crash %d: %v, want the image used", i, rep)
				}
				wantContents(t, after, small(nil), f.want)
			}
			f.damagedParts(t, mem.KillClone(), 8)
			f.want["last"] = map[string]string{}
			f.put(t, f.region(t, "last"), "k", "v")
			checkpoint(t, st)
			f.damagedParts(t, mem.KillClone(), 1) // the older image was taken meanwhile
		})
	}
}

// damagedParts opens the store with one in so many parts of its newest image
// damaged.
func (f *fuzzy) damagedParts(t *testing.T, fsys *memfs.FS, one int) {
	t.Helper()
	images := filesLike(t, fsys, "*.img")
	name := images[len(images)-1]
	for _, r := range decodeImage(t, readAll(t, fsys, name)).Regions {
		for i, p := range r.Parts {
			if p.Entries > 0 && i%one == 0 {
				flip(t, fsys, name, p.Offset+p.Length/2, 0x10)
			}
		}
	}
	wantContents(t, fsys, small(nil), f.want)
}

// A checkpoint that fails leaves the last image in force, and nothing behind.
func TestCheckpointFails(t *testing.T) {
	fails := 0
	for i, efs := range errfs.Every(func() vfs.FS { return memfs.New() }, errfs.Rule{
		Kinds: errfs.Create | errfs.Write | errfs.Sync | errfs.Rename, Name: "image.tmp", Err: errors.New("injected"),
	}) {
		mem := efs.Inner().(*memfs.FS)
		o := small(efs)
		var events int
		o.Events.CheckpointEnd = func(i restart.CheckpointInfo) {
			if i.Err != nil {
				events++
			}
		}
		st, err := restart.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		put(t, region(t, st, "a"), "k", "v")
		err = st.Checkpoint(t.Context())
		if err != nil {
			fails++
			if !strings.Contains(err.Error(), "injected") || events != 1 {
				t.Errorf("round %d: %v, %d events", i, err, events)
			}
			if images := filesLike(t, mem, "image.tmp"); len(images) > 0 {
				t.Errorf("round %d left %v", i, images)
			}
		}
		efs.Clear()
		put(t, region(t, st, "a"), "l", "w")
		checkpoint(t, st)
		if err := st.Close(); err != nil {
			t.Errorf("round %d: close: %v", i, err)
		}
		wantContents(t, mem, small(nil), contents{"a": {"k": "v", "l": "w"}})
	}
	if fails < 4 {
		t.Errorf("only %d checkpoints failed", fails)
	}
}

// TestOldImageStays: an old image cannot be removed. The checkpoint says so; the
// new image counts all the same, and the old one goes with the next.
func TestOldImageStays(t *testing.T) {
	m := memfs.New()
	e := errfs.Wrap(m)
	st, err := restart.Open(dir, small(e))
	if err != nil {
		t.Fatal(err)
	}
	r := region(t, st, "r")
	for _, k := range []string{"first", "second"} {
		put(t, r, k, "value")
		checkpoint(t, st)
	}
	boom := errors.New("boom")
	e.Inject(errfs.Rule{Kinds: errfs.Remove, Name: "*.img", Err: boom})
	put(t, r, "third", "value")
	if err := st.Checkpoint(t.Context()); !errors.Is(err, boom) {
		t.Errorf("checkpoint: %v", err)
	}
	if n := len(filesLike(t, m, "*.img")); n != 3 {
		t.Errorf("%d images, want 3", n)
	}
	written := st.Metrics().Checkpoints
	checkpoint(t, st)
	if again := st.Metrics().Checkpoints; written != 3 || again != written {
		t.Errorf("%d images written, then %d, and nothing had changed", written, again)
	}
	put(t, r, "fourth", "value")
	checkpoint(t, st)
	if n := len(filesLike(t, m, "*.img")); n != 2 {
		t.Errorf("%d images, want 2", n)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}
