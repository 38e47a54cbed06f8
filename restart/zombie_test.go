package restart_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

// TestZombies has writers overwrite, delete and expire few keys while others
// clear and drop the regions, compact the log, take images and press values out
// of memory, all on the same disk, which again and again is looked at as after
// a power failure; and one of these crashes is what all go on from. Whatever
// the log ends with after a crash says exactly what each key must hold: a
// deleted key that is there, or an older value, is a zombie.
func TestZombies(t *testing.T) {
	s := seed(t)
	bursts := zombieBursts
	if testing.Short() || raceEnabled {
		bursts /= 4
	}
	z := &graveyard{t: t, seed: s, disk: memfs.New(), rnd: rand.New(rand.NewPCG(s, 3)), rungs: map[restart.Rung]int{}}
	z.deeds = make([]map[grave][]deed, zombieWriters)
	for w := range z.deeds {
		z.deeds[w] = make(map[grave][]deed)
	}
	for range bursts {
		z.burst()
		z.nextLife()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d bursts: %d writes, %d looked at again, %d cleared or dropped; %d crashes checked, %d keys in them, %d of those gone; "+
		"%d segments collected, %d records moved, %d images, %d values evicted; opened by %v",
		bursts, z.writes.Load(), z.looks.Load(), z.wiped, z.checked, z.buried, z.gone, z.compacted, z.moved, z.images, z.evicted, z.rungs)
	for what, n := range map[string]int64{
		"crashes": int64(z.checked), "keys": int64(z.buried), "keys gone": int64(z.gone), "collected": z.compacted, "moved": z.moved,
		"images": z.images, "evicted": z.evicted, "wiped": int64(z.wiped), "looks": z.looks.Load(),
	} {
		if n == 0 {
			t.Errorf("no %s: the test was vacuous", what)
		}
	}
}

const (
	zombieWriters = 3
	zombieWrites  = 250 // of each writer in a burst
)

// grave is a key of a region.
type grave struct{ region, key string }

// deed is what one write did to a key; value "" means that it is gone.
type deed struct {
	lsn   restart.LSN
	value string
}

// wipe is a clear or drop of a region, whose record is in [lo, hi) of the log.
type wipe struct {
	lo, hi restart.LSN
	maybe  bool // a crash came in between: it may not be there at all
}

type graveyard struct {
	t    *testing.T
	seed uint64
	rnd  *rand.Rand
	disk *memfs.FS
	st   *restart.Store
	life int
	// Of a burst: writes between two wipes, compactions, images; and how many
	// keys a writer has in a region. With few, large ones everybody waits for
	// disk space all the time, often on account of the same key.
	pace map[string]int64
	keys int

	deeds []map[grave][]deed // by writer, who owns its keys

	mu      sync.Mutex
	regions map[string]*restart.Region
	wipes   map[string][]wipe
	crashes []zombieCrash

	writes, looks                     atomic.Int64
	wiped, checked, buried, gone      int
	compacted, moved, images, evicted int64
	rungs                             map[restart.Rung]int
}

// zombieCrash is a disk after a power failure, and how far the log had been
// said to be durable before.
type zombieCrash struct {
	disk    *memfs.FS
	durable restart.LSN
}

var zombieRegions = []string{"a", "b"}

func (z *graveyard) options(disk *memfs.FS) restart.Options {
	return restart.Options{
		FS: disk, SegmentSize: 64 << 10, MemoryLimit: 1 << 20,
		Load: restart.LoadMode(z.life % 3), Compression: restart.Compression(z.life % 2),
	}
}

// burst opens the store and has everything happen at once.
func (z *graveyard) burst() {
	z.life++
	disk, salt := z.disk, z.rnd.Uint64()
	disk.OnOp(func(op memfs.Op) {
		if (op.Seq*0x9e3779b97f4a7c15^salt)>>62 == 0 {
			runtime.Gosched()
		}
	})
	st, err := restart.Open(dir, z.options(disk))
	if err != nil {
		z.t.Fatalf("life %d: %v", z.life, err)
	}
	z.st, z.regions, z.crashes = st, make(map[string]*restart.Region), nil
	z.forget(st.Recovery().End)
	for _, name := range zombieRegions {
		z.regions[name] = region(z.t, st, name)
	}
	z.pace = map[string]int64{
		"compact": z.rnd.Int64N(3) * 20, "checkpoint": z.rnd.Int64N(4) * 150, "wipe": 100 + z.rnd.Int64N(400),
	}
	z.keys = []int{2, 60}[z.rnd.IntN(2)]
	ctx, cancel := context.WithCancel(context.Background())
	var writers, others sync.WaitGroup
	for w := range zombieWriters {
		rnd := rand.New(rand.NewPCG(z.rnd.Uint64(), uint64(w)))
		writers.Go(func() { z.write(w, rnd) })
	}
	wiper := rand.New(rand.NewPCG(z.rnd.Uint64(), 9))
	for what, fn := range map[string]func() error{
		"compact":    func() error { return st.Compact(ctx) },
		"checkpoint": func() error { return st.Checkpoint(ctx) },
		"wipe":       func() error { return z.wipe(wiper) },
	} {
		others.Go(func() {
			for next := z.writes.Load() + z.pace[what]; ctx.Err() == nil; next += z.pace[what] {
				for z.writes.Load() < next && ctx.Err() == nil {
					runtime.Gosched()
				}
				if err := fn(); err != nil && !errors.Is(err, context.Canceled) {
					z.t.Errorf("life %d: %s: %v", z.life, what, err)
					return
				}
			}
		})
	}
	writers.Wait()
	cancel()
	others.Wait()
	m := st.Metrics()
	z.compacted += m.Compacted
	z.moved += m.Moved
	z.images += m.Checkpoints
	z.evicted += m.Evictions
	z.crash(memfs.Random(z.rnd.Uint64()))
	if err := st.Close(); err != nil {
		z.t.Errorf("life %d: close: %v", z.life, err)
	}
	disk.OnOp(nil)
}

