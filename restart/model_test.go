package restart_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

// TestModel runs random operations against a store and a plain map, with
// reopens, crashes after a sync, compaction and eviction in between, and
// compares everything again and again. FRS_MODEL_OPS sets their number.
func TestModel(t *testing.T) {
	n := 1_000_000
	if raceEnabled {
		n = 60_000
	}
	if v := os.Getenv("FRS_MODEL_OPS"); v != "" {
		n, _ = strconv.Atoi(v)
	}
	s := seed(t)
	var total, compared, reopens, crashes int
	var evictions int64
	for i, o := range []restart.Options{
		{SegmentSize: 64 << 10, MemoryLimit: 1 << 20},
		{SegmentSize: 64 << 10, MemoryLimit: 64 << 20, Compression: restart.CompressS2},
		restart.LoadWhole(restart.Options{SegmentSize: 1 << 20, MemoryLimit: 256 << 20, Compaction: restart.NoCompaction}),
		{SegmentSize: 256 << 10, MemoryLimit: 2 << 20, Compaction: restart.PerformanceBased, Compression: restart.CompressZstd},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			m := newModel(t, s+uint64(i), o)
			for range n / 4 {
				m.step()
				total++
			}
			m.compare()
			m.close()
			t.Logf("%d operations, %d compared entries, %d reopens, %d crashes, %d evictions", total, m.compared, m.reopens, m.crashes, m.evictions)
			evictions += m.evictions
			compared, reopens, crashes = compared+m.compared, reopens+m.reopens, crashes+m.crashes
		})
	}
	if compared == 0 || reopens == 0 || crashes == 0 || evictions == 0 {
		t.Errorf("vacuous: %d compared entries, %d reopens, %d crashes, %d evictions", compared, reopens, crashes, evictions)
	}
}

// valueMax makes the regions outgrow the smaller memory limits.
const valueMax = 1200

type model struct {
	t    *testing.T
	rnd  *rand.Rand
	fs   *memfs.FS
	opts restart.Options
	st   *restart.Store

	regions map[string]*restart.Region
	want    contents
	serial  int

	compared, reopens, crashes int
	evictions                  int64
}

func newModel(t *testing.T, seed uint64, o restart.Options) *model {
	m := &model{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), fs: memfs.New(), opts: o, want: make(contents)}
	m.open()
	return m
}

func (m *model) open() {
	m.opts.FS = m.fs
	st, err := restart.Open(dir, m.opts)
	if err != nil {
		m.t.Fatalf("open: %v", err)
	}
	m.st, m.regions = st, make(map[string]*restart.Region)
}

func (m *model) close() {
	m.evictions += m.st.Metrics().Evictions
	m.check("close", m.st.Close())
	if files := m.fs.OpenFiles(); len(files) > 0 {
		m.t.Fatalf("files left open: %v", files)
	}
}

func (m *model) check(what string, err error) {
	if err != nil {
		m.t.Helper()
		m.t.Fatalf("%s: %v", what, err)
	}
}

func (m *model) region() *restart.Region {
	name := []string{"a", "b", "c"}[m.rnd.IntN(3)]
	r := m.regions[name]
	if r == nil {
		var err error
		r, err = m.st.Region(name, restart.RegionOptions{})
		m.check("region", err)
		m.regions[name] = r
		if m.want[name] == nil {
			m.want[name] = make(map[string]string)
		}
	}
	return r
}

func (m *model) key() []byte { return fmt.Appendf(nil, "key-%d", m.rnd.IntN(2000)) }

func (m *model) value() []byte {
	m.serial++
	n := m.rnd.IntN(valueMax)
	if m.rnd.IntN(200) == 0 {
		n = m.rnd.IntN(20 << 10)
	}
	return append(fmt.Appendf(nil, "%d:", m.serial), make([]byte, n)...)
}

