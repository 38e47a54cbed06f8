package restart_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// Every file of a small store is damaged at every place where something lies,
// one place at a time. Each time the open is refused, or a read is, with an
// error that says where; or everything acknowledged is read as it was. The only
// loss allowed is that of the last records of a store that was killed, when the
// damage took with them all that spoke of them.

// specimen is a store to be damaged.
type specimen struct {
	name string
	fs   *memfs.FS
	opts restart.Options
	want contents
	// tail is the keys of the last puts, oldest first, of a store that was
	// killed; empty: it was closed.
	tail []string
	gone []string // keys that were there once
}

// makeSpecimen builds a store with an old and a new image, several segments,
// and everything that a record can be. Each put is synced before the next.
func makeSpecimen(t *testing.T, name string, finish func(s *specimen, st *restart.Store, r *restart.Region) error) *specimen {
	t.Helper()
	s := &specimen{name: name, fs: memfs.New(), want: contents{"a": {}, "b": {}}}
	s.opts = small(s.fs)
	s.opts.Durability, s.opts.Compaction = restart.Sync, restart.NoCompaction
	synctest.Test(t, func(t *testing.T) {
		st := open(t, s.fs, s.opts)
		a, b := region(t, st, "a"), region(t, st, "b")
		give := func(r *restart.Region, k, v string) {
			put(t, r, k, v)
			s.want[r.Name()][k] = v
		}
		step := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range 12 {
			give(a, fmt.Sprint("key-", i), fmt.Sprint("old value of ", i))
		}
		give(b, "cleared", "never again")
		step(b.Clear())
		clear(s.want["b"])
		give(a, "large", strings.Repeat("0123456789abcde\n", 3000)) // rolls
		for i := range 4 {
			step(a.Delete(fmt.Append(nil, "key-", i)))
			delete(s.want["a"], fmt.Sprint("key-", i))
		}
		s.gone = []string{"a/key-0", "a/key-1", "a/key-2", "a/key-3", "b/cleared", "a/void"}
		step(st.Checkpoint(context.Background()))
		for i := 4; i < 8; i++ {
			give(a, fmt.Sprint("key-", i), fmt.Sprint("new value of ", i))
		}
		step(st.Checkpoint(context.Background()))
		batch := st.NewBatch()
		for i := range 4 {
			k, v := fmt.Sprint("batched-", i), strings.Repeat("b", i)
			batch.Put(b, []byte(k), []byte(v))
			s.want["b"][k] = v
		}
		batch.Delete(a, []byte("key-8"))
		delete(s.want["a"], "key-8")
		s.gone = append(s.gone, "a/key-8")
		_, err := st.Apply(batch)
		step(err)
		give(b, "more", strings.Repeat("fedcba9876543210", 2000)) // rolls
		_, err = b.PutWith([]byte("dated"), []byte("v"), restart.WriteOptions{TTL: 100 * 365 * 24 * time.Hour})
		step(err)
		s.want["b"]["dated"] = "v"
		s.tail = []string{"b/more", "b/dated"}
		step(finish(s, st, a))
	})
	return s
}

// lastPut kills the store right after a put.
func lastPut(s *specimen, st *restart.Store, r *restart.Region) error {
	if err := r.Put([]byte("last"), []byte("of all")); err != nil {
		return err
	}
	s.want["a"]["last"] = "of all"
	s.tail = append(s.tail, "a/last")
	s.fs = s.fs.KillClone()
	return nil
}

func specimens(t *testing.T) []*specimen {
	return []*specimen{
		makeSpecimen(t, "closed", func(s *specimen, st *restart.Store, r *restart.Region) error {
			s.tail = nil
			return st.Close()
		}),
		makeSpecimen(t, "killed", lastPut),
		makeSpecimen(t, "killed without image", func(s *specimen, st *restart.Store, r *restart.Region) error {
			for _, name := range filesLike(t, s.fs, "*.img") {
				remove(t, s.fs, name)
			}
			return lastPut(s, st, r)
		}),
		makeSpecimen(t, "killed twice", func(s *specimen, _ *restart.Store, r *restart.Region) error {
			if err := r.Put([]byte("first life"), []byte("v")); err != nil {
				return err
			}
			s.want["a"]["first life"] = "v"
			s.tail = append(s.tail, "a/first life")
			s.fs = s.fs.KillClone()
			st, err := restart.Open(dir, restart.Options{FS: s.fs, SegmentSize: 64 << 10, Durability: restart.Sync})
			if err != nil {
				return err
			}
			defer st.Close()
			if r, err = st.Region("a", restart.RegionOptions{}); err != nil {
				return err
			}
			return lastPut(s, st, r)
		}),
	}
}

