package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/fastrestart/frs/internal/ledger"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

// now is the wall clock, which the store goes by as well.
func now() time.Time { return time.Now().Round(0) }

// judge compares what was found of one of the worker's keys, in a read that
// began at a time and is over, with what it holds. Version 0: it was not found.
// timed: found.Expires is known as well.
func (w *worker) judge(name string, found ledger.Found, timed bool, began time.Time) error {
	h, ok := w.has[name]
	switch {
	case found.Version == 0 && ok && (h.earliest.IsZero() || now().Before(h.earliest)):
		return fmt.Errorf("%s is lost, it should hold %+v", name, h)
	case found.Version == 0:
		return nil
	case !ok:
		return fmt.Errorf("%s holds %v, it was deleted or never written", name, found)
	case found.Version != h.version:
		return fmt.Errorf("%s holds %v, it should hold %+v", name, found, h)
	case !h.latest.IsZero() && began.After(h.latest):
		return fmt.Errorf("%s holds %v at %v, its time was over: %+v", name, found, began, h)
	case timed && (found.Expires.Before(h.earliest) || found.Expires.After(h.latest)):
		return fmt.Errorf("%s expires at %v: %+v", name, found.Expires, h)
	}
	return nil
}

func (w *worker) get() error {
	r, name := w.key()
	began := now()
	v, err := w.regions[r].Load().Get(inRegion(name))
	w.tally.add("get", 1)
	if errors.Is(err, restart.ErrNotFound) {
		return w.judge(name, ledger.Found{}, false, began)
	}
	if err != nil {
		return err
	}
	version, err := values.Version(name, v)
	if err != nil {
		return err
	}
	return w.judge(name, ledger.Found{Version: version}, false, began)
}

// entry is get with the expiry.
func (w *worker) entry() error {
	r, name := w.key()
	began := now()
	e, err := w.regions[r].Load().Entry(inRegion(name))
	w.tally.add("entry", 1)
	if errors.Is(err, restart.ErrNotFound) {
		return w.judge(name, ledger.Found{}, true, began)
	}
	if err != nil {
		return err
	}
	return w.judgeEntry(r, e, began)
}

func (w *worker) judgeEntry(region int, e restart.Entry, began time.Time) error {
	name := regionNames[region] + "/" + string(e.Key)
	version, err := values.Version(name, e.Value)
	if err != nil {
		return err
	}
	return w.judge(name, ledger.Found{Version: version, Expires: e.Expires}, true, began)
}

// peek asks whether a key is there.
func (w *worker) peek() error {
	r, name := w.key()
	began := now()
	has, err := w.regions[r].Load().Has(inRegion(name))
	w.tally.add("has", 1)
	if err != nil {
		return err
	}
	found := ledger.Found{}
	if has {
		found.Version = w.has[name].version
	}
	return w.judge(name, found, false, began)
}

// scanWay is a way to scan a region.
type scanWay struct {
	name  string
	order int // of the keys: 1 rising, -1 falling, 0 none
	// covers says whether a key is in its range.
	covers func(key string) bool
	seq    iter.Seq2[restart.Entry, error]
	keys   bool // no values
}

// way draws one, of a worker's own keys if there is a choice.
func way(r *restart.Region, rng interface{ IntN(int) int }, from, to, prefix string) scanWay {
	if from > to {
		from, to = to, from
	}
	between := func(key string) bool { return key >= from && key < to }
	switch rng.IntN(5) {
	case 0:
		return scanWay{"scan ascending", 1, between, r.Ascend([]byte(from), []byte(to)), false}
	case 1:
		return scanWay{"scan descending", -1, between, r.Descend([]byte(from), []byte(to)), false}
	case 2:
		return scanWay{"scan prefix", 1, func(key string) bool { return strings.HasPrefix(key, prefix) }, r.Prefix([]byte(prefix)), false}
	case 3:
		return scanWay{"scan keys", 1, between, keysOf(r.Keys([]byte(from), []byte(to))), true}
	}
	return scanWay{"scan unordered", 0, func(string) bool { return true }, r.All(), false}
}

func keysOf(seq iter.Seq2[[]byte, error]) iter.Seq2[restart.Entry, error] {
	return func(yield func(restart.Entry, error) bool) {
		for key, err := range seq {
			if !yield(restart.Entry{Key: key}, err) {
				return
			}
		}
	}
}

