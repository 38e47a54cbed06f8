package fuzz

import (
	"context"
	"fmt"
	"testing"

	"github.com/fastrestart/frs/internal/storetest"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

// storeMachine runs a program on a store.
type storeMachine struct {
	t      *testing.T
	fs     *memfs.FS
	o      restart.Options
	st     *restart.Store
	p      *program
	h      *history
	trap   trap
	serial int
}

// do runs one operation; sync says that everything is durable after it.
func (m *storeMachine) do(sync bool, change func(s state), f func() error) {
	m.t.Helper()
	m.h.add(change)
	m.trap.begin(m.h.issued())
	err := f()
	if sync {
		m.h.durable = m.h.issued()
		m.trap.end(m.h.durable)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func same(state) {}

func (m *storeMachine) open() (err error) {
	m.o.FS = m.fs
	m.st, err = restart.Open(dir, m.o)
	return err
}

// region returns one of three regions, which it creates if need be.
func (m *storeMachine) region() (r *restart.Region, name string) {
	m.t.Helper()
	name = one(m.p, "a", "b", "c")
	get := func() (err error) {
		r, err = m.st.Region(name, restart.RegionOptions{})
		return err
	}
	if m.h.last()[name] != nil {
		if err := get(); err != nil {
			m.t.Fatal(err)
		}
		return r, name
	}
	m.do(m.o.Durability == restart.Sync, func(s state) { s[name] = map[string]string{} }, get)
	return r, name
}

func (m *storeMachine) key() string { return fmt.Sprint("key-", m.p.below(10)) }

// value returns a value that no other one is equal to.
func (m *storeMachine) value() string {
	m.serial++
	n := one(m.p, 0, 9, 120, 900, 6000, 30000)
	if m.serial&1 == 0 {
		return fmt.Sprintf("%d:%s", m.serial, make([]byte, n)) // compresses
	}
	return fmt.Sprintf("%d:%s", m.serial, noise(uint64(m.serial), n))
}

// write returns the options of a write, and whether it waits for the disk.
func (m *storeMachine) write() (o restart.WriteOptions, sync bool) {
	o.Durability = one(m.p, restart.Inherit, restart.Sync, restart.Batched, restart.Never)
	return o, o.Durability == restart.Sync || o.Durability == restart.Inherit && m.o.Durability == restart.Sync
}

// step does what the next bytes of the program say.
func (m *storeMachine) step() {
	switch m.p.below(16) {
	case 0, 1, 2, 3, 4:
		r, name := m.region()
		k, v := m.key(), m.value()
		o, sync := m.write()
		m.do(sync, func(s state) { s[name][k] = v }, func() error { _, err := r.PutWith([]byte(k), []byte(v), o); return err })
	case 5, 6:
		r, name := m.region()
		k := m.key()
		o, sync := m.write()
		m.do(sync, func(s state) { delete(s[name], k) }, func() error { _, err := r.DeleteWith([]byte(k), o); return err })
	case 7:
		m.batch()
	case 8:
		r, name := m.region()
		m.do(m.o.Durability == restart.Sync, func(s state) { s[name] = map[string]string{} }, r.Clear)
	case 9:
		_, name := m.region()
		m.do(m.o.Durability == restart.Sync, func(s state) { delete(s, name) }, func() error { return m.st.DropRegion(name) })
	case 10:
		m.do(true, same, m.st.Sync)
	case 11:
		m.do(false, same, func() error { return m.st.Compact(context.Background()) })
	case 12:
		m.do(false, same, func() error { return m.st.Checkpoint(context.Background()) })
	case 13:
		m.do(true, same, func() error {
			err := m.st.Close()
			if err == nil {
				err = m.open()
			}
			return err
		})
		m.look(m.h.issued())
	default:
		if !m.trap.armed() {
			kill, crash := crashOf(m.p)
			m.trap.set(m.fs, m.p.below(60), kill, crash)
		}
	}
}

func (m *storeMachine) batch() {
	type change struct{ name, key, value string }
	var list []change
	b := m.st.NewBatch()
	for range 1 + m.p.below(5) {
		r, name := m.region()
		c := change{name: name, key: m.key()}
		if m.p.byte()&3 == 0 {
			b.Delete(r, []byte(c.key))
		} else {
			c.value = m.value()
			b.Put(r, []byte(c.key), []byte(c.value))
		}
		list = append(list, c)
	}
	o, sync := m.write()
	apply := func(s state) {
		for _, c := range list {
			if c.value == "" {
				delete(s[c.name], c.key)
			} else {
				s[c.name][c.key] = c.value
			}
		}
	}
	m.do(sync, apply, func() error { _, err := m.st.ApplyWith(b, o.Durability); return err })
}

// look reads the whole store. It must hold what it held after at least from
// operations; it returns after how many.
func (m *storeMachine) look(from int) int {
	m.t.Helper()
	got, err := storetest.Read(m.st)
	if err != nil {
		m.t.Fatalf("%v; recovery: %v", err, m.st.Recovery())
	}
	n, ok := m.h.find(got, from)
	if !ok {
		early, found := m.h.find(got, 0)
		m.t.Fatalf("not what the store held after %d to %d operations (after %d: %v); recovery: %v", from, m.h.issued(), early, found, m.st.Recovery())
	}
	return n
}

// revive goes on with what the trap left.
func (m *storeMachine) revive() {
	m.t.Helper()
	fs, at := m.trap.spring()
	if err := m.st.Close(); err != nil {
		m.t.Fatalf("close: %v", err)
	}
	noOpenFiles(m.t, m.fs)
	m.fs, m.h.durable = fs, at.durable
	m.h.states = m.h.states[:at.issued+1]
	if err := m.open(); err != nil {
		m.t.Fatalf("open: %v", err)
	}
	n := m.look(at.durable)
	m.h.states = m.h.states[:n+1]
	m.trap.begin(n)
	m.trap.end(at.durable)
}

func (m *storeMachine) run() {
	if err := m.open(); err != nil {
		m.t.Fatal(err)
	}
	m.trap.drive(m.p, m.step, m.revive)
	m.look(m.h.issued())
	for range 2 {
		if err := m.st.Close(); err != nil {
			m.t.Fatal(err)
		}
		noOpenFiles(m.t, m.fs)
		if err := m.open(); err != nil {
			m.t.Fatal(err)
		}
		m.look(m.h.issued())
	}
	if err := m.st.Close(); err != nil {
		m.t.Fatal(err)
	}
}

// FuzzStore: operations on a store, and moments at which the process is killed
// or the power fails. What a recovery shows is what the store held after some
// front of the operations, all durable ones among them; and it goes on from
// there, compaction and images included.
func FuzzStore(f *testing.F) {
	const put, del, batch, clears, drop, sync, compact, image, reopen, crash = 0, 5, 7, 8, 9, 10, 11, 12, 13, 14
	f.Add([]byte{0, put, 0, 1, 2, 1, put, 1, 2, 3, 0, del, 0, 1, 0, batch, 2, 0, 1, 1, 2, 1, 2, 0, 2, 3, 1, 4, 0, reopen, compact, image})
	f.Add([]byte{1, put, 0, 1, 5, 1, put, 0, 1, 5, 1, put, 0, 2, 5, 1, image, crash, 1, 20, compact, put, 0, 3, 2, 1, reopen})
	f.Add([]byte{0, put, 0, 1, 5, 1, put, 0, 1, 5, 1, put, 0, 1, 5, 1, crash, 5, 3, 30, compact, image, clears, 0, put, 0, 1, 1, 1, crash, 1, 2, drop, 0})
	f.Add([]byte{1, put, 0, 0, 2, 2, put, 0, 1, 2, 2, crash, 0, 1, put, 0, 2, 2, 1, crash, 1, 0, sync, reopen, put, 1, 1, 1, 1})
	f.Add([]byte{2, put, 0, 0, 4, 2, batch, 3, 0, 1, 1, 2, 1, 2, 1, 3, 2, 2, 1, 3, 0, 4, 0, 1, crash, 3, 0x55, 0x55, 8, image, compact, drop, 1, reopen, put, 0, 0, 0, 1})
	f.Add([]byte{3, put, 0, 0, 5, 0, put, 0, 1, 5, 0, put, 0, 2, 5, 0, put, 0, 3, 5, 0, compact, crash, 4, 9, 12, image, compact, crash, 2, 0, clears, 0, reopen})
	addRandom(f, 12, 300)
	f.Fuzz(func(t *testing.T, input []byte) {
		p := &program{input}
		m := &storeMachine{t: t, fs: memfs.New(), p: p, h: newHistory()}
		m.o = restart.Options{SegmentSize: 64 << 10, MemoryLimit: 8 << 20, Compaction: restart.NoCompaction}
		shape := p.byte()
		m.o.Durability = [...]restart.Durability{restart.Inherit, restart.Sync, restart.Never, restart.Inherit}[shape&3]
		m.o.Compression = [...]restart.Compression{restart.CompressNone, restart.CompressNone, restart.CompressS2, restart.CompressZstd}[shape>>2&3]
		m.o.Load = [...]restart.LoadMode{restart.Lazy, restart.Eager, restart.KeysOnly, restart.Lazy}[shape>>4&3]
		if shape&64 != 0 {
			m.o.MemoryLimit = 1 << 20
		}
		m.run()
	})
}
