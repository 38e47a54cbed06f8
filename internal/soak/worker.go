package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/fastrestart/frs/internal/ledger"
	"github.com/fastrestart/frs/restart"
)

// holds is what a worker knows of a key.
type holds struct {
	version uint64
	// It expires between these two; zero: never.
	earliest, latest time.Time
}

// worker is one of the child's goroutines. It alone writes its keys.
type worker struct {
	*user
	id  int
	rng *rand.Rand
	// has is what its keys hold; absent ones are not in it.
	has map[string]holds
}

func newWorker(c *user, id int, rng *rand.Rand) *worker {
	return &worker{user: c, id: id, rng: rng, has: map[string]holds{}}
}

// prefix of the worker's keys in a region.
func (w *worker) prefix() string { return fmt.Sprintf("w%d-", w.id) }

// learn takes over what was found of the worker's keys.
func (w *worker) learn(found ledger.Contents) {
	clear(w.has)
	for key, f := range found {
		if strings.HasPrefix(string(inRegion(key)), w.prefix()) {
			w.has[key] = holds{f.Version, f.Expires, f.Expires}
		}
	}
}

// work does operations until the context ends.
func (w *worker) work(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		if err := w.step(); err != nil {
			return err
		}
		if n%8 == 0 {
			sleep(ctx, time.Millisecond) // it would fill the disk
		}
	}
	return nil
}

// step does one operation.
func (w *worker) step() error {
	w.gate.RLock()
	defer w.gate.RUnlock()
	switch n := w.rng.IntN(1000); {
	case n < 400:
		return w.put(0)
	case n < 480:
		return w.put(timeToLive(w.rng))
	case n < 600:
		return w.delete()
	case n < 720:
		return w.batch()
	case n < 900:
		return w.get()
	case n < 940:
		return w.entry()
	case n < 970:
		return w.scan()
	case n < 975:
		return w.demand()
	}
	return w.peek()
}

// key draws one of the worker's keys.
func (w *worker) key() (r int, name string) {
	r = w.rng.IntN(len(regionNames))
	return r, keyName(r, w.id, w.rng.IntN(keysPerWorker))
}

func (w *worker) durability() restart.Durability {
	switch n := w.rng.IntN(100); {
	case n < 2:
		return restart.Sync
	case n < 12:
		return restart.Batched
	case n < 22:
		return restart.Never
	}
	return restart.Inherit
}

// write does a write, said before and after. It reports whether it took place.
func (w *worker) write(wr ledger.Write, d restart.Durability, do func() (restart.LSN, error)) (holds, bool, error) {
	wr.Issued = now()
	if _, err := io.WriteString(w.said, wr.Line()); err != nil {
		return holds{}, false, err
	}
	lsn, err := do()
	if errors.Is(err, restart.ErrMemoryFull) {
		w.tally.add("refused", 1)
		return holds{}, false, w.said.Say("%s %d", wordRefused, wr.Version)
	}
	if err != nil {
		return holds{}, false, fmt.Errorf("version %d: %w", wr.Version, err)
	}
	h := holds{version: wr.Version}
	if wr.TTL > 0 {
		h.earliest, h.latest = wr.Issued.Add(wr.TTL), now().Add(wr.TTL)
	}
	w.tally.add("durability "+d.String(), 1)
	return h, true, w.answer(wr.Version, lsn, w.letter(d))
}

// put writes a value; entries of one region never expire.
func (w *worker) put(ttl time.Duration) error {
	r, name := w.key()
	if r == plain {
		ttl = 0
	}
	d := w.durability()
	wr := ledger.Write{Version: w.version.Add(1), Puts: []string{name}, TTL: ttl}
	value := values.Make(name, wr.Version)
	h, ok, err := w.write(wr, d, func() (restart.LSN, error) {
		return w.regions[r].Load().PutWith(inRegion(name), value, restart.WriteOptions{TTL: ttl, Durability: d})
	})
	if !ok || err != nil {
		return err
	}
	w.has[name] = h
	what := "put"
	if ttl > 0 {
		what = "put with TTL"
	}
	w.tally.add(what, 1)
	if len(value) > 256<<10 {
		w.tally.add("put > 256 KiB", 1)
	}
	return nil
}

// lasting says whether a key is there and stays until it is deleted: only of
// such a deletion is it certain that it writes a record.
func (w *worker) lasting(name string) bool {
	h, ok := w.has[name]
	return ok && (h.earliest.IsZero() || time.Until(h.earliest) > 5*time.Minute)
}

func (w *worker) delete() error {
	r, name := w.key()
	d := w.durability()
	o := restart.WriteOptions{Durability: d}
	if _, maybe := w.has[name]; !maybe {
		w.tally.add("delete absent", 1)
		_, err := w.regions[r].Load().DeleteWith(inRegion(name), o)
		return err
	}
	if !w.lasting(name) {
		return nil
	}
	wr := ledger.Write{Version: w.version.Add(1), Dels: []string{name}}
	_, ok, err := w.write(wr, d, func() (restart.LSN, error) {
		return w.regions[r].Load().DeleteWith(inRegion(name), o)
	})
	if ok {
		delete(w.has, name)
		w.tally.add("delete", 1)
	}
	return err
}

// batch puts and deletes keys of several regions at once.
func (w *worker) batch() error {
	b := w.st.NewBatch()
	wr := ledger.Write{Version: w.version.Add(1)}
	seen := map[string]bool{}
	regions := map[int]bool{}
	for range 2 + w.rng.IntN(7) {
		r, name := w.key()
		if seen[name] {
			continue
		}
		seen[name], regions[r] = true, true
		if len(wr.Puts) > 0 && w.lasting(name) && w.rng.IntN(3) == 0 {
			b.Delete(w.regions[r].Load(), inRegion(name))
			wr.Dels = append(wr.Dels, name)
			continue
		}
		b.Put(w.regions[r].Load(), inRegion(name), values.Make(name, wr.Version))
		wr.Puts = append(wr.Puts, name)
	}
	d := w.durability()
	h, ok, err := w.write(wr, d, func() (restart.LSN, error) { return w.st.ApplyWith(b, d) })
	if !ok || err != nil {
		return err
	}
	for _, name := range wr.Puts {
		w.has[name] = h
	}
	for _, name := range wr.Dels {
		delete(w.has, name)
	}
	w.tally.add("batch", 1)
	if len(regions) > 1 {
		w.tally.add("batch of regions", 1)
	}
	return nil
}

// demand makes writes durable and says so.
func (w *worker) demand() error {
	lsn := w.returned.Load()
	var err error
	if w.rng.IntN(2) == 0 {
		w.tally.add("sync", 1)
		err = w.st.Sync()
	} else {
		w.tally.add("wait durable", 1)
		err = w.st.WaitDurable(context.Background(), restart.LSN(lsn))
	}
	if err != nil || lsn == 0 {
		return err
	}
	return w.said.Say("%s %d", wordDurable, lsn+1)
}

// mine returns the worker's keys in a region, sorted.
func (w *worker) mine(region int) []string {
	prefix := regionNames[region] + "/"
	keys := slices.DeleteFunc(slices.Collect(maps.Keys(w.has)), func(k string) bool { return !strings.HasPrefix(k, prefix) })
	slices.Sort(keys)
	return keys
}