// check opens the damaged store and says what is wrong with what it sees.
// refused says that the open was. mayLose is how many of the last puts the
// damage left no trace of.
func (s *specimen) check(fsys *memfs.FS, mayLose int) (refused bool, err error) {
	o := s.opts
	o.FS, o.Load = fsys, restart.KeysOnly
	st, err := restart.Open(dir, o)
	if err == nil {
		err = s.look(st, mayLose)
		if cerr := st.Close(); cerr != nil && !errors.Is(cerr, restart.ErrCorrupt) {
			err = errors.Join(err, fmt.Errorf("close: %w", cerr))
		}
	} else {
		refused = true
		err = positioned(err)
	}
	if files := fsys.OpenFiles(); len(files) > 0 {
		err = errors.Join(err, fmt.Errorf("files left open: %v", files))
	}
	return refused, err
}

// positioned checks that err is one of damage and says where.
func positioned(err error) error {
	var c *segment.CorruptionError
	switch {
	case errors.Is(err, restart.ErrCorrupt) && errors.As(err, &c) && (c.File != "" || c.LSN != 0):
		return nil
	case errors.Is(err, wal.ErrForeign):
		return nil
	}
	return fmt.Errorf("not an error of damage with a place: %w", err)
}

// look reads everything in an open store, by key and by scan.
func (s *specimen) look(st *restart.Store, mayLose int) error {
	lost := s.tail[len(s.tail)-mayLose:]
	for name, entries := range s.want {
		r, err := st.Region(name, restart.RegionOptions{})
		if err != nil {
			return err
		}
		for k, want := range entries {
			got, err := r.Get([]byte(k))
			switch {
			case err == nil && string(got) == want:
			case errors.Is(err, restart.ErrNotFound) && slices.Contains(lost, name+"/"+k):
			case err != nil && !errors.Is(err, restart.ErrNotFound):
				if err := positioned(err); err != nil {
					return fmt.Errorf("get %q: %w", k, err)
				}
			default:
				return fmt.Errorf("get %q = %.30q, %v, want %.30q; %v", k, got, err, want, st.Recovery())
			}
		}
		for e, err := range r.All() {
			if err != nil {
				if err := positioned(err); err != nil {
					return fmt.Errorf("scan: %w", err)
				}
				break
			}
			if want, ok := entries[string(e.Key)]; !ok || string(e.Value) != want {
				return fmt.Errorf("scan: %q = %.30q, want %.30q (there: %v); %v", e.Key, e.Value, want, ok, st.Recovery())
			}
		}
	}
	for _, k := range s.gone {
		name, key, _ := strings.Cut(k, "/")
		r, err := st.Region(name, restart.RegionOptions{})
		if err != nil {
			return err
		}
		if got, err := r.Get([]byte(key)); err == nil {
			return fmt.Errorf("get %q = %.30q: it was deleted; %v", k, got, st.Recovery())
		}
	}
	return nil
}

// unspoken returns how many of the last puts damage of [from, to) in a file may
// take without a trace: the last one, and then each whose successors' headers,
// which promise that it was durable, are all gone.
func (s *specimen) unspoken(t *testing.T, name string, from, to int64) (n int) {
	files := segmentFiles(t, s.fs)
	if len(s.tail) == 0 || name != files[len(files)-1] {
		return 0
	}
	for _, f := range slices.Backward(dataFrames(t, s.fs, name)) {
		if n == len(s.tail) || f.end <= from || f.off >= to {
			break
		}
		n++
		if f.off+segment.FrameHeaderSize <= from {
			break // its header is whole, and speaks of those before it
		}
	}
	return n
}

