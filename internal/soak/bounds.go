package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/fastrestart/frs/restart"
)

// What a child may use, whatever is drawn.
const (
	// Files are open besides one for each segment: 32 segments are released at a
	// time, and out of the list before their files are closed.
	moreFiles = 64
	maxHeap   = 192 << 20 * shadow
	// Resident memory above the store's limit; and with the store closed and free
	// memory given back, at first and more than the first time.
	moreResident       = 256 << 20 * shadow
	maxResidentClosed  = 96 << 20 * shadow
	moreResidentClosed = 32 << 20 * shadow
	// Above its limit a store may be by the values that are being written. What it
	// maps is address space, by the chunk.
	usedSlack   = 8 << 20
	mappedSlack = 192 << 20
	// The store's files may be larger than the log: allocated ahead, images.
	maxDisk = 2 << 30
)

// bounds are what a child has used before it opened a store, and what it may
// use.
type bounds struct {
	tally             *tally
	goroutines, files int
	closed            int64 // resident after the first close
	// patience is how long goroutines of a closed store may take to end.
	patience time.Duration
}

func newBounds(t *tally) *bounds {
	// One goroutine more listens to the parent.
	b := &bounds{tally: t, goroutines: runtime.NumGoroutine() + 1, patience: 5 * time.Second}
	b.files, _ = openFiles()
	return b
}

// watch looks at what is used, until the context ends, and reports.
func (c *user) watch(ctx context.Context) error {
	return repeat(25*time.Millisecond, func(context.Context) error {
		m := c.st.Metrics()
		c.count(m)
		if err := c.limit.sample(m); err != nil {
			return err
		}
		if err := c.said.Say("%s %d", wordDurable, c.st.DurableLSN()); err != nil {
			return err
		}
		return c.report()
	})(ctx)
}

// sample compares what is used now with what may be.
func (b *bounds) sample(m restart.Metrics) error {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	files, _ := openFiles()
	resident, _ := residentBytes()
	b.tally.peak("open files", int64(files))
	b.tally.peak("resident bytes", resident)
	for _, x := range []struct {
		what      string
		is, bound int64
	}{
		{"open files besides segments", int64(files - m.Segments), moreFiles},
		{"heap bytes", int64(mem.HeapAlloc), maxHeap},
		{"resident bytes above limit", resident - m.MemoryLimit, moreResident},
		{"store memory above limit", m.MemoryUsed - m.MemoryLimit, usedSlack},
		{"mapped memory above limit", m.MemoryMapped - m.MemoryLimit, mappedSlack},
		{"disk bytes", m.DiskBytes, maxDisk},
	} {
		b.tally.peak(x.what, x.is)
		if x.is > x.bound {
			return fmt.Errorf("%d %s, at most %d are allowed: %+v", x.is, x.what, x.bound, m)
		}
	}
	return nil
}

// released says whether a closed store has left anything.
func (b *bounds) released() error {
	var goroutines, files int
	for start := time.Now(); time.Since(start) < b.patience; time.Sleep(time.Millisecond) {
		goroutines = runtime.NumGoroutine()
		files, _ = openFiles()
		if goroutines <= b.goroutines && files <= b.files {
			return b.resident()
		}
	}
	stacks := make([]byte, 64<<10)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return fmt.Errorf("closed, there are %d goroutines and %d open files; before it was opened %d and %d\n%s",
		goroutines, files, b.goroutines, b.files, stacks)
}

func (b *bounds) resident() error {
	debug.FreeOSMemory()
	n, _ := residentBytes()
	b.tally.peak("resident bytes closed", n)
	if b.closed == 0 {
		b.closed = n
	}
	if n > maxResidentClosed || n > b.closed+moreResidentClosed {
		return fmt.Errorf("closed, %d bytes are resident, after the first close %d were; at most %d and %d more are allowed",
			n, b.closed, maxResidentClosed, moreResidentClosed)
	}
	return nil
}