func (m *model) step() {
	switch n := m.rnd.IntN(100_000); {
	case n < 55_000:
		r, k, v := m.region(), m.key(), m.value()
		m.check("put", r.Put(k, v))
		m.want[r.Name()][string(k)] = string(v)
	case n < 70_000:
		r, k := m.region(), m.key()
		m.check("delete", r.Delete(k))
		delete(m.want[r.Name()], string(k))
	case n < 95_000:
		m.get()
	case n < 99_700:
		m.batch()
	case n < 99_900:
		m.scan()
	case n < 99_930:
		r := m.region()
		m.check("clear", r.Clear())
		clear(m.want[r.Name()])
	case n < 99_940:
		r := m.region()
		m.check("drop", m.st.DropRegion(r.Name()))
		delete(m.want, r.Name())
		delete(m.regions, r.Name())
	case n < 99_960:
		m.check("compact", m.st.Compact(m.t.Context()))
	case n < 99_980:
		m.reopens++
		m.close()
		m.open()
		m.compare()
	default:
		m.crash()
	}
}

func (m *model) get() {
	r, k := m.region(), m.key()
	want, ok := m.want[r.Name()][string(k)]
	if !ok {
		want = "-"
	}
	wantValue(m.t, r, string(k), want)
	if m.t.Failed() {
		m.t.FailNow()
	}
}

func (m *model) batch() {
	b := m.st.NewBatch()
	for range 1 + m.rnd.IntN(20) {
		r, k := m.region(), m.key()
		if m.rnd.IntN(4) == 0 {
			b.Delete(r, k)
			delete(m.want[r.Name()], string(k))
		} else {
			v := m.value()
			b.Put(r, k, v)
			m.want[r.Name()][string(k)] = string(v)
		}
	}
	_, err := m.st.Apply(b)
	m.check("batch", err)
}

// scan compares a random range, in a random direction.
func (m *model) scan() {
	r := m.region()
	from, to := m.key(), m.key()
	if string(from) > string(to) {
		from, to = to, from
	}
	var want []string
	for k := range m.want[r.Name()] {
		if k >= string(from) && k < string(to) {
			want = append(want, k)
		}
	}
	slices.Sort(want)
	seq := r.Ascend(from, to)
	if m.rnd.IntN(2) == 0 {
		slices.Reverse(want)
		seq = r.Descend(from, to)
	}
	i := 0
	for e, err := range seq {
		m.check("scan", err)
		if i >= len(want) || string(e.Key) != want[i] || string(e.Value) != m.want[r.Name()][want[i]] {
			m.t.Fatalf("scan %q to %q: entry %d is %q, want %q of %d", from, to, i, e.Key, want[min(i, len(want)-1)], len(want))
		}
		i++
	}
	if i != len(want) {
		m.t.Fatalf("scan %q to %q: %d entries, want %d", from, to, i, len(want))
	}
}

// crash loses everything that was not synced, after a sync.
func (m *model) crash() {
	m.crashes++
	m.check("sync", m.st.Sync())
	after := m.fs.CrashClone(memfs.Random(m.rnd.Uint64()))
	m.evictions += m.st.Metrics().Evictions
	m.check("close", m.st.Close())
	m.fs = after
	m.open()
	m.compare()
}

func (m *model) compare() {
	got, err := read(m.st)
	m.check("read", err)
	for name, entries := range m.want {
		if got[name] == nil && len(entries) == 0 {
			got[name] = map[string]string{}
		}
		m.compared += len(entries)
	}
	if d := diff(got, m.want); d != "" {
		m.t.Fatal(d)
	}
	m.compareHashes()
}

// compareHashes puts the model's content into a fresh region, in any order,
// and compares the content hashes.
func (m *model) compareHashes() {
	st, err := restart.Open(dir, restart.Options{FS: memfs.New(), Durability: restart.Never})
	m.check("open", err)
	for name, entries := range m.want {
		fresh, err := st.Region(name, restart.RegionOptions{})
		m.check("region", err)
		for k, v := range entries {
			m.check("put", fresh.Put([]byte(k), []byte(v)))
		}
		want, err := fresh.ContentHash()
		m.check("hash", err)
		r, err := m.st.Region(name, restart.RegionOptions{})
		m.check("region", err)
		if got, err := r.ContentHash(); err != nil || got != want {
			m.t.Fatalf("content hash of %q is %x, %v, want %x", name, got, err, want)
		}
	}
	m.check("close", st.Close())
}
