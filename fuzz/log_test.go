package fuzz

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// logState is what a log holds: the numbers of its records, of which the first
// may be gone.
type logState struct {
	ids      []int
	released int
}

// holds reports whether a log in this state may show ids.
func (s logState) holds(ids []int) bool {
	front := len(s.ids) - len(ids)
	return front >= 0 && front <= s.released && slices.Equal(s.ids[front:], ids)
}

// logMachine runs a program on a log.
type logMachine struct {
	t       *testing.T
	fs      *memfs.FS
	o       wal.Options
	l       *wal.Log
	p       *program
	states  []logState
	durable int
	lsns    map[int]wal.LSN
	next    int // number of the next record
	trap    trap
}

// payloadOf returns the payload of a record: its number, its size, noise.
func payloadOf(id, size int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(id))
	return append(binary.LittleEndian.AppendUint32(b, uint32(size)), noise(uint64(id), size)...)
}

// idsOf scans a log and returns the numbers of its records.
func idsOf(l *wal.Log) (ids []int, err error) {
	for f, err := range l.Frames(0, 0) {
		if err != nil {
			return ids, err
		}
		if f.Kind != 1 {
			continue
		}
		if len(f.Payload) < 8 {
			return ids, fmt.Errorf("record of %d bytes at %d", len(f.Payload), f.LSN)
		}
		id, size := int(binary.LittleEndian.Uint32(f.Payload)), int(binary.LittleEndian.Uint32(f.Payload[4:]))
		if size != len(f.Payload)-8 || string(payloadOf(id, size)) != string(f.Payload) {
			return ids, fmt.Errorf("record %d at %d is not what was written", id, f.LSN)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (m *logMachine) last() logState { return m.states[len(m.states)-1] }

// do runs one operation: s is the state after it, durable says that all is
// then.
func (m *logMachine) do(s logState, durable bool, f func() error) {
	m.t.Helper()
	m.states = append(m.states, s)
	m.trap.begin(len(m.states) - 1)
	err := f()
	if durable {
		m.durable = len(m.states) - 1
		m.trap.end(m.durable)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *logMachine) open() {
	m.t.Helper()
	m.o.FS = m.fs
	l, err := wal.Open(dir, m.o)
	if err != nil {
		m.t.Fatalf("open: %v", err)
	}
	m.l = l
}

// step does what the next bytes of the program say.
func (m *logMachine) step() {
	s := m.last()
	switch m.p.below(12) {
	case 0, 1, 2, 3:
		m.put()
	case 4:
		m.do(s, true, m.l.Sync)
	case 5:
		m.do(s, true, m.l.Roll)
	case 6:
		if n := len(s.ids) - s.released; n > 0 {
			i := s.released + m.p.below(n)
			m.do(s, true, m.l.Sync)
			at := m.lsns[s.ids[i]]
			m.do(logState{s.ids, i}, true, func() error { return m.l.Release(context.Background(), at) })
		}
	case 7:
		if n := len(s.ids) - s.released; n > 0 {
			i := s.released + m.p.below(n)
			at := m.lsns[s.ids[i]]
			m.do(logState{s.ids[:i:i], s.released}, true, func() error { return m.l.TruncateBack(at) })
		}
	case 8:
		m.do(s, true, func() error {
			err := m.l.Close()
			if err == nil {
				m.l, err = wal.Open(dir, m.o)
			}
			return err
		})
	case 9:
		m.look(0)
	default:
		if !m.trap.armed() {
			kill, crash := crashOf(m.p)
			m.trap.set(m.fs, m.p.below(40), kill, crash)
		}
	}
}

func (m *logMachine) put() {
	s := m.last()
	id := m.next
	m.next++
	size := one(m.p, 0, 7, 100, 505, 2000, 20000, 70000) + m.p.below(8)
	d := one(m.p, wal.Sync, wal.Batched, wal.Never)
	m.do(logState{append(slices.Clone(s.ids), id), s.released}, d == wal.Sync, func() error {
		p, err := m.l.Prepare(payloadOf(id, size), wal.WriteOptions{Durability: d})
		if err != nil {
			return err
		}
		lsn, end := m.l.Append(&p)
		m.lsns[id] = lsn
		return m.l.Wait(end, d)
	})
}

// look reads the whole log. It must be in a state after at least from
// operations; it returns after how many.
func (m *logMachine) look(from int) int {
	m.t.Helper()
	ids, err := idsOf(m.l)
	if err != nil {
		m.t.Fatalf("%v; %+v", err, m.l.Tail())
	}
	if from == 0 {
		from = len(m.states) - 1 // running: all of them
	}
	for n := len(m.states) - 1; n >= from; n-- {
		if m.states[n].holds(ids) {
			return n
		}
	}
	m.t.Fatalf("records %v, want those after %d to %d operations, %v; %+v", ids, from, len(m.states)-1, m.states[from:], m.l.Tail())
	return 0
}

// revive goes on with what the trap left.
func (m *logMachine) revive() {
	m.t.Helper()
	fs, at := m.trap.spring()
	if err := m.l.Close(); err != nil {
		m.t.Fatalf("close: %v", err)
	}
	noOpenFiles(m.t, m.fs)
	m.fs, m.durable = fs, at.durable
	m.states = m.states[:at.issued+1]
	m.open()
	n := m.look(max(at.durable, 1))
	m.states = m.states[:n+1]
	m.trap.begin(n)
	m.trap.end(at.durable)
}

func (m *logMachine) run() {
	m.do(logState{}, true, func() error { m.open(); return nil })
	m.trap.drive(m.p, m.step, m.revive)
	m.look(0)
	if err := m.l.Close(); err != nil {
		m.t.Fatal(err)
	}
	noOpenFiles(m.t, m.fs)
	m.o.ReadOnly = true
	m.open()
	m.look(0)
	if err := m.l.Close(); err != nil {
		m.t.Fatal(err)
	}
}

// FuzzLog: operations on a log, and moments at which the process is killed or
// the power fails. What a recovery shows is what the log held after some front
// of the operations, all durable ones among them; and the log goes on from
// there.
func FuzzLog(f *testing.F) {
	const put, sync, roll, release, truncate, reopen, scan, crash = 0, 4, 5, 6, 7, 8, 9, 10
	f.Add([]byte{put, 2, 0, 0, put, 3, 1, 1, sync, put, 4, 1, 2, scan, reopen, put, 0, 0, 0})
	f.Add([]byte{put, 5, 0, 0, put, 5, 0, 1, crash, 1, 3, put, 5, 0, 1, put, 5, 0, 0, put, 2, 0, 0})
	f.Add([]byte{put, 6, 0, 0, put, 6, 0, 0, roll, put, 1, 0, 0, crash, 5, 9, 4, release, 1, put, 1, 0, 0, crash, 1, 0})
	f.Add([]byte{put, 1, 0, 1, put, 1, 0, 1, put, 1, 0, 0, truncate, 1, put, 2, 0, 0, crash, 0, 2, roll, put, 3, 0, 1, crash, 1, 1, sync})
	f.Add([]byte{put, 2, 0, 1, put, 2, 0, 1, crash, 3, 0x55, 0x55, 5, put, 2, 0, 0, crash, 3, 0xff, 0x0f, 6, roll, put, 5, 0, 0, reopen, put, 2, 0, 0})
	f.Add([]byte{put, 5, 0, 1, put, 5, 0, 1, put, 5, 0, 1, crash, 4, 77, 2, sync, truncate, 1, crash, 1, 1, release, 1, put, 0, 0, 0, reopen})
	f.Add([]byte{0, put, 2, 0, 1, scan, sync, crash, 1, 0, put, 2, 0, 1, scan, put, 1, 0, 0, crash, 1, 0})
	// Killed in a truncation, then opened and closed, then a power failure: found by fuzzing.
	f.Add([]byte("0770000880101\"0\x8c010090100010070\"1088"))
	addRandom(f, 20, 200)
	f.Fuzz(func(t *testing.T, input []byte) {
		p := &program{input}
		m := &logMachine{t: t, fs: memfs.New(), o: wal.Options{SegmentSize: wal.MinSegmentSize}, p: p, lsns: map[int]wal.LSN{}}
		m.o.Compression = one(p, wal.None, wal.S2, wal.Zstd)
		m.o.TrustTail = len(input)%2 == 0
		m.states = []logState{{}}
		m.run()
	})
}
