package wal_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/fastrestart/frs/crashtest"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/wal"
)

// step is one operation of a crash workload.
type step struct {
	do   string // put, sync, roll, release, truncate, reopen
	id   int    // put: the record; release, truncate: the record at whose LSN
	size int
	dur  wal.Durability
}

// machine is a log under a crash workload.
type machine struct {
	*wal.Log
	o    wal.Options
	lsns map[int]wal.LSN
}

func openMachine(fs vfs.FS, dir string, o wal.Options) (*machine, error) {
	o.FS = fs
	l, err := wal.Open(dir, o)
	return &machine{l, o, map[int]wal.LSN{}}, err
}

func (m *machine) apply(s step) (err error) {
	switch s.do {
	case "put":
		m.lsns[s.id], _, err = put(m.Log, payload(s.id, s.size), s.dur)
	case "sync":
		err = m.Sync()
	case "roll":
		err = m.Roll()
	case "release":
		if err = m.Sync(); err == nil {
			err = m.Release(context.Background(), m.lsns[s.id])
		}
	case "truncate":
		err = m.TruncateBack(m.lsns[s.id])
	case "reopen":
		if err = m.Close(); err == nil {
			m.Log, err = wal.Open(dir, m.o)
		}
	default:
		err = fmt.Errorf("unknown step %q", s.do)
	}
	return err
}

func promise(s step) crashtest.Promise {
	if s.do == "put" && s.dur != wal.Sync {
		return crashtest.DurableNothing
	}
	return crashtest.DurableAll
}

// model returns the records that the log holds after the steps, and how many
// of the first of them are released.
func model(steps []step) (list []int, released int) {
	for _, s := range steps {
		switch s.do {
		case "put":
			list = append(list, s.id)
		case "release":
			released = max(released, slices.Index(list, s.id))
		case "truncate":
			list = list[:slices.Index(list, s.id)]
		}
	}
	return list, released
}

// explains reports whether a log may hold the records got after the steps.
func explains(steps []step, got []int) bool {
	list, released := model(steps)
	// Everything that is not released is there; of the rest, a part.
	front := len(list) - len(got)
	return front >= 0 && front <= released && slices.Equal(list[front:], got)
}

// checkCrash opens what a crash left, compares it with the model, and checks
// that the log goes on from there.
func checkCrash(o wal.Options) func(vfs.FS, string, crashtest.Crash[step]) error {
	return func(fs vfs.FS, dir string, c crashtest.Crash[step]) error {
		o := o // called concurrently
		o.FS, o.TrustTail = fs, len(c.Issued)%2 == 0
		l, err := wal.Open(dir, o)
		if err != nil {
			return err
		}
		got, err := ids(l)
		if err != nil {
			_ = l.Close()
			return err
		}
		ok := false
		for n := c.Durable; n <= len(c.Issued) && !ok; n++ {
			ok = explains(c.Issued[:n], got)
		}
		if !ok {
			_ = l.Close()
			return fmt.Errorf("records %s, durable %d of %d steps; tail %+v", brief(got), c.Durable, len(c.Issued), l.Tail())
		}
		if _, _, err := put(l, payload(1000, 100), wal.Sync); err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
		return checkAgain(o, append(got, 1000))
	}
}

// checkAgain opens the log for reading and expects the records.
func checkAgain(o wal.Options, want []int) error {
	o.ReadOnly, o.TrustTail = true, !o.TrustTail
	l, err := wal.Open(dir, o)
	if err != nil {
		return fmt.Errorf("second open: %w", err)
	}
	defer l.Close()
	got, err := ids(l)
	if err != nil {
		return fmt.Errorf("second open: %w", err)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("second open: records %s, want %s", brief(got), brief(want))
	}
	if t := l.Tail(); !t.Sealed || t.TornBytes != 0 || t.ProvenDurable != t.End {
		return fmt.Errorf("second open: a clean close left %+v", t)
	}
	return nil
}

// workloads that do every kind of thing once or twice, around segment ends.
func workloads() map[string][]step {
	puts := func(first, n, size int, d wal.Durability) (s []step) {
		for i := range n {
			s = append(s, step{do: "put", id: first + i, size: size, dur: d})
		}
		return s
	}
	return map[string][]step{
		"every put synced, over two rolls": puts(0, 12, 15000, wal.Sync),
		"batched puts, over two rolls":     append(puts(0, 12, 15000, wal.Batched), step{do: "sync"}),
		"frames across sectors":            puts(0, 30, 333, wal.Sync),
		"a record larger than a segment": slices.Concat(
			puts(0, 2, 100, wal.Batched), puts(2, 1, 100_000, wal.Sync), puts(3, 3, 30000, wal.Sync)),
		"large records into empty segments": slices.Concat(
			puts(0, 2, 100_000, wal.Batched), []step{{do: "roll"}}, puts(2, 1, 120_000, wal.Sync),
			[]step{{do: "reopen"}}, puts(3, 1, 150_000, wal.Batched), []step{{do: "release", id: 3}}, puts(4, 3, 40_000, wal.Sync)),
		"clean close and reopen": slices.Concat(
			puts(0, 5, 15000, wal.Batched), []step{{do: "reopen"}}, puts(5, 3, 3000, wal.Sync),
			[]step{{do: "reopen"}, {do: "reopen"}}, puts(8, 3, 30000, wal.Batched), []step{{do: "sync"}}),
		"release of the front": slices.Concat(
			puts(0, 12, 15000, wal.Batched), []step{{do: "release", id: 6}}, puts(12, 4, 15000, wal.Sync),
			[]step{{do: "release", id: 13}}, puts(16, 2, 1000, wal.Sync)),
		"truncation of the back": slices.Concat(
			puts(0, 10, 15000, wal.Batched), []step{{do: "truncate", id: 7}}, puts(20, 2, 1000, wal.Sync),
			[]step{{do: "truncate", id: 2}}, puts(30, 6, 15000, wal.Sync), []step{{do: "truncate", id: 0}}, puts(40, 2, 100, wal.Sync)),
		"rolls, releases, truncations, reopens": slices.Concat(
			puts(0, 2, 1000, wal.Sync), []step{{do: "roll"}}, puts(2, 2, 1000, wal.Batched), []step{{do: "roll"}, {do: "release", id: 3}},
			puts(4, 2, 1000, wal.Batched), []step{{do: "truncate", id: 5}, {do: "reopen"}}, puts(6, 2, 1000, wal.Batched),
			[]step{{do: "roll"}, {do: "roll"}, {do: "sync"}}),
	}
}

// TestCrash stops the machine after every file operation, leaves what a disk
// may leave, and in some of these states stops it again during recovery. What
// survives is a prefix, and everything synced is in it.
func TestCrash(t *testing.T) {
	for name, steps := range workloads() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := wal.Options{SegmentSize: wal.MinSegmentSize}
			states, recovery := 40, 20
			if testing.Short() {
				states, recovery = 8, 5
			}
			crashtest.Run(t, crashtest.Config[*machine, step]{
				Dir: dir, Ops: steps, MaxStates: states, Recovery: recovery, Promise: promise,
				Open:  func(fs vfs.FS, dir string) (*machine, error) { return openMachine(fs, dir, o) },
				Apply: (*machine).apply,
				Close: func(m *machine) error { return m.Close() },
				Check: checkCrash(o),
			})
		})
	}
}
