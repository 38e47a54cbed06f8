package index_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/offheap"
)

// orderedModel is an Ordered beside a sorted slice.
type orderedModel struct {
	t     *testing.T
	pool  *offheap.Pool
	arena *offheap.Arena
	o     *index.Ordered
	cells map[string]offheap.Ref
}

func newOrderedModel(t *testing.T) *orderedModel {
	pool := offheap.NewPool(offheap.PoolOptions{})
	t.Cleanup(func() { pool.Close() })
	a := pool.NewArena()
	return &orderedModel{t, pool, a, index.NewOrdered(a), map[string]offheap.Ref{}}
}

func (m *orderedModel) cell(key string) offheap.Ref {
	ref, err := index.NewCell(m.arena, index.CellSpec{Key: []byte(key), Value: []byte("v" + key), LSN: 8})
	if err != nil {
		m.t.Fatal(err)
	}
	return ref
}

func (m *orderedModel) put(key string) {
	m.t.Helper()
	ref := m.cell(key)
	if old, ok := m.cells[key]; !ok {
		m.o.Insert(ref)
	} else if m.o.Replace(ref, old) || !m.o.Replace(old, ref) {
		m.t.Fatalf("replace of %q", key)
	} else {
		index.FreeCell(m.arena, old)
	}
	m.cells[key] = ref
}

func (m *orderedModel) delete(key string) {
	m.t.Helper()
	if ref, ok := m.cells[key]; ok {
		if !m.o.Delete(ref) || m.o.Delete(ref) {
			m.t.Fatalf("delete of %q", key)
		}
		index.FreeCell(m.arena, ref)
		delete(m.cells, key)
	}
}

// collect runs a whole scan in chunks.
func (m *orderedModel) collect(from []byte, down bool, max int) (keys []string) {
	m.t.Helper()
	scan := m.o.AscendFrom
	if down {
		scan = m.o.DescendFrom
	}
	var c index.Chunk
	opt := index.ScanOptions{Max: max, Values: true}
	for more := true; more; {
		more = scan(from, opt, &c)
		if c.Len() > max || more && c.Len() == 0 {
			m.t.Fatalf("chunk of %d with more to come", c.Len())
		}
		for i := range c.Len() {
			key := string(c.Key(i))
			keys = append(keys, key)
			if v, ok := c.Value(i); !ok || string(v) != "v"+key || c.Ref(i) != m.cells[key] || c.LSN(i) != 8 || c.ValueLen(i) != len(v) {
				m.t.Fatalf("entry %q has value %q", key, v)
			}
		}
		if c.Len() > 0 {
			from, opt.Exclusive = c.Key(c.Len()-1), true
		}
	}
	return keys
}

func (m *orderedModel) compare(pivots ...string) {
	m.t.Helper()
	var want []string
	for k := range m.cells {
		want = append(want, k)
	}
	slices.Sort(want)
	back := slices.Clone(want)
	slices.Reverse(back)
	if m.o.Len() != len(want) {
		m.t.Fatalf("%d keys, want %d", m.o.Len(), len(want))
	}
	check := func(got, want []string, what string) {
		m.t.Helper()
		if !slices.Equal(got, want) {
			m.t.Fatalf("%s: %d keys, want %d", what, len(got), len(want))
		}
	}
	check(m.collect(nil, false, 100), want, "ascending")
	check(m.collect(nil, true, 99), back, "descending")
	for _, p := range pivots {
		i, found := slices.BinarySearch(want, p)
		check(m.collect([]byte(p), false, 7), want[i:], "ascending from "+p)
		if found {
			i++
		}
		check(m.collect([]byte(p), true, 7), back[len(back)-i:], "descending from "+p)
	}
}

// Keys with common prefixes, one shorter than the other, none at all; the tree
// gives up prefixes and stays in order.
func TestOrderedPrefixes(t *testing.T) {
	m := newOrderedModel(t)
	add := func(format string, n int) {
		for i := range n {
			m.put(fmt.Sprintf(format, i*7919%n))
		}
	}
	pivots := []string{"", "a", "user:", "user:0000", "user:00000100:x", "user;", "zz", "\xff\xff", "use"}
	add("user:%08d:x", 255)
	if m.o.Common() != 0 {
		t.Fatal("prefix too early")
	}
	add("user:%08d:x", 700)
	if m.o.Common() != len("user:00000") {
		t.Fatalf("common prefix of %d", m.o.Common())
	}
	m.compare(pivots...)
	steps := []struct {
		key    string
		common int
	}{
		{"user:00000", len("user:00000")}, // the prefix itself
		{"user:1", len("user:")},
		{"us", len("us")},
		{"", 0},
		{"zebra", 0},
	}
	for _, s := range steps {
		m.put(s.key)
		if m.o.Common() != s.common {
			t.Fatalf("common prefix of %d after %q, want %d", m.o.Common(), s.key, s.common)
		}
		m.compare(append(pivots, s.key)...)
	}
	for k := range m.cells {
		m.delete(k)
	}
	m.compare(pivots...)
	if m.pool.Used() != 0 {
		t.Fatalf("%d bytes left", m.pool.Used())
	}
	add("again:%d", 300)
	if m.o.Common() != len("again:") {
		t.Fatal("an emptied tree does not begin anew")
	}
}