// write does a writer's share of a burst.
func (z *graveyard) write(w int, rnd *rand.Rand) {
	writes := zombieWrites
	if z.keys < 10 {
		writes /= 4
	}
	for range writes {
		var err error
		switch n := rnd.IntN(100); {
		case n < 50:
			err = z.put(w, rnd, 0)
		case n < 60:
			err = z.put(w, rnd, 1)
		case n < 80:
			err = z.delete(w, rnd)
		case n < 95:
			err = z.batch(w, rnd)
		default:
			err = z.st.Sync()
		}
		if err == nil {
			err = z.look(w, rnd)
		}
		if err != nil && !errors.Is(err, restart.ErrDropped) {
			z.t.Errorf("life %d, writer %d: %v", z.life, w, err)
			return
		}
		z.writes.Add(1)
		if rnd.IntN(writes) == 0 {
			z.crash(memfs.Random(rnd.Uint64()))
		}
	}
}

// pick draws one of a writer's keys, and a value.
func (z *graveyard) pick(w int, rnd *rand.Rand) (r *restart.Region, g grave, value string) {
	g = grave{zombieRegions[rnd.IntN(len(zombieRegions))], fmt.Sprintf("%d-%d", w, rnd.IntN(z.keys))}
	z.mu.Lock()
	r = z.regions[g.region]
	z.mu.Unlock()
	size := rnd.IntN(1000)
	if rnd.IntN(6) == 0 || z.keys < 10 {
		size = rnd.IntN(60 << 10)
	}
	return r, g, fmt.Sprintf("%s in life %d, %d:%s", g.key, z.life, len(z.deeds[w][g]), strings.Repeat("x", size))
}

func (z *graveyard) did(w int, g grave, lsn restart.LSN, value string) {
	z.deeds[w][g] = append(z.deeds[w][g], deed{lsn, value})
}

// put puts a value; one with a time to live is gone at once.
func (z *graveyard) put(w int, rnd *rand.Rand, ttl int) error {
	r, g, value := z.pick(w, rnd)
	o := restart.WriteOptions{Durability: restart.Durability(rnd.IntN(4))}
	kept := value
	if ttl > 0 {
		o.TTL, kept = 1, ""
	}
	lsn, err := r.PutWith([]byte(g.key), []byte(value), o)
	if err == nil {
		z.did(w, g, lsn, kept)
	}
	return err
}

func (z *graveyard) delete(w int, rnd *rand.Rand) error {
	r, g, _ := z.pick(w, rnd)
	lsn, err := r.DeleteWith([]byte(g.key), restart.WriteOptions{Durability: restart.Durability(rnd.IntN(4))})
	if err == nil {
		z.did(w, g, lsn, "")
	}
	return err
}

func (z *graveyard) batch(w int, rnd *rand.Rand) error {
	b := z.st.NewBatch()
	does := make(map[grave]string)
	for range 1 + rnd.IntN(6) {
		r, g, value := z.pick(w, rnd)
		if rnd.IntN(3) == 0 {
			value = ""
			b.Delete(r, []byte(g.key))
		} else {
			b.Put(r, []byte(g.key), []byte(value))
		}
		does[g] = value
	}
	lsn, err := z.st.ApplyWith(b, restart.Durability(rnd.IntN(4)))
	if err == nil {
		for g, value := range does {
			z.did(w, g, lsn, value)
		}
	}
	return err
}

// look reads one of a writer's keys: its last value, or nothing.
func (z *graveyard) look(w int, rnd *rand.Rand) error {
	r, g, _ := z.pick(w, rnd)
	got, err := r.Get([]byte(g.key))
	if errors.Is(err, restart.ErrNotFound) {
		err = nil // whether a wipe explains that is seen after the crashes
	}
	if err != nil || got == nil {
		return err
	}
	z.looks.Add(1)
	deeds := z.deeds[w][g]
	if n := len(deeds); n == 0 || deeds[n-1].value != string(got) {
		return fmt.Errorf("zombie while open: %v is %.60q after %d writes", g, got, n)
	}
	return nil
}

