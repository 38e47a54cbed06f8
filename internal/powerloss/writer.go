package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fastrestart/frs/internal/child"
	"github.com/fastrestart/frs/internal/ledger"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/wal"
)

// writer is the child.
type writer struct {
	plan  plan
	said  child.Voice
	began time.Time

	st      *restart.Store
	regions [len(regionNames)]*restart.Region

	version  atomic.Uint64 // last one used
	returned atomic.Uint64 // highest LSN of a write that returned
	present  [writers][keysPerWriter]bool
	stop     atomic.Bool

	rolls, compactions, checkpoints, reopens atomic.Int64
}

// run lives the child's life until it is told to close. Without an error the
// store is closed then.
func (w *writer) run(commands io.Reader) error {
	w.began = time.Now()
	w.version.Store(w.plan.Version)
	if err := w.said.Say(child.WordStart); err != nil {
		return err
	}
	if err := w.open(); err != nil {
		return err
	}
	if err := w.show(); err != nil {
		return err
	}
	if err := w.st.Sync(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	if err := w.said.Ready(commands, func() { w.stop.Store(true) }); err != nil {
		return err
	}
	for n := 0; ; n++ {
		if err := w.session(n); err != nil {
			return err
		}
		if err := w.st.Close(); err != nil {
			return fmt.Errorf("close: %w", err)
		}
		if w.stop.Load() {
			return w.said.Say(child.WordClosed)
		}
		if err := w.said.Say("%s %d", wordDurable, w.returned.Load()+1); err != nil {
			return err
		}
		w.reopens.Add(1)
		if err := w.open(); err != nil {
			return err
		}
	}
}

func (w *writer) open() (err error) {
	o := w.plan.options()
	o.Events = restart.Events{
		CompactionEnd: func(i restart.CompactionInfo) { count(&w.compactions, i.Err) },
		CheckpointEnd: func(i restart.CheckpointInfo) { count(&w.checkpoints, i.Err) },
		Log:           wal.Events{SegmentSealed: func(wal.SegmentInfo) { w.rolls.Add(1) }},
	}
	if w.st, err = restart.Open(w.plan.Dir, o); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	for i, name := range regionNames {
		if w.regions[i], err = w.st.Region(name, restart.RegionOptions{}); err != nil {
			return fmt.Errorf("region %s: %w", name, err)
		}
	}
	return nil
}

func count(n *atomic.Int64, err error) {
	if err == nil {
		n.Add(1)
	}
}

// show says what is in the store.
func (w *writer) show() error {
	var lines bytes.Buffer
	for i, r := range w.regions {
		n := 0
		for e, err := range r.All() {
			if err != nil {
				return fmt.Errorf("read %s: %w", regionNames[i], err)
			}
			key := regionNames[i] + "/" + string(e.Key)
			version, err := values.Version(key, e.Value)
			if err != nil {
				return err
			}
			fmt.Fprintf(&lines, "%s %d %s\n", wordHave, version, key)
			n++
		}
		if n != r.Len() {
			return fmt.Errorf("%s: a scan finds %d keys, Len is %d", regionNames[i], n, r.Len())
		}
	}
	for g := range writers {
		for k := range keysPerWriter {
			_, key, _ := strings.Cut(keyName(0, g, k), "/")
			has, err := w.regions[0].Has([]byte(key))
			if err != nil {
				return err
			}
			w.present[g][k] = has
		}
	}
	fmt.Fprintf(&lines, "%s %s\n", wordShown, w.st.Recovery().Rung)
	_, err := w.said.Write(lines.Bytes())
	return err
}

// session has all goroutines work on the open store until each writer has done
// its share of operations, or the child is told to close.
func (w *writer) session(n int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var writing, background sync.WaitGroup
	failed := make(chan error, writers+3)
	run := func(g *sync.WaitGroup, f func() error) {
		g.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				failed <- err
			}
		})
	}
	for g := range writers {
		rng := rand.New(rand.NewPCG(w.plan.Seed, uint64(n*writers+g)))
		run(&writing, func() error { return w.write(g, rng) })
	}
	run(&background, func() error { return every(ctx, 2*time.Millisecond, w.report) })
	if w.plan.Compact {
		run(&background, func() error { return every(ctx, 5*time.Millisecond, func() error { return w.st.Compact(ctx) }) })
	}
	if w.plan.Checkpoint {
		run(&background, func() error { return every(ctx, 20*time.Millisecond, func() error { return w.st.Checkpoint(ctx) }) })
	}
	done := make(chan struct{})
	go func() {
		writing.Wait()
		close(done)
	}()
	select {
	case err := <-failed:
		return err // the process ends; nobody waits for the others
	case <-done:
	}
	cancel()
	background.Wait()
	close(failed)
	return <-failed
}

