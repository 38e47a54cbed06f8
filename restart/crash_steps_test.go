package restart_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/crashtest"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs"
)

// action is what a step of a workload does.
type action string

const (
	doRegion     action = "region" // create, or alter
	doPut        action = "put"
	doExpired    action = "put that expires at once"
	doLiving     action = "put that expires in an hour"
	doDelete     action = "delete"
	doBatch      action = "batch"
	doClear      action = "clear"
	doDrop       action = "drop"
	doGet        action = "get"
	doSync       action = "sync"
	doCompact    action = "compact"
	doCheckpoint action = "checkpoint"
	doReopen     action = "reopen"
)

// step is one operation of a workload.
type step struct {
	do      action
	region  string
	opts    restart.RegionOptions // of doRegion
	key     string
	value   blob
	d       restart.Durability
	batch   []step // puts and deletes
	promise crashtest.Promise
}

func (s step) String() string {
	switch s.do {
	case doRegion:
		return fmt.Sprintf("%s %s %+v", s.do, s.region, s.opts)
	case doPut, doExpired, doLiving:
		return fmt.Sprintf("%s %s/%s %v %v", s.do, s.region, s.key, s.value, s.d)
	case doBatch:
		return fmt.Sprintf("%s %v %v", s.do, s.batch, s.d)
	}
	return fmt.Sprintf("%s %s/%s %v", s.do, s.region, s.key, s.d)
}

// blob describes a value: no two of a workload are equal.
type blob struct {
	serial, size int
	dense        bool // does not compress
}

func (b blob) bytes() []byte {
	p := fmt.Appendf(make([]byte, 0, b.size+16), "%d:", b.serial)
	if !b.dense {
		for len(p) < b.size {
			p = append(p, p[:min(len(p), b.size-len(p))]...)
		}
		return p
	}
	r := rand.New(rand.NewPCG(uint64(b.serial), 7))
	for len(p) < b.size {
		x := r.Uint64()
		for i := 0; i < 64 && len(p) < b.size; i += 8 {
			p = append(p, byte(x>>i))
		}
	}
	return p
}

// image is what a store should hold: the entries and the regions' options.
type image struct {
	entries contents
	opts    map[string]restart.RegionOptions
}

func newImage() image {
	return image{entries: make(contents), opts: make(map[string]restart.RegionOptions)}
}

// apply does what a step does to the store. After a crash that lost a region's
// creation, steps in it do nothing.
func (m image) apply(s step) {
	if m.entries[s.region] == nil && s.do != doRegion && s.do != doBatch {
		return
	}
	switch s.do {
	case doRegion:
		if m.entries[s.region] == nil {
			m.entries[s.region] = make(map[string]string)
		}
		o := m.opts[s.region]
		o.Strategy = restart.LocalRestartable
		if s.opts.Durability != restart.Inherit {
			o.Durability = s.opts.Durability
		}
		o.Ordered = o.Ordered || s.opts.Ordered
		m.opts[s.region] = o
	case doPut, doLiving:
		m.entries[s.region][s.key] = string(s.value.bytes())
	case doDelete, doExpired:
		delete(m.entries[s.region], s.key)
	case doBatch:
		for _, b := range s.batch {
			m.apply(b)
		}
	case doClear:
		clear(m.entries[s.region])
	case doDrop:
		delete(m.entries, s.region)
		delete(m.opts, s.region)
	}
}

// digest is equal for equal images, and for practical purposes only for those.
func (m image) digest() (sum uint64) {
	for name, entries := range m.entries {
		sum += xxhash.Sum64String(fmt.Sprintf("region %s %+v", name, m.opts[name]))
		for k, v := range entries {
			sum += entryDigest(name, k, v)
		}
	}
	return sum
}

func entryDigest(region, key, value string) uint64 {
	var h xxhash.Digest
	h.Reset()
	for _, s := range []string{region, key, value} {
		_, _ = fmt.Fprintf(&h, "%d:", len(s)) // never fails
		_, _ = h.WriteString(s)
	}
	return h.Sum64()
}

// diff says in what an image differs from the one that it should be.
func (m image) diff(want image) string {
	if d := diff(m.entries, want.entries); d != "" {
		return d
	}
	if !maps.Equal(m.opts, want.opts) {
		return fmt.Sprintf("region options %+v, want %+v", m.opts, want.opts)
	}
	return ""
}