// run calls f with each entry. Keys are in order and in range, and none comes
// twice.
func (s scanWay) run(f func(restart.Entry) error) error {
	seen := map[string]bool{}
	var last []byte
	for e, err := range s.seq {
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		key := string(e.Key)
		if seen[key] || !s.covers(key) || last != nil && s.order != 0 && bytes.Compare(e.Key, last) != s.order {
			return fmt.Errorf("%s: %q after %q, seen before: %t, in range: %t", s.name, key, last, seen[key], s.covers(key))
		}
		seen[key], last = true, e.Key
		if err := f(e); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// scan scans a region. The worker's own keys stand still meanwhile.
func (w *worker) scan() error {
	r, one := w.key()
	_, other := w.key()
	s := way(w.regions[r].Load(), w.rng, string(inRegion(one)), string(inRegion(other)), w.prefix())
	began := now()
	seen := map[string]bool{}
	err := s.run(func(e restart.Entry) error {
		name := regionNames[r] + "/" + string(e.Key)
		switch mine := strings.HasPrefix(string(e.Key), w.prefix()); {
		case mine && s.keys:
			seen[name] = true
			return w.judge(name, ledger.Found{Version: w.has[name].version}, false, began)
		case mine:
			seen[name] = true
			return w.judgeEntry(r, e, began)
		case s.keys:
			return nil
		}
		_, err := values.Version(name, e.Value)
		return err
	})
	for _, name := range w.mine(r) {
		if err == nil && !seen[name] && s.covers(string(inRegion(name))) {
			err = w.judge(name, ledger.Found{}, false, began)
		}
	}
	w.tally.add(s.name, 1)
	return err
}

// roam scans what others change, clear and drop.
func (c *user) roam(ctx context.Context) error {
	rng := newRand(c.plan.Seed, 101)
	for ctx.Err() == nil {
		r := rng.IntN(len(regionNames))
		a, b := keyName(r, rng.IntN(workers), rng.IntN(keysPerWorker)), keyName(r, rng.IntN(workers), rng.IntN(keysPerWorker))
		s := way(c.regions[r].Load(), rng, string(inRegion(a)), string(inRegion(b)), fmt.Sprintf("w%d-", rng.IntN(workers)))
		err := s.run(func(e restart.Entry) error {
			if s.keys {
				return nil
			}
			_, err := values.Version(regionNames[r]+"/"+string(e.Key), e.Value)
			return err
		})
		if err != nil && !errors.Is(err, restart.ErrDropped) {
			return err
		}
		c.tally.add("scan of what changes", 1)
		sleep(ctx, 10*time.Millisecond)
	}
	return nil
}

// contents reads everything. Nobody may write meanwhile.
func (c *user) contents() (ledger.Contents, error) {
	found := ledger.Contents{}
	for i := range regionNames {
		r := c.regions[i].Load()
		n, entries, began := len(found), r.Len(), now()
		for e, err := range r.All() {
			name := regionNames[i] + "/" + string(e.Key)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", regionNames[i], err)
			}
			version, err := values.Version(name, e.Value)
			if err != nil {
				return nil, err
			}
			if _, twice := found[name]; twice {
				return nil, fmt.Errorf("a scan yields %s twice", name)
			}
			if !e.Expires.IsZero() && e.Expires.Before(began) {
				return nil, fmt.Errorf("%s is there and expired at %v, before %v", name, e.Expires, began)
			}
			found[name] = ledger.Found{Version: version, Expires: e.Expires}
		}
		// What has expired meanwhile counted, and is not there.
		if n = len(found) - n; entries < n || entries > n && i == plain {
			return nil, fmt.Errorf("%s: a scan finds %d keys, Len was %d", regionNames[i], n, entries)
		}
	}
	return found, c.compareHash(found)
}

// compareHash compares the content hash of the region in which nothing expires
// with that of a region into which the same was put.
func (c *user) compareHash(found ledger.Contents) error {
	st, err := restart.Open("/fresh", restart.Options{FS: memfs.New(), Durability: restart.Never, Load: restart.Eager})
	if err != nil {
		return err
	}
	defer st.Close()
	fresh, err := st.Region(regionNames[plain], restart.RegionOptions{})
	if err != nil {
		return err
	}
	for name, f := range found {
		if !strings.HasPrefix(name, regionNames[plain]+"/") {
			continue
		}
		if err := fresh.Put(inRegion(name), values.Make(name, f.Version)); err != nil {
			return err
		}
	}
	want, err := fresh.ContentHash()
	if err != nil {
		return err
	}
	got, err := c.regions[plain].Load().ContentHash()
	if err == nil && got != want {
		err = fmt.Errorf("content hash of %s is %x, that of the same entries is %x", regionNames[plain], got, want)
	}
	c.tally.add("content hash", 1)
	return err
}

// audit compares everything with what the workers know. Nobody may write
// meanwhile.
func (c *user) audit() error {
	began := now()
	found, err := c.contents()
	if err != nil {
		return err
	}
	c.tally.add("audit", 1)
	for _, w := range c.workers {
		for name := range w.has {
			if err := w.judge(name, found[name], true, began); err != nil {
				return err
			}
		}
		for name, f := range found {
			if _, ok := w.has[name]; !ok && strings.HasPrefix(string(inRegion(name)), w.prefix()) {
				return w.judge(name, f, true, began)
			}
		}
	}
	return nil
}