// Random inserts, replaces and deletes agree with a sorted slice, for keys of
// few letters and of all lengths, so that prefixes tie and pad.
func TestOrderedAgainstSlice(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	m := newOrderedModel(t)
	letters := "\x00ab\xff"
	key := func() string {
		var b strings.Builder
		b.WriteString("p:")
		for range rng.IntN(14) {
			b.WriteByte(letters[rng.IntN(len(letters))])
		}
		return b.String()
	}
	for step := range 20000 {
		if rng.IntN(3) > 0 {
			m.put(key())
		} else if ref, ok := m.cells[key()]; ok {
			m.delete(string(index.At(m.arena, ref).Key()))
		}
		if step%2500 == 0 {
			m.compare(key(), key(), "p", "q", "")
		}
	}
	m.o.Clear()
	if m.o.Len() != 0 || len(m.collect(nil, false, 5)) != 0 {
		t.Fatal("not cleared")
	}
}

// BulkLoad gives the same tree as inserts, ties included.
func TestBulkLoad(t *testing.T) {
	for name, format := range map[string]string{
		"ties": "prefix:%[2]c:same eight bytes and more:%[1]d", "short": "%d", "one": "k", "long common": strings.Repeat("c", 900) + "%d",
	} {
		t.Run(name, func(t *testing.T) {
			m := newOrderedModel(t)
			m.o.BulkLoad(nil)
			for i := range 2000 {
				key := fmt.Sprintf(format, i, 'a'+i%3)
				key, _, _ = strings.Cut(key, "%!(EXTRA")
				if _, ok := m.cells[key]; !ok {
					m.cells[key] = m.cell(key)
				}
			}
			var refs []offheap.Ref
			for _, ref := range m.cells {
				refs = append(refs, ref)
			}
			half := len(refs) / 2
			m.o.BulkLoad(refs[:half])
			m.o.BulkLoad(refs[half:])
			m.compare("", "prefix:b", "p", "5", "c")
			m.put("breaks the prefix")
			m.compare("breaks", "d")
			m.o.Clear()
			refs = append(refs, m.cells["breaks the prefix"])
			m.o.BulkLoad(refs)
			m.compare("breaks")
		})
	}
}

// Bounds of a chunk: entries, bytes, and keys without values.
func TestScanBounds(t *testing.T) {
	m := newOrderedModel(t)
	for i := range 1000 {
		m.put(fmt.Sprintf("%04d", i))
	}
	var c index.Chunk
	if !m.o.AscendFrom([]byte("0500"), index.ScanOptions{}, &c) || c.Len() != 256 {
		t.Fatalf("default chunk of %d", c.Len())
	}
	if _, ok := c.Value(0); ok || string(c.Key(0)) != "0500" || c.Flags(0)&index.FlagNoValue == 0 || c.ValueLen(0) != 5 {
		t.Fatal("a value without asking")
	}
	if _, ok := c.Op(0); ok || c.Expiry(0) != 0 {
		t.Fatal("op or expiry from nowhere")
	}
	if !m.o.DescendFrom([]byte("05"), index.ScanOptions{MaxBytes: 40}, &c) || c.Len() != 10 || string(c.Key(0)) != "0499" {
		t.Fatalf("chunk of %d from %s", c.Len(), c.Key(0))
	}
	if m.o.AscendFrom([]byte("0999"), index.ScanOptions{Max: 1}, &c) || c.Len() != 1 {
		t.Fatal("more after the last key")
	}
	if m.o.AscendFrom([]byte("0999"), index.ScanOptions{Exclusive: true}, &c) || c.Len() != 0 {
		t.Fatal("the key itself in spite of Exclusive")
	}
}

// Scans and changes at the same time see ordered keys, and all that stay.
func TestOrderedConcurrent(t *testing.T) {
	m := newOrderedModel(t)
	for i := range 1000 {
		m.put(fmt.Sprintf("k%04d", i*2))
	}
	stay := len(m.cells)
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			for i := range 300 {
				ref := m.cell(fmt.Sprintf("k%04d", (i*2+1+g*600)%2000))
				m.o.Insert(ref)
				m.o.Delete(ref)
				index.FreeCell(m.arena, ref)
			}
		})
		wg.Go(func() {
			var c index.Chunk
			for range 20 {
				var last, from []byte
				kept, opt := 0, index.ScanOptions{Max: 50, Values: true}
				for more := true; more; {
					more = m.o.AscendFrom(from, opt, &c)
					for i := range c.Len() {
						if bytes.Compare(last, c.Key(i)) >= 0 {
							t.Error("out of order")
						}
						last = append(last[:0], c.Key(i)...)
						if (last[4]-'0')%2 == 0 {
							kept++
						}
					}
					from, opt.Exclusive = last, true
				}
				if kept != stay {
					t.Errorf("%d of %d keys", kept, stay)
				}
			}
		})
	}
	wg.Wait()
	if !sort.StringsAreSorted(m.collect(nil, false, 10)) {
		t.Fatal("not sorted")
	}
}