// wipe clears or drops a region.
func (z *graveyard) wipe(rnd *rand.Rand) error {
	name := zombieRegions[rnd.IntN(len(zombieRegions))]
	z.mu.Lock()
	r := z.regions[name]
	z.mu.Unlock()
	lo := z.st.Metrics().End
	var err error
	if rnd.IntN(3) > 0 {
		err = r.Clear()
	} else if err = z.st.DropRegion(name); err == nil {
		r, err = z.st.Region(name, restart.RegionOptions{})
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.regions[name] = r
	z.wipes[name] = append(z.wipes[name], wipe{lo: lo, hi: z.st.Metrics().End})
	z.wiped++
	return err
}

// crash takes the disk as it may be after a power failure now.
func (z *graveyard) crash(c memfs.Crash) {
	z.mu.Lock()
	defer z.mu.Unlock()
	durable := z.st.DurableLSN()
	z.crashes = append(z.crashes, zombieCrash{z.disk.CrashClone(c), durable})
}

// forget takes back what a crash has cut from the log.
func (z *graveyard) forget(end restart.LSN) {
	for _, graves := range z.deeds {
		for g, deeds := range graves {
			graves[g] = slices.DeleteFunc(deeds, func(d deed) bool { return d.lsn >= end })
		}
	}
	all := make(map[string][]wipe)
	for name, wipes := range z.wipes {
		for _, w := range wipes {
			if w.lo < end {
				w.maybe, w.hi = w.maybe || w.hi > end, min(w.hi, end)
				all[name] = append(all[name], w)
			}
		}
	}
	z.wipes = all
}

// nextLife checks the crashes of a burst, every other one with images missing,
// and goes on with one of them.
func (z *graveyard) nextLife() {
	for i, c := range z.crashes {
		disk := c.disk.KillClone()
		z.loseImages(disk, i%3)
		z.check(disk, c, i)
	}
	z.disk = z.crashes[z.rnd.IntN(len(z.crashes))].disk
}

// loseImages removes the newest n images of the index.
func (z *graveyard) loseImages(disk *memfs.FS, n int) {
	where := filepath.Join(dir, "gen-000001", "checkpoint")
	names, _ := disk.List(where) // there may be none yet
	slices.Reverse(names)
	for _, name := range names[:min(n, len(names))] {
		if err := disk.Remove(filepath.Join(where, name)); err != nil {
			z.t.Error(err)
		}
	}
}

// check compares what a crash has left with the log's end, then again after a
// compaction and a clean close.
func (z *graveyard) check(disk *memfs.FS, c zombieCrash, i int) {
	var end restart.LSN
	for again := range 2 {
		st, err := restart.Open(dir, z.options(disk))
		if err != nil {
			z.t.Fatalf("life %d, crash %d: %v", z.life, i, err)
		}
		rep := st.Recovery()
		z.rungs[rep.Rung]++
		if again == 0 {
			end = rep.End
		}
		got, err := read(st)
		if err == nil {
			err = z.compare(got, end)
		}
		if err == nil && end < c.durable {
			err = fmt.Errorf("the log ends at %d, it was durable to %d", end, c.durable)
		}
		if err == nil {
			err = st.Compact(context.Background())
		}
		if err = errors.Join(err, st.Close()); err != nil {
			z.t.Fatalf("life %d, crash %d, open %d (%v): %v", z.life, i, again, rep, err)
		}
	}
	z.checked++
}

// compare checks every key against what the log up to end says.
func (z *graveyard) compare(got contents, end restart.LSN) error {
	for _, graves := range z.deeds {
		for g, deeds := range graves {
			value, there := got[g.region][g.key]
			want, may := z.expect(g, deeds, end)
			z.buried++
			switch {
			case !there && (want == "" || may):
				z.gone++
			case there && want != "" && value == want:
			case !there:
				return fmt.Errorf("%v is lost: %.60q", g, want)
			default:
				return fmt.Errorf("zombie: %v is %.60q, want %.60q; log to %d, writes %s, wipes %v",
					g, value, want, end, describe(deeds), z.wipes[g.region])
			}
		}
	}
	return nil
}

// expect returns what a key must hold when the log ends at end, "" for nothing;
// or, if may is set, nothing.
func (z *graveyard) expect(g grave, deeds []deed, end restart.LSN) (want string, may bool) {
	var last deed
	for _, d := range deeds {
		if d.lsn < end {
			last = d
		}
	}
	if last.value == "" {
		return "", true
	}
	for _, w := range z.wipes[g.region] {
		switch {
		case w.lo >= end || w.hi <= last.lsn: // not there, or before
		case !w.maybe && w.hi <= end && w.lo > last.lsn:
			return "", true
		default:
			may = true
		}
	}
	return last.value, may
}

func describe(deeds []deed) string {
	var b strings.Builder
	for _, d := range deeds[max(0, len(deeds)-5):] {
		fmt.Fprintf(&b, "[%d %.30q]", d.lsn, d.value)
	}
	return b.String()
}
