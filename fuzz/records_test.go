package fuzz

import (
	"errors"
	"maps"
	"testing"

	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/internal/storetest"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// replayer says what a store holds whose log has the given payloads, in the
// simplest way: one after the other.
type replayer struct {
	regions map[uint32]map[string]string
	names   map[uint32]string
	dropped map[uint32]bool
	odd     bool // something that no writer writes: anything goes
}

// maxRegion keeps the regions of a program few.
const maxRegion = 4

func (r *replayer) region(id uint32) map[string]string {
	if r.regions[id] == nil {
		r.regions[id] = make(map[string]string)
	}
	return r.regions[id]
}

func (r *replayer) apply(o op.Op) {
	if r.dropped[o.Region] {
		r.odd = true
	}
	switch o.Kind {
	case op.KindPut:
		if o.Expiry != 0 {
			r.odd = true // depends on the time
		}
		r.region(o.Region)[string(o.Key)] = string(o.Value)
	case op.KindDelete:
		delete(r.region(o.Region), string(o.Key))
	case op.KindClear:
		clear(r.region(o.Region))
	case op.KindRegionDrop:
		r.dropped[o.Region] = true
		delete(r.regions, o.Region)
		delete(r.names, o.Region)
	case op.KindRegionCreate:
		if n, ok := r.names[o.Region]; ok && n != o.Name {
			r.odd = true
		}
		if s, d := restart.Strategy(o.Options.Strategy), restart.Durability(o.Options.Durability); s != restart.LocalRestartable || d > restart.Never {
			r.odd = true // may be of a later version
		}
		r.region(o.Region)
		r.names[o.Region] = o.Name
	default:
		r.odd = true
	}
}

// payload takes in one record.
func (r *replayer) payload(b []byte) {
	o, err := op.Decode(b)
	switch {
	case err != nil:
		r.odd = true
	case o.Kind != op.KindBatch:
		r.apply(o)
	default:
		type place struct {
			region uint32
			key    string
		}
		seen := make(map[place]bool)
		for o, err := range o.Batch.All() {
			p := place{o.Region, string(o.Key)}
			if err != nil || seen[p] {
				r.odd = true
				return
			}
			seen[p] = true
			r.apply(o)
		}
	}
}

// want returns what the store should hold; odd if that cannot be said.
func (r *replayer) want() (s state, odd bool) {
	s = make(state)
	for id, m := range r.regions {
		name, ok := r.names[id]
		if _, twice := s[name]; !ok || twice {
			return nil, true
		}
		s[name] = maps.Clone(m)
	}
	return s, r.odd
}

// anyPayload makes a payload: by an encoder, with some bytes changed, or of the
// program's bytes.
func anyPayload(p *program) []byte {
	region := uint32(1 + p.below(maxRegion))
	key, value := p.take(p.below(3)), noise(uint64(p.byte()), p.below(700))
	var b []byte
	switch p.below(9) {
	case 0:
		b = op.AppendDelete(nil, region, key)
	case 1:
		b = op.AppendClear(nil, region)
	case 2:
		b = op.AppendRegionDrop(nil, region)
	case 3:
		o := op.RegionOptions{Strategy: 1, Durability: p.byte() % 4, Ordered: p.byte()&1 == 1}
		b = op.AppendRegionCreate(nil, op.Region{ID: region, Name: one(p, "a", "b", "c", "d"), Options: o, Version: uint64(p.byte())})
	case 4:
		n := 1 + p.below(5)
		e := op.BeginBatch(nil, n)
		for i := range n {
			if p.byte()&1 == 0 {
				e.Put(op.Put{Region: region, Key: []byte{byte('a' + i)}, Value: value})
			} else {
				e.Delete(region, []byte{byte('a' + i)})
			}
		}
		b, _ = e.Finish() // as many as announced
	case 5:
		b = p.take(p.below(60))
	default:
		b = op.AppendPut(nil, op.Put{Region: region, Key: key, Value: value, Version: uint64(p.byte())})
	}
	if p.below(8) == 7 && len(b) > 0 {
		patch(&program{p.take(10)}, b)
	}
	return b
}

// FuzzRecords: payloads of frames that are intact are replayed as they say, or
// the store is refused. What replays is there again after a close, when it
// comes from an image.
func FuzzRecords(f *testing.F) {
	create := func(region byte, name byte) []byte { return []byte{region, 0, 0, 0, 0, 3, 0, 0, name, 0, 0} }
	put := func(region, key byte) []byte { return []byte{region, 1, key, key, 0, 90, 8, 0, 0} }
	add := func(ops ...[]byte) {
		var b []byte
		for _, o := range ops {
			b = append(b, o...)
		}
		f.Add(b)
	}
	add(create(0, 0), put(0, 'a'), put(0, 'b'), put(0, 'a'))
	add(put(1, 'a'), create(1, 1), create(0, 0), []byte{1, 1, 'a', 0, 0, 0, 0, 0})
	add(create(0, 0), put(0, 'a'), []byte{0, 0, 0, 0, 0, 1, 0}, put(0, 'b'))
	add(create(0, 0), create(1, 1), put(1, 'x'), []byte{1, 0, 0, 0, 0, 2, 0})
	add(create(0, 0), []byte{0, 0, 0, 0, 9, 4, 1, 0, 1, 0, 0})
	add(create(0, 0), create(1, 0))
	add(put(0, 'a'))
	add([]byte{0, 0, 0, 0, 0, 5, 5, 200, 1, 2, 3, 4, 0})
	addRandom(f, 10, 300)
	f.Fuzz(func(t *testing.T, input []byte) {
		p := &program{input}
		fs := memfs.New()
		var payloads [][]byte
		r := &replayer{regions: map[uint32]map[string]string{}, names: map[uint32]string{}, dropped: map[uint32]bool{}}
		for !p.done() && len(payloads) < 100 {
			b := anyPayload(p)
			payloads = append(payloads, b)
			r.payload(b)
		}
		if err := storeOf(fs, payloads); err != nil {
			t.Fatal(err)
		}
		bounded(t, storeMemory, func() {
			want, odd := r.want()
			for range 2 {
				openRecords(t, fs, want, odd)
			}
		})
		noOpenFiles(t, fs)
	})
}

// storeOf makes a store whose log has the payloads.
func storeOf(fs *memfs.FS, payloads [][]byte) error {
	st, err := restart.Open(dir, restart.Options{FS: fs, SegmentSize: 64 << 10})
	if err != nil {
		return err
	}
	if err := st.Close(); err != nil {
		return err
	}
	l, err := wal.Open(logDir, logOptions(fs))
	if err != nil {
		return err
	}
	for _, b := range payloads {
		p, err := l.Prepare(b, wal.WriteOptions{Durability: wal.Never})
		if err != nil {
			return errors.Join(err, l.Close())
		}
		l.Append(&p)
	}
	return l.Close()
}

// openRecords opens the store and compares it with what the payloads say.
func openRecords(t *testing.T, fs *memfs.FS, want state, odd bool) {
	st, err := restart.Open(dir, restart.Options{FS: fs, SegmentSize: 64 << 10, Compaction: restart.NoCompaction})
	if err != nil {
		if wrong := consistent(err); wrong != nil || !odd {
			t.Fatalf("%v: %v (odd: %v)", err, wrong, odd)
		}
		return
	}
	got, err := storetest.Read(st)
	if err != nil && !odd {
		t.Fatal(err)
	}
	if !odd && !got.Equal(want) {
		t.Fatalf("the store holds %d regions, want %d; recovery: %v", len(got), len(want), st.Recovery())
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}
