package restart_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// I18: whatever becomes of the images, the content is the same; only the rung
// and the time differ. The store below has an older and a newer image, and
// between and behind them everything that could come back from the dead: keys
// deleted, overwritten, cleared, dropped and moved by the compactor.

// history is a store with two images.
type history struct {
	name  string
	fs    *memfs.FS
	other *memfs.FS // a copy of the store, from before, that lived on by itself
	want  contents
	rung  restart.Rung // with both images whole
	older string       // file names of the images
	newer string
}

// makeHistory builds a store that is closed, or killed with a tail behind the
// newer image. With compact, everything that the images know was moved after
// they were made: they know positions that have left the log.
func makeHistory(t *testing.T, name string, clean, compact bool) *history {
	t.Helper()
	h := &history{name: name, want: contents{"a": {}, "b": {}}, rung: restart.RungImageTail}
	fsys := memfs.New()
	o := small(fsys)
	o.Durability, o.Compaction = restart.Sync, restart.NoCompaction
	var before func() // the compaction begins
	o.Events.CompactionBegin = func(restart.CompactionInfo) { before() }
	synctest.Test(t, func(t *testing.T) {
		st := open(t, fsys, o)
		h.phase(t, st, 1)
		checkpoint(t, st)
		h.other = fsys.KillClone()
		h.phase(t, st, 2)
		checkpoint(t, st)
		if !clean || compact {
			h.phase(t, st, 3)
		}
		if compact {
			before = sync.OnceFunc(func() {
				h.phase(t, st, 4)
				checkpoint(t, st)
				h.phase(t, st, 5)
				checkpoint(t, st)
			})
			if err := st.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.phase(t, st, 6)
		}
		if !clean {
			h.fs = fsys.KillClone()
			return
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		h.fs, h.rung = fsys, restart.RungCleanImage
	})
	images := filesLike(t, h.fs, "*.img")
	if len(images) != 2 {
		t.Fatalf("images %v, want two", images)
	}
	h.older, h.newer = images[0], images[1]
	return h
}

func checkpoint(t testing.TB, st *restart.Store) {
	t.Helper()
	if err := st.Checkpoint(context.Background()); err != nil {
		t.Fatalf("checkpoint: %v", err)
	}
}

// phase n changes a quarter of the keys in each way.
func (h *history) phase(t *testing.T, st *restart.Store, n int) {
	t.Helper()
	a, b := region(t, st, "a"), region(t, st, "b")
	for i := range 200 {
		k := fmt.Sprintf("key-%03d", i)
		switch (i + n) % 4 {
		case 0:
			if err := a.Delete([]byte(k)); err != nil {
				t.Fatal(err)
			}
			delete(h.want["a"], k)
		case 1, 2:
			v := fmt.Sprintf("value of phase %d %s", n, strings.Repeat(k, i%200))
			put(t, a, k, v)
			h.want["a"][k] = v
		}
	}
	if err := b.Clear(); err != nil {
		t.Fatal(err)
	}
	clear(h.want["b"])
	batch := st.NewBatch()
	for i := range 20 {
		k, v := fmt.Sprintf("of-phase-%d-%d", n, i), fmt.Sprint(n)
		batch.Put(b, []byte(k), []byte(v))
		h.want["b"][k] = v
	}
	if _, err := st.Apply(batch); err != nil {
		t.Fatal(err)
	}
	put(t, region(t, st, fmt.Sprint("only-", n)), "k", "v")
	h.want[fmt.Sprint("only-", n)] = map[string]string{"k": "v"}
	if n > 1 {
		gone := fmt.Sprint("only-", n-1)
		if err := st.DropRegion(gone); err != nil {
			t.Fatal(err)
		}
		delete(h.want, gone)
	}
}

func histories(t *testing.T) []*history {
	return []*history{
		makeHistory(t, "closed", true, false),
		makeHistory(t, "closed after compaction", true, true),
		makeHistory(t, "killed", false, false),
		makeHistory(t, "killed after compaction", false, true),
	}
}

// with returns a copy of the store's files, changed by fn.
func (h *history) with(fn func(fsys *memfs.FS)) *memfs.FS {
	fsys := h.fs.KillClone()
	fn(fsys)
	return fsys
}

func TestImagesWhole(t *testing.T) {
	for _, h := range histories(t) {
		rep := wantContents(t, h.fs.KillClone(), small(nil), h.want)
		if rep.Rung != h.rung || rep.Reason != "" || rep.DamagedParts != 0 || !strings.HasSuffix(h.newer, rep.Image) {
			t.Errorf("%s: %v, want %q from %s", h.name, rep, h.rung, h.newer)
		}
	}
}

// spoil makes a file useless as a whole.
var spoil = map[string]func(t *testing.T, fsys *memfs.FS, name string){
	"removed":   func(t *testing.T, fsys *memfs.FS, name string) { remove(t, fsys, name) },
	"empty":     func(t *testing.T, fsys *memfs.FS, name string) { cut(t, fsys, name, 0) },
	"one byte":  func(t *testing.T, fsys *memfs.FS, name string) { cut(t, fsys, name, 1) },
	"no header": func(t *testing.T, fsys *memfs.FS, name string) { cut(t, fsys, name, 4095) },
	"no parts":  func(t *testing.T, fsys *memfs.FS, name string) { cut(t, fsys, name, 4096) },
	"one byte short": func(t *testing.T, fsys *memfs.FS, name string) {
		cut(t, fsys, name, int64(len(readAll(t, fsys, name)))-1)
	},
	"one byte more": func(t *testing.T, fsys *memfs.FS, name string) {
		replace(t, fsys, name, append(readAll(t, fsys, name), 0))
	},
	"header flipped":  func(t *testing.T, fsys *memfs.FS, name string) { flip(t, fsys, name, 70, 4) },
	"version flipped": func(t *testing.T, fsys *memfs.FS, name string) { flip(t, fsys, name, 8, 2) },
	"meta flipped": func(t *testing.T, fsys *memfs.FS, name string) {
		flip(t, fsys, name, int64(len(readAll(t, fsys, name)))-100, 4)
	},
	"zeros": func(t *testing.T, fsys *memfs.FS, name string) {
		blank(t, fsys, name, 0, int64(len(readAll(t, fsys, name))))
	},
	"of another store": func(t *testing.T, fsys *memfs.FS, name string) {
		stranger := makeHistory(t, "stranger", true, false)
		replace(t, fsys, name, readAll(t, stranger.fs, stranger.newer))
	},
}

// TestImagesLost: the newer, the older or both are useless.
func TestImagesLost(t *testing.T) {
	tried := 0
	for _, h := range histories(t) {
		for what, lose := range spoil {
			newer := h.with(func(fsys *memfs.FS) { lose(t, fsys, h.newer) })
			older := h.with(func(fsys *memfs.FS) { lose(t, fsys, h.older) })
			both := h.with(func(fsys *memfs.FS) { lose(t, fsys, h.newer); lose(t, fsys, h.older) })
			for _, c := range []struct {
				fs   *memfs.FS
				rung restart.Rung
			}{{newer, restart.RungOlderImage}, {older, h.rung}, {both, restart.RungFullScan}} {
				tried++
				rung := c.rung
				if what == "removed" && rung == restart.RungOlderImage {
					rung = restart.RungImageTail // nothing says that there was another
				}
				rep := wantContents(t, c.fs, small(nil), h.want)
				reason := rung == restart.RungOlderImage || rung == restart.RungFullScan
				if rep.Rung != rung || reason != (rep.Reason != "") {
					t.Errorf("%s, images %s: %v, want %q", h.name, what, rep, rung)
				}
				if rep := wantContents(t, c.fs, small(nil), h.want); rep.Rung != restart.RungCleanImage {
					t.Errorf("%s, images %s, after a clean close: %v", h.name, what, rep)
				}
			}
		}
	}
	t.Logf("%d stores", tried)
}

// diverge lets a copy of the store live on by itself, and returns its newest
// images: one of the present length of the log, one beyond.
func (h *history) diverge(t *testing.T) [][]byte {
	var images [][]byte
	fsys := h.other.KillClone()
	st := open(t, fsys, small(fsys))
	r := region(t, st, "a")
	end := func() restart.LSN { return st.Metrics().End }
	_, rep, err := openAndRead(h.fs.KillClone(), small(nil))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; end()+2000 < rep.End; i++ {
		put(t, r, fmt.Sprintf("key-%03d", i%200), strings.Repeat("diverged", 10))
	}
	for range 2 {
		checkpoint(t, st)
		files := filesLike(t, fsys, "*.img")
		images = append(images, readAll(t, fsys, files[len(files)-1]))
		for i := range 100 {
			put(t, r, fmt.Sprintf("key-%03d", i), strings.Repeat("diverged", 20))
		}
	}
	return images
}

// TestImagesExchanged: an image in the place of another one, older, newer, or
// of a copy of the store that went another way.
func TestImagesExchanged(t *testing.T) {
	for _, h := range histories(t) {
		older, newer := readAll(t, h.fs, h.older), readAll(t, h.fs, h.newer)
		diverged := h.diverge(t)
		beside := filepath.Join(filepath.Dir(h.newer), "00000000ffffffff-000000ff.img")
		for what, fsys := range map[string]*memfs.FS{
			"older for newer":      h.with(func(fsys *memfs.FS) { replace(t, fsys, h.newer, older) }),
			"newer for older":      h.with(func(fsys *memfs.FS) { replace(t, fsys, h.older, newer) }),
			"exchanged":            h.with(func(fsys *memfs.FS) { replace(t, fsys, h.older, newer); replace(t, fsys, h.newer, older) }),
			"older under new name": h.with(func(fsys *memfs.FS) { replace(t, fsys, beside, older) }),
			"diverged for newer":   h.with(func(fsys *memfs.FS) { replace(t, fsys, h.newer, diverged[0]) }),
			"diverged for older":   h.with(func(fsys *memfs.FS) { replace(t, fsys, h.older, diverged[0]) }),
			"diverged for both": h.with(func(fsys *memfs.FS) {
				replace(t, fsys, h.older, diverged[0])
				replace(t, fsys, h.newer, diverged[1])
			}),
			"diverged beside":        h.with(func(fsys *memfs.FS) { replace(t, fsys, beside, diverged[0]) }),
			"longer diverged beside": h.with(func(fsys *memfs.FS) { replace(t, fsys, beside, diverged[1]) }),
		} {
			rep := wantContents(t, fsys, small(nil), h.want)
			if strings.Contains(what, "diverged") && strings.HasSuffix(what, "beside") && (rep.Rung != restart.RungOlderImage || rep.Reason == "") {
				t.Errorf("%s, %s: %v, want the foreign image refused", h.name, what, rep)
			}
			wantContents(t, fsys, small(nil), h.want)
			st := open(t, fsys, small(fsys))
			put(t, region(t, st, "a"), "one more", "for an image")
			checkpoint(t, st)
			if files := filesLike(t, fsys, "*.img"); strings.Contains(what, "diverged") && slices.Contains(files, beside) || len(files) > 2 {
				t.Errorf("%s, %s: after one more image there are %v", h.name, what, files)
			}
		}
	}
}

// TestImagePartDamaged: a damaged part costs that part.
func TestImagePartDamaged(t *testing.T) {
	for _, h := range histories(t) {
		b := readAll(t, h.fs, h.newer)
		im := decodeImage(t, b)
		parts := 0
		for _, r := range im.Regions {
			for n, p := range r.Parts {
				if p.Entries == 0 || r.Name == "a" && n%4 != 0 {
					continue
				}
				parts++
				off := p.Offset + int64(n)%p.Length
				fsys := h.with(func(fsys *memfs.FS) { flip(t, fsys, h.newer, off, 1<<(n%8)) })
				rep := wantContents(t, fsys, small(nil), h.want)
				dropped := h.want[r.Name] == nil || r.Name == "b" && h.rung != restart.RungCleanImage // emptied since
				if rep.Rung != h.rung || !dropped && rep.DamagedParts != 1 {
					t.Errorf("%s, part %d of %q: %v, %d damaged parts", h.name, n, r.Name, rep, rep.DamagedParts)
				}
				if rep := wantContents(t, fsys, small(nil), h.want); rep.DamagedParts != 0 || rep.Rung != restart.RungCleanImage {
					t.Errorf("%s, after a close: %v, %d damaged parts", h.name, rep, rep.DamagedParts)
				}
			}
		}
		all := h.with(func(fsys *memfs.FS) {
			for _, r := range im.Regions {
				for _, p := range r.Parts {
					if p.Entries > 0 {
						flip(t, fsys, h.newer, p.Offset, 1)
					}
				}
			}
		})
		if rep := wantContents(t, all, small(nil), h.want); rep.DamagedParts < parts/4 {
			t.Errorf("%s, all parts: %v, %d damaged parts", h.name, rep, rep.DamagedParts)
		}
		if parts < 10 {
			t.Errorf("only %d parts tried", parts)
		}
	}
}

// TestImagePartsDamaged: many damaged parts cost one look at the log, from the
// older image on where that is whole.
func TestImagePartsDamaged(t *testing.T) {
	for _, h := range histories(t) {
		damage := func(fsys *memfs.FS, name string) {
			for _, r := range decodeImage(t, readAll(t, h.fs, name)).Regions {
				for _, p := range r.Parts {
					if p.Entries > 0 {
						flip(t, fsys, name, p.Offset+p.Length-1, 4)
					}
				}
			}
		}
		newer := h.with(func(fsys *memfs.FS) { damage(fsys, h.newer) })
		both := h.with(func(fsys *memfs.FS) { damage(fsys, h.newer); damage(fsys, h.older) })
		withOlder, regions := h.logRead(t, newer), len(h.want)
		alone := h.logRead(t, both)
		log := int64(0)
		for _, name := range filesLike(t, h.fs, "*.seg") {
			log += int64(len(readAll(t, h.fs, name)))
		}
		// The open reads some of the log as well; every region is rebuilt by
		// itself, and then its values are read.
		if most := int64(regions+3) * log; alone > most {
			t.Errorf("%s: %d bytes of the log read, which has %d; at most %d expected", h.name, alone, log, most)
		}
		t.Logf("%s: log %d, regions %d, with older %d, alone %d", h.name, log, regions, withOlder, alone)
		if withOlder >= alone {
			t.Errorf("%s: %d bytes of the log read with the older image whole, %d without", h.name, withOlder, alone)
		}
	}
}

// logRead checks what is in a store and returns how many bytes of its log were
// read for that.
func (h *history) logRead(t *testing.T, fsys *memfs.FS) int64 {
	t.Helper()
	var read atomic.Int64
	o := small(errfs.Wrap(fsys, errfs.Rule{Kinds: errfs.Read, Name: "*.seg", Times: errfs.Forever,
		Before: func(op errfs.Op) { read.Add(op.Length) }}))
	o.Load = restart.KeysOnly
	st, err := restart.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for name := range h.want {
		region(t, st, name).Len() // loads every part
	}
	n := read.Load()
	if rep := st.Recovery(); rep.DamagedParts == 0 {
		t.Errorf("%s: no part was damaged: %v", h.name, rep)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	wantContents(t, fsys, small(nil), h.want)
	return n
}

func decodeImage(t *testing.T, b []byte) *index.Image {
	t.Helper()
	f, err := memfs.New().Create("/image")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	im, err := index.OpenImage(f)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// An image that was published says that the log was durable up to there
// (I21), so what is missing below that is damage, even where nothing in the
// log itself says so yet.
func TestImageIsEvidence(t *testing.T) {
	h := makeHistory(t, "killed", false, false)
	fsys := memfs.New()
	synctest.Test(t, func(t *testing.T) {
		st := open(t, fsys, small(fsys))
		r := region(t, st, "a")
		put(t, r, "k", "v")
		checkpoint(t, st)
		fsys = fsys.KillClone()
	})
	files := segmentFiles(t, fsys)
	frames := dataFrames(t, fsys, files[0])
	last := frames[len(frames)-1]
	for _, off := range []int64{last.off, last.off + 4, last.off + 33} {
		damaged := fsys.KillClone()
		flip(t, damaged, files[0], off, 1)
		if c := wantRefused(t, damaged, small(nil)); c.Offset != last.off || c.LSN != last.lsn {
			t.Errorf("%v, want offset %d", c, last.off)
		}
	}
	// Of another store, or of a copy that lived on, it says nothing here.
	for _, b := range append(h.diverge(t), readAll(t, fsys, filesLike(t, fsys, "*.img")[0])) {
		foreign := h.with(func(fsys *memfs.FS) { replace(t, fsys, h.newer, b) })
		wantContents(t, foreign, small(nil), h.want)
	}
}

// No key of one life of a store shows in another: what images say is compared
// with the whole history of the log at every rung, after every restart.
func TestImagesAcrossRestarts(t *testing.T) {
	h := makeHistory(t, "killed", false, true)
	fsys := h.fs.KillClone()
	old := [][]byte{readAll(t, fsys, h.older), readAll(t, fsys, h.newer)}
	for n := 7; n < 14; n++ {
		images := filesLike(t, fsys, "*.img")
		if n%3 == 0 && len(images) > 0 {
			remove(t, fsys, images[len(images)-1])
		}
		replace(t, fsys, h.newer, old[n%2]) // an image of long ago
		st, err := restart.Open(dir, restart.Options{FS: fsys, SegmentSize: 64 << 10, Compaction: restart.NoCompaction})
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(st)
		if err != nil || diff(got, h.want) != "" {
			t.Fatalf("life %d: %v %s; %v", n, err, diff(got, h.want), st.Recovery())
		}
		h.phase(t, st, n)
		if n%2 == 0 {
			if err := st.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Sync(); err != nil {
			t.Fatal(err)
		}
		next := fsys.KillClone()
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if n%3 != 1 {
			fsys = next
		}
		if b := filesLike(t, fsys, "*.img"); len(b) > 0 && !slices.ContainsFunc(old, func(o []byte) bool { return bytes.Equal(o, readAll(t, fsys, b[0])) }) {
			old[n%2] = readAll(t, fsys, b[0])
		}
	}
}
