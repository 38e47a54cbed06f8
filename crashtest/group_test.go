package crashtest_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/fastrestart/frs/crashtest"
	"github.com/fastrestart/frs/vfs"
)

// groupToy is one file of fixed records that a goroutine in the background
// writes and syncs for whoever waits.
type groupToy struct {
	wrong  mistake
	f      vfs.File
	queue  chan groupCall
	closed chan error
}

type groupCall struct {
	rec  string
	done chan error
}

const recordSize = 8

func openGroup(wrong mistake) func(vfs.FS, string) (*groupToy, error) {
	return func(fsys vfs.FS, dir string) (*groupToy, error) {
		name := dir + "/log"
		f, err := fsys.OpenWrite(name)
		if errors.Is(err, fs.ErrNotExist) {
			if f, err = fsys.Create(name); err == nil {
				err = fsys.SyncDir(dir)
			}
		}
		if err != nil {
			return nil, err
		}
		recs, err := groupRecords(f)
		if err == nil {
			err = errors.Join(f.Truncate(int64(len(recs)*recordSize)), fsys.SyncDir(dir), f.Sync())
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		g := &groupToy{wrong: wrong, f: f, queue: make(chan groupCall), closed: make(chan error)}
		go g.run(int64(len(recs) * recordSize))
		return g, nil
	}
}

// groupRecords returns the records up to the first that is not whole.
func groupRecords(f vfs.File) (recs []string, err error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	p := make([]byte, size)
	if _, err := f.ReadAt(p, 0); err != nil && size > 0 {
		return nil, err
	}
	for len(p) >= recordSize && p[recordSize-1] == '\n' {
		recs = append(recs, strings.TrimSpace(string(p[:recordSize])))
		p = p[recordSize:]
	}
	return recs, nil
}

func (g *groupToy) run(off int64) {
	for first := range g.queue {
		group := []groupCall{first}
		for more := true; more && len(group) < 4; {
			select {
			case c, ok := <-g.queue:
				if more = ok; ok {
					group = append(group, c)
				}
			default:
				more = false
			}
		}
		g.commit(group, &off)
	}
	g.closed <- g.f.Close()
}

func (g *groupToy) commit(group []groupCall, off *int64) {
	var err error
	for i, c := range group {
		if c.rec != "sync" {
			_, werr := g.f.WriteAt(fmt.Appendf(nil, "%-7s\n", c.rec), *off)
			err = errors.Join(err, werr)
			*off += recordSize
		}
		if g.wrong == "the group's first only" && i > 0 || strings.HasPrefix(c.rec, "put") {
			c.done <- err
		}
	}
	if g.wrong != "sync does nothing" {
		err = errors.Join(err, g.f.SyncData())
	}
	for i, c := range group {
		if (g.wrong != "the group's first only" || i == 0) && !strings.HasPrefix(c.rec, "put") {
			c.done <- err
		}
	}
}

func (g *groupToy) apply(op string) error {
	c := groupCall{op, make(chan error, 1)}
	g.queue <- c
	return <-c.done
}

func (g *groupToy) close() error {
	close(g.queue)
	return <-g.closed
}

func groupConfig(wrong mistake, clients int, ops ...string) crashtest.Config[*groupToy, string] {
	return crashtest.Config[*groupToy, string]{
		Ops: ops, Clients: clients, Resume: 2,
		Open:  openGroup(wrong),
		Apply: (*groupToy).apply,
		Close: (*groupToy).close,
		Promise: func(op string) crashtest.Promise {
			switch {
			case op == "sync":
				return crashtest.DurableAll
			case strings.HasPrefix(op, "put"):
				return crashtest.DurableNothing
			}
			return crashtest.DurableSelf
		},
		Check: func(fsys vfs.FS, dir string, c crashtest.Crash[string]) error {
			f, err := fsys.Open(dir + "/log")
			if errors.Is(err, fs.ErrNotExist) && c.Durable == 0 {
				return nil
			} else if err != nil {
				return err
			}
			defer f.Close()
			recs, err := groupRecords(f)
			if err != nil {
				return err
			}
			there := map[string]bool{}
			for _, rec := range recs {
				there[rec] = true
			}
			last := 0 // a sync leaves nothing: it counts as what came before it
			for i, op := range c.Issued {
				if there[op] {
					last = i
				}
			}
			return c.Survivors(func(i int) bool {
				return there[c.Issued[i]] || c.Issued[i] == "sync" && (i <= last || c.Status[i] == crashtest.Durable)
			})
		},
	}
}

// Operations of several clients, done by a goroutine of the system.
func TestConcurrentClients(t *testing.T) {
	var ops []string
	for i := range 60 {
		ops = append(ops, fmt.Sprint("r", i))
	}
	r := crashtest.Run(t, groupConfig("", 8, ops...))
	if r.Acked != 60 || r.MaxPending < 2 {
		t.Errorf("%v: no group was committed", r)
	}
	_, err := crashtest.Enumerate(groupConfig("the group's first only", 8, ops...))
	var f *crashtest.Failure
	if !errors.As(err, &f) || !strings.Contains(err.Error(), "acknowledged as durable") {
		t.Errorf("followers that were acknowledged early: %v", err)
	}
}

// A batched log may lose what no sync covered, but only at its end.
func TestPromises(t *testing.T) {
	ops := []string{"put1", "put2", "put3", "sync", "put4", "put5", "sync", "put6"}
	right := groupConfig("", 1, ops...)
	crashtest.Run(t, right)

	_, err := crashtest.Enumerate(groupConfig("sync does nothing", 1, ops...))
	if err == nil || !strings.Contains(err.Error(), "acknowledged as durable") {
		t.Errorf("a sync that does nothing: %v", err)
	}
	strict := right
	strict.Promise = nil
	if _, err := crashtest.Enumerate(strict); err == nil {
		t.Error("a batched log passes as a synchronous one")
	}
}