// every calls f with pauses between.
func every(ctx context.Context, pause time.Duration, f func() error) error {
	for ctx.Err() == nil {
		if err := f(); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	return nil
}

// report says how far the log is durable and what was done.
func (w *writer) report() error {
	err := w.said.Say("%s %d", wordDurable, w.st.DurableLSN())
	return errors.Join(err, w.said.Say("%s %d %d %d %d", wordDid,
		w.rolls.Load(), w.compactions.Load(), w.checkpoints.Load(), w.reopens.Load()))
}

// write is one writing goroutine. It alone writes its keys.
func (w *writer) write(g int, rng *rand.Rand) error {
	for n := 0; !w.stop.Load() && (w.plan.Session == 0 || n < w.plan.Session); n++ {
		k := rng.IntN(keysPerWriter)
		keys := []string{keyName(0, g, k)}
		if paired(k) {
			keys = append(keys, keyName(1, g, k))
		}
		wr := ledger.Write{Version: w.version.Add(1), Puts: keys}
		if w.present[g][k] && rng.IntN(6) == 0 {
			wr.Puts, wr.Dels = nil, keys
		}
		d := restart.Inherit
		if !w.plan.Alone && rng.IntN(100) == 0 {
			d = restart.Sync
		}
		if err := w.one(wr, d); err != nil {
			return err
		}
		w.present[g][k] = wr.Dels == nil
		if !w.plan.Batched {
			continue
		}
		if !w.plan.Alone {
			if err := w.demand(rng.IntN(200)); err != nil {
				return err
			}
		}
		if n%8 == 0 {
			time.Sleep(time.Millisecond) // a batched writer would fill the disk
		}
	}
	return nil
}

// one does one write, said before and after.
func (w *writer) one(wr ledger.Write, d restart.Durability) error {
	if _, err := io.WriteString(w.said, wr.Line()); err != nil {
		return err
	}
	lsn, err := w.do(wr, d)
	if err != nil {
		return fmt.Errorf("version %d: %w", wr.Version, err)
	}
	at := time.Since(w.began)
	for old := w.returned.Load(); old < uint64(lsn) && !w.returned.CompareAndSwap(old, uint64(lsn)); old = w.returned.Load() {
	}
	a := ledger.Answer{Version: wr.Version, LSN: uint64(lsn), Durability: ledger.Batched, At: at}
	if !w.plan.Batched || d == restart.Sync {
		a.Durability = ledger.Durable
	}
	_, err = io.WriteString(w.said, a.Line())
	return err
}

func (w *writer) do(wr ledger.Write, d restart.Durability) (restart.LSN, error) {
	o := restart.WriteOptions{Durability: d}
	names := slices.Concat(wr.Puts, wr.Dels)
	_, key, _ := strings.Cut(names[0], "/")
	switch {
	case len(names) > 1:
		b := w.st.NewBatch()
		for i := range names {
			if wr.Dels != nil {
				b.Delete(w.regions[i], []byte(key))
			} else {
				b.Put(w.regions[i], []byte(key), values.Make(names[i], wr.Version))
			}
		}
		return w.st.ApplyWith(b, d)
	case wr.Dels != nil:
		return w.regions[0].DeleteWith([]byte(key), o)
	}
	return w.regions[0].PutWith([]byte(key), values.Make(names[0], wr.Version), o)
}

// demand makes a batched store durable now and then and says so.
func (w *writer) demand(chance int) error {
	lsn := w.returned.Load()
	var err error
	switch chance {
	case 0:
		err = w.st.WaitDurable(context.Background(), restart.LSN(lsn))
	case 1:
		err = w.st.Sync()
	default:
		return nil
	}
	if err != nil {
		return err
	}
	return w.said.Say("%s %d", wordDurable, lsn+1)
}
