package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/fastrestart/frs/restart"
)

// writerCommand is the first argument of the child.
const writerCommand = "writer"

const (
	writers       = 8
	keysPerWriter = 64
)

// writer is the child: it writes until it is killed.
type writer struct {
	st      *restart.Store
	regions regions
	entries *entries      // to overwrite; nil: none
	version atomic.Uint64 // last one used
	out     io.Writer
}

// writerMain is the child process.
func writerMain(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet(writerCommand, flag.ContinueOnError)
	f.SetOutput(stderr)
	dir := f.String("dir", "", "directory of the store")
	version := f.Uint64("version", 0, "use higher versions than this")
	seed := f.Uint64("seed", 1, "of the random choices")
	compact := f.Bool("compact", false, "collect garbage all the time")
	n := f.Int("entries", 0, "overwrite this many entries at full speed")
	overwritten := f.Uint64("overwritten", 0, "go on behind this version of them")
	if f.Parse(args) != nil {
		return exitFailed
	}
	w := &writer{out: stdout}
	w.version.Store(*version)
	if *n > 0 {
		w.entries = newEntries(*n)
		w.entries.last.Store(*overwritten)
	}
	if err := w.run(*dir, *seed, *compact); err != nil {
		fmt.Fprintf(stderr, "killrestart %s: %v\n", writerCommand, err)
		return exitFailed
	}
	return 0
}

// run returns only with an error: the child's life ends by a kill.
func (w *writer) run(dir string, seed uint64, compact bool) (err error) {
	if w.st, err = restart.Open(dir, options()); err != nil {
		return err
	}
	// The store is not closed on the way out: an error here is as sudden an end
	// as the kill.
	if w.regions, err = openRegions(w.st); err != nil {
		return err
	}
	if err := w.reportOnce(); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w.out, wordReady); err != nil {
		return err
	}
	failed := make(chan error)
	for n := range writers {
		go func() { failed <- w.loop(n, rand.New(rand.NewPCG(seed, uint64(n)))) }()
	}
	if compact {
		go func() { failed <- w.compact() }()
	}
	if w.entries != nil {
		go func() { failed <- w.entries.overwrite(w.regions.entries) }()
	}
	go func() { failed <- w.report() }()
	return <-failed
}

// loop is one writing goroutine. It alone writes its keys, so the versions of
// a key rise in the log as they rise here.
func (w *writer) loop(n int, rng *rand.Rand) error {
	for {
		k := rng.IntN(keysPerWriter)
		op := write{key: keyName(n, k), version: w.version.Add(1), del: rng.IntN(8) == 0}
		if _, err := w.out.Write(op.line(wordIssue)); err != nil {
			return err
		}
		if err := w.do(op, paired(k)); err != nil {
			return err
		}
		if _, err := w.out.Write(op.line(wordAck)); err != nil {
			return err
		}
	}
}

// do carries out a write in the store. When it has returned nil the write is
// durable.
func (w *writer) do(op write, pair bool) error {
	key, r := []byte(op.key), w.regions
	switch {
	case pair:
		b := w.st.NewBatch()
		for _, r := range []*restart.Region{r.writes, r.pairs} {
			if op.del {
				b.Delete(r, key)
			} else {
				b.Put(r, key, value(op.key, op.version))
			}
		}
		_, err := w.st.Apply(b)
		return err
	case op.del:
		return r.writes.Delete(key)
	}
	return r.writes.Put(key, value(op.key, op.version))
}

// report says every now and then how far it is.
func (w *writer) report() error {
	for range time.Tick(10 * time.Millisecond) {
		if err := w.reportOnce(); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) reportOnce() error {
	p := progress{durable: w.entries.overwritten()}
	if err := w.st.Sync(); err != nil {
		return err
	}
	p.predicted = w.st.PredictedRestart()
	_, err := w.out.Write(p.line())
	return err
}

// compact moves what is live from the front of the log to its end, over and
// over, so that kills hit that as well.
func (w *writer) compact() error {
	for {
		if err := w.st.Compact(context.Background()); err != nil {
			return err
		}
	}
}
