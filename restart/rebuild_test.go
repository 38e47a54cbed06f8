package restart_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// parted is a closed store of one region, "a", with an image of it.
type parted struct {
	fs    *memfs.FS
	want  contents
	image string
	parts []index.ImagePart
	keys  map[int][]string // of each part, sorted
}

func newParted(t *testing.T) *parted {
	t.Helper()
	fsys, want := imaged(t, 1000)
	p := &parted{fs: fsys, want: want, image: filesLike(t, fsys, "*.img")[0], keys: map[int][]string{}}
	im := decodeImage(t, readAll(t, fsys, p.image))
	p.parts = im.Regions[0].Parts
	for _, k := range slices.Sorted(maps.Keys(want["a"])) {
		n := index.Part(index.HashKey([]byte(k)), im.Regions[0].PartBits)
		p.keys[n] = append(p.keys[n], k)
	}
	return p
}

// damage flips a bit of a part.
func (p *parted) damage(t *testing.T, n int) { flip(t, p.fs, p.image, p.parts[n].Offset, 1) }

// read reads a key of a part, which loads it.
func (p *parted) read(t *testing.T, r *restart.Region, n int) {
	t.Helper()
	wantValue(t, r, p.keys[n][0], p.want["a"][p.keys[n][0]])
}

// wantEmptied drops the region and checks that its memory is free.
func wantEmptied(t *testing.T, st *restart.Store, r *restart.Region) {
	t.Helper()
	if err := st.DropRegion(r.Name()); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if used := st.Metrics().MemoryUsed; used != 0 {
		t.Errorf("%d bytes of memory in use after all was dropped", used)
	}
}

// TestReadMeetsClose: a caller reads a part, from the image or from the log,
// while the store is closed. The memory that it puts the part into is there
// until it is done.
func TestReadMeetsClose(t *testing.T) {
	const n = 20
	for what, file := range map[string]string{"part": "*.img", "damaged part": "*.seg"} {
		t.Run(what, func(t *testing.T) {
			p := newParted(t)
			if file == "*.seg" {
				p.damage(t, n)
			}
			synctest.Test(t, func(t *testing.T) {
				var armed, lost atomic.Bool
				gate := make(chan struct{})
				o := small(errfs.Wrap(p.fs, errfs.Rule{
					Kinds: errfs.Read, Name: file, Match: func(errfs.Op) bool { return armed.Load() },
					Before: func(errfs.Op) {
						if <-gate; lost.Load() {
							runtime.Goexit() // its memory is gone
						}
					},
				}))
				o.ReadOnly = true
				st, err := restart.Open(dir, o)
				if err != nil {
					t.Fatal(err)
				}
				r := region(t, st, "a")
				for other := range p.keys {
					if other != n {
						p.read(t, r, other)
					}
				}
				armed.Store(true)
				got, closed := make(chan error), make(chan error, 1)
				go func() { _, err := r.Get([]byte(p.keys[n][0])); got <- err }()
				synctest.Wait()
				go func() { closed <- st.Close() }()
				synctest.Wait()
				if lost.Store(len(closed) > 0); lost.Load() {
					t.Error("Close returned while a part was read")
					close(gate)
					return
				}
				close(gate)
				if err := <-got; !errors.Is(err, restart.ErrClosed) {
					t.Errorf("get: %v, want ErrClosed", err)
				}
				if err := <-closed; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestRebuiltPartsAreFreed: parts that are rebuilt with another and kept until
// something looks at them are nobody's when they are rebuilt once more, or when
// the image can be read after all.
func TestRebuiltPartsAreFreed(t *testing.T) {
	const a, b, c = 10, 20, 30
	for what, test := range map[string]func(t *testing.T, p *parted, r *restart.Region){
		"rebuilt again": func(t *testing.T, p *parted, r *restart.Region) {
			p.read(t, r, a)
			p.damage(t, c)
			p.read(t, r, c)
		},
		"read after all": func(t *testing.T, p *parted, r *restart.Region) {
			p.read(t, r, a)
			p.damage(t, b) // undoes the damage
			p.read(t, r, b)
		},
		"cleared": func(t *testing.T, p *parted, r *restart.Region) {
			p.read(t, r, a)
			if err := r.Clear(); err != nil {
				t.Fatal(err)
			}
			wantValue(t, r, p.keys[b][0], "-")
		},
	} {
		t.Run(what, func(t *testing.T) {
			p := newParted(t)
			p.damage(t, a)
			p.damage(t, b)
			synctest.Test(t, func(t *testing.T) {
				st := open(t, p.fs, small(nil))
				r := region(t, st, "a")
				test(t, p, r)
				wantEmptied(t, st, r)
			})
		})
	}
}

// TestRebuildOfOverwrittenKeys: what a rebuild takes of memory depends on how
// many keys there are, not on how often they were written.
func TestRebuildOfOverwrittenKeys(t *testing.T) {
	const keys, rounds = 1000, 300
	fsys := memfs.New()
	o := small(fsys)
	o.SegmentSize, o.Compaction, o.Durability = 2<<20, restart.NoCompaction, restart.Never
	st := open(t, fsys, o)
	r := region(t, st, "a")
	want := contents{"a": {}}
	for n := range rounds {
		for i := range keys {
			k := fmt.Sprintf("key-%04d", i)
			if (i+n)%7 == 0 {
				delete(want["a"], k)
				if err := r.Delete([]byte(k)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want["a"][k] = fmt.Sprint(n)
			put(t, r, k, want["a"][k])
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	name := filesLike(t, fsys, "*.img")[0]
	for _, p := range decodeImage(t, readAll(t, fsys, name)).Regions[0].Parts {
		if p.Entries > 0 {
			flip(t, fsys, name, p.Offset, 1)
		}
	}
	var most atomic.Int64
	var again atomic.Pointer[restart.Store]
	o.FS = errfs.Wrap(fsys, errfs.Rule{Kinds: errfs.Read, Name: "*.seg", Times: errfs.Forever, Before: func(errfs.Op) {
		if st := again.Load(); st != nil {
			most.Store(max(most.Load(), st.Metrics().MemoryUsed))
		}
	}})
	st, err := restart.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	again.Store(st)
	got, err := read(st)
	if err != nil || diff(got, want) != "" {
		t.Errorf("%v %s", err, diff(got, want))
	}
	if most.Load() == 0 || most.Load() > 4<<20 {
		t.Errorf("%d bytes in memory while the parts are rebuilt", most.Load())
	}
	t.Logf("log %d bytes, at most %d in memory", st.Metrics().LogBytes, most.Load())
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestImageUnreadable: a disk that fails to read an image, the newer or both,
// costs what damage of it costs.
func TestImageUnreadable(t *testing.T) {
	for _, h := range histories(t) {
		for what, name := range map[string]string{"newer": filepath.Base(h.newer), "both": "*.img"} {
			var armed atomic.Bool
			fsys := h.fs.KillClone()
			efs := errfs.Wrap(fsys, errfs.Rule{
				Kinds: errfs.Read, Name: name, Times: errfs.Forever, Match: func(errfs.Op) bool { return armed.Load() }, Err: syscall.EIO,
			})
			st, err := restart.Open(dir, restart.Options{FS: efs, SegmentSize: 64 << 10})
			if err != nil {
				t.Fatal(err)
			}
			armed.Store(true)
			got, err := read(st)
			if err != nil || diff(got, h.want) != "" {
				t.Errorf("%s, %s unreadable: %v %s", h.name, what, err, diff(got, h.want))
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
			wantContents(t, fsys, small(nil), h.want)
		}
	}
}