// imageOf reads a store.
func imageOf(st *restart.Store) (image, error) {
	entries, err := read(st)
	if err != nil {
		return image{}, err
	}
	m := image{entries: entries, opts: make(map[string]restart.RegionOptions)}
	for name := range entries {
		r, err := st.Region(name, restart.RegionOptions{})
		if err != nil {
			return image{}, err
		}
		m.opts[name] = r.Options()
		if n := r.Len(); n < len(entries[name]) {
			return image{}, fmt.Errorf("region %q: Len %d, a scan found %d", name, n, len(entries[name]))
		}
	}
	return m, nil
}

// machine is a store under a workload. It goes on over reopens.
type machine struct {
	fs      vfs.FS
	o       restart.Options
	st      *restart.Store
	regions map[string]*restart.Region
	steps   int // done

	compacted, moved, evicted, images int64
	rungs                             map[restart.Rung]int
}

func startMachine(fs vfs.FS, o restart.Options) (*machine, error) {
	m := &machine{fs: fs, o: o, rungs: make(map[restart.Rung]int)}
	return m, m.open()
}

func (m *machine) open() (err error) {
	m.o.FS = m.fs
	m.regions = make(map[string]*restart.Region)
	if m.st, err = restart.Open(dir, m.o); err != nil {
		return err
	}
	m.rungs[m.st.Recovery().Rung]++
	return nil
}

func (m *machine) close() error {
	if m.st == nil {
		return restart.ErrClosed // the last open failed
	}
	f := m.st.Metrics()
	m.compacted += f.Compacted
	m.moved += f.Moved
	m.evicted += f.Evictions
	m.images += f.Checkpoints
	return m.st.Close()
}

// region returns a region, nil if it is not there.
func (m *machine) region(name string) (r *restart.Region, err error) {
	if r = m.regions[name]; r == nil && slices.Contains(m.st.Regions(), name) {
		if r, err = m.st.Region(name, restart.RegionOptions{}); err == nil {
			m.regions[name] = r
		}
	}
	return r, err
}

// apply does one step and returns when it is acknowledged.
func (m *machine) apply(s step) error {
	m.steps++
	switch s.do {
	case doRegion:
		r, err := m.st.Region(s.region, s.opts)
		m.regions[s.region] = r
		return err
	case doSync:
		return m.st.Sync()
	case doCompact:
		return m.st.Compact(context.Background())
	case doCheckpoint:
		return m.st.Checkpoint(context.Background())
	case doReopen:
		if err := m.close(); err != nil {
			return err
		}
		return m.open()
	case doDrop:
		delete(m.regions, s.region)
		if err := m.st.DropRegion(s.region); !errors.Is(err, restart.ErrNoRegion) {
			return err
		}
		return m.st.Sync()
	case doBatch:
		return m.batch(s)
	}
	r, err := m.region(s.region)
	switch {
	case err != nil:
		return err
	case r == nil && s.promise == crashtest.DurableAll:
		return m.st.Sync() // as a write would
	case r == nil:
		return nil
	}
	return m.write(r, s)
}

func (m *machine) write(r *restart.Region, s step) error {
	o := restart.WriteOptions{Durability: s.d}
	switch s.do {
	case doClear:
		return r.Clear()
	case doDelete:
		_, err := r.DeleteWith([]byte(s.key), o)
		return err
	case doGet:
		if _, err := r.Get([]byte(s.key)); !errors.Is(err, restart.ErrNotFound) {
			return err
		}
		return nil
	case doExpired:
		o.TTL = 1
	case doLiving:
		o.TTL = time.Hour
	}
	_, err := r.PutWith([]byte(s.key), s.value.bytes(), o)
	return err
}

func (m *machine) batch(s step) error {
	b := m.st.NewBatch()
	for _, o := range s.batch {
		r, err := m.region(o.region)
		switch {
		case err != nil:
			return err
		case r == nil:
		case o.do == doDelete:
			b.Delete(r, []byte(o.key))
		case o.do == doExpired:
			b.PutWith(r, []byte(o.key), o.value.bytes(), restart.WriteOptions{TTL: 1})
		default:
			b.Put(r, []byte(o.key), o.value.bytes())
		}
	}
	if b.Len() == 0 && s.promise == crashtest.DurableAll {
		return m.st.Sync() // as a batch that is not empty would
	}
	_, err := m.st.ApplyWith(b, s.d)
	return err
}

// count returns how many steps do something.
func count(steps []step, do action) (n int) {
	for _, s := range steps {
		if s.do == do {
			n++
		}
	}
	return n
}

// regionNames of an image, sorted.
func (m image) regionNames() []string { return slices.Sorted(maps.Keys(m.entries)) }