// places returns the offsets of a file at which something lies, and some
// between. every of them: all offsets.
func (s *specimen) places(t *testing.T, name string, every bool) (offs []int64) {
	size := int64(len(readAll(t, s.fs, name)))
	dense := func(off int64) bool { return size <= segment.HeaderSize }
	stride := int64(397)
	switch filepath.Ext(name) {
	case ".seg":
		near := make(map[int64]bool)
		for _, f := range framesOf(t, s.fs, name) {
			for i := range int64(48) {
				near[f.off+i] = true
			}
			for i := range int64(4) {
				near[f.end-i] = true
			}
			near[f.end+segment.FooterSize-1] = true
		}
		dense = func(off int64) bool { return off < 112 || off >= 4088 && off < 4096 || near[off] }
	case ".img":
		dense = func(off int64) bool {
			return off < 128 || off >= 4088 && off < 4160 || off >= 4160 && off%37 == 0 || off > size-4
		}
	}
	for off := range size {
		if every || dense(off) || off%stride == 0 {
			offs = append(offs, off)
		}
	}
	return offs
}

// damages are the ways to damage a file of a size at an offset, and the range
// that is changed by it.
var damages = []struct {
	name string
	do   func(t testing.TB, fsys vfs.FS, name string, off, to int64)
	to   func(off, size int64) int64
	step int // a short run takes every step-th place
}{
	{"flip", func(t testing.TB, fsys vfs.FS, name string, off, _ int64) { flip(t, fsys, name, off, 1<<(off%8)) },
		func(off, _ int64) int64 { return off + 1 }, 1},
	{"invert", func(t testing.TB, fsys vfs.FS, name string, off, _ int64) { flip(t, fsys, name, off, 0xff) },
		func(off, _ int64) int64 { return off + 1 }, 11},
	{"truncate", func(t testing.TB, fsys vfs.FS, name string, off, _ int64) { cut(t, fsys, name, off) },
		func(_, size int64) int64 { return size }, 7},
	{"zero a sector", blank, func(off, size int64) int64 { return min(off+512, size) }, 7},
	{"zero to the end", blank, func(_, size int64) int64 { return size }, 7},
}

// maxAllocated is how much a process may allocate while it opens and reads a
// damaged store of less than 1 MiB, another test's share included.
const maxAllocated = 64 << 20

func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func TestDamage(t *testing.T) {
	for _, s := range specimens(t) {
		t.Run(s.name, func(t *testing.T) {
			if _, err := s.check(s.fs.KillClone(), 0); err != nil {
				t.Fatalf("undamaged: %v", err)
			}
			var n tally
			for _, name := range storeFiles(t, s.fs, dir) {
				if everyPlace || s.name != "killed twice" || filepath.Ext(name) != ".img" {
					s.damage(t, name, &n)
				}
			}
			t.Logf("%d damages, %d of them refused at open", n.tried.Load(), n.refused.Load())
			if n.tried.Load() < 1000 && !raceEnabled || n.refused.Load() == 0 || n.refused.Load() == n.tried.Load() {
				t.Error("the test shows nothing")
			}
		})
	}
}

// tally counts damages, those that made the open fail, and those that did harm.
type tally struct{ tried, refused, harm atomic.Int64 }

// damage does every damage to one file.
func (s *specimen) damage(t *testing.T, name string, n *tally) {
	size := int64(len(readAll(t, s.fs, name)))
	places := s.places(t, name, everyPlace)
	for _, d := range damages {
		step := d.step
		if everyPlace {
			step = 1
		} else if raceEnabled {
			step *= 10
		}
		eachPlace(places, step, func(off int64) {
			fsys := s.fs.KillClone()
			to := d.to(off, size)
			d.do(t, fsys, name, off, to)
			before := allocated()
			refused, err := s.check(fsys, s.unspoken(t, name, off, to))
			if bytes := allocated() - before; bytes > maxAllocated {
				err = errors.Join(err, fmt.Errorf("%d bytes allocated", bytes))
			}
			if n.tried.Add(1); refused {
				n.refused.Add(1)
			} else if n.tried.Load()%16 == 0 && err == nil {
				_, err = s.check(fsys, s.unspoken(t, name, off, to)) // what it made of it holds
			}
			if err != nil && n.harm.Add(1) < 20 {
				t.Errorf("%s at %d of %s: %v", d.name, off, name, err)
			}
		})
	}
}

// eachPlace calls fn for every step-th place, on two goroutines.
func eachPlace(places []int64, step int, fn func(off int64)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := int(next.Add(1)-1) * step; i < len(places); i = int(next.Add(1)-1) * step {
				fn(places[i])
			}
		})
	}
	wg.Wait()
}
