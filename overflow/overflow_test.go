package overflow_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fastrestart/frs/overflow"
)

func TestAccount(t *testing.T) {
	var a overflow.Account
	a.Add(10, 1000)
	if a.Over() {
		t.Error("over no limit")
	}
	a.SetLimits(overflow.Limits{Entries: 8, Bytes: 1000})
	if got, want := a.Excess(), (overflow.Usage{Entries: 2}); got != want {
		t.Errorf("excess %+v, want %+v", got, want)
	}
	a.Add(-2, 1)
	if got, want := a.Excess(), (overflow.Usage{Bytes: 1}); got != want {
		t.Errorf("excess %+v, want %+v", got, want)
	}
	a.Add(0, -1)
	if a.Over() {
		t.Errorf("over at the limit: %+v", a.Usage())
	}
	a.SetLimits(overflow.Limits{Entries: -1, Bytes: -1})
	if l := a.Limits(); l != (overflow.Limits{}) {
		t.Errorf("negative limits kept: %+v", l)
	}
}

func TestReserve(t *testing.T) {
	var a overflow.Account
	a.SetLimits(overflow.Limits{Entries: 2, Bytes: 100})
	steps := []struct {
		entries, bytes int64
		want           bool
	}{
		{1, 60, true},
		{1, 41, false}, // bytes
		{2, 0, false},  // entries
		{1, 40, true},  // exactly full
		{0, 1, false},
		{1, 0, false},
		{0, 0, true},
	}
	for _, s := range steps {
		before := a.Usage()
		if got := a.Reserve(s.entries, s.bytes); got != s.want {
			t.Errorf("Reserve(%d, %d) with %+v: %v, want %v", s.entries, s.bytes, before, got, s.want)
		}
		if after := a.Usage(); !s.want && after != before {
			t.Errorf("refused Reserve(%d, %d) left %+v, was %+v", s.entries, s.bytes, after, before)
		}
	}
}

// TestReserveConcurrent: together they never exceed the limit, and what is
// given back adds up.
func TestReserveConcurrent(t *testing.T) {
	const limit = 50
	var a, inside overflow.Account // inside counts only what was granted
	a.SetLimits(overflow.Limits{Entries: limit, Bytes: limit * 10})
	inside.SetLimits(a.Limits())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 5000 {
				n := int64(i%20 + 1)
				if !a.Reserve(n, n*10) {
					continue
				}
				if inside.Add(n, n*10); inside.Over() {
					t.Errorf("granted %+v", inside.Usage())
				}
				inside.Add(-n, -n*10)
				a.Add(-n, -n*10)
			}
		})
	}
	wg.Wait()
	if u := a.Usage(); u != (overflow.Usage{}) {
		t.Errorf("left over: %+v", u)
	}
}

// ring is a circle of items with a name each.
type ring struct {
	items []*item
	hand  int
}

type item struct {
	name    string
	size    int64
	touched bool
	out     bool // value not in memory
	pinned  bool // cannot leave
}

func (r *ring) Next() (*item, bool) {
	if len(r.items) == 0 {
		return nil, false
	}
	it := r.items[r.hand%len(r.items)]
	r.hand = (r.hand + 1) % len(r.items)
	return it, true
}

func (r *ring) Touched(it *item) bool {
	was := it.touched
	it.touched = false
	return was
}

func (r *ring) Evict(it *item) int64 {
	if it.out || it.pinned {
		return 0
	}
	it.out = true
	return it.size
}

func newRing(names string) *ring {
	r := &ring{}
	for _, n := range strings.Split(names, "") {
		r.items = append(r.items, &item{name: n, size: 10})
	}
	return r
}

// resident returns the names of the items in memory.
func (r *ring) resident() string {
	var b strings.Builder
	for _, it := range r.items {
		if !it.out {
			b.WriteString(it.name)
		}
	}
	return b.String()
}

func (r *ring) touch(names string) {
	for _, it := range r.items {
		if strings.Contains(names, it.name) {
			it.touched, it.out = true, false
		}
	}
}

func TestClock(t *testing.T) {
	tests := []struct {
		name       string
		touched    string
		pinned     string
		hand       int
		need       int64
		steps      int
		want       string
		wantResult overflow.Sweep
	}{
		{"nothing needed", "", "", 0, 0, 100, "abcdef", overflow.Sweep{}},
		{"untouched leave in order", "", "", 0, 20, 100, "cdef", overflow.Sweep{Freed: 20, Evicted: 2, Steps: 2}},
		{"rounded up to an item", "", "", 0, 11, 100, "cdef", overflow.Sweep{Freed: 20, Evicted: 2, Steps: 2}},
		{"touched get a second chance", "ac", "", 0, 20, 100, "acef", overflow.Sweep{Freed: 20, Evicted: 2, Steps: 4}},
		{"all touched: order of the hand", "abcdef", "", 2, 10, 100, "abdef", overflow.Sweep{Freed: 10, Evicted: 1, Steps: 7}},
		{"goes on where it stopped", "", "", 4, 30, 100, "bcd", overflow.Sweep{Freed: 30, Evicted: 3, Steps: 3}},
		{"those that cannot leave stay", "", "ab", 0, 10, 100, "abdef", overflow.Sweep{Freed: 10, Evicted: 1, Steps: 3}},
		{"gives up after the steps", "", "abcdef", 0, 10, 12, "abcdef", overflow.Sweep{Steps: 12}},
		{"frees what there is", "abc", "", 0, 1000, 12, "", overflow.Sweep{Freed: 60, Evicted: 6, Steps: 12}},
	}
	for _, tt := range tests {
		r := newRing("abcdef")
		r.hand = tt.hand
		r.touch(tt.touched)
		for _, it := range r.items {
			it.pinned = strings.Contains(tt.pinned, it.name)
		}
		got := overflow.Clock(r, tt.need, tt.steps)
		if got != tt.wantResult || r.resident() != tt.want {
			t.Errorf("%s: %+v leaves %q, want %+v, %q", tt.name, got, r.resident(), tt.wantResult, tt.want)
		}
	}
	if got := overflow.Clock(&ring{}, 10, 100); got != (overflow.Sweep{}) {
		t.Errorf("no items: %+v", got)
	}
}

// TestClockModel runs random uses and sweeps against the textbook form of the
// policy: a queue whose head goes to the back if it was used, and leaves
// otherwise.
func TestClockModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	r := &ring{}
	var queue []*item
	used := map[*item]bool{}
	for i := range 40 {
		it := &item{name: fmt.Sprint(i, " "), size: int64(1 + rnd.IntN(50))}
		r.items = append(r.items, it)
		queue = append(queue, it)
	}
	evicted := 0
	for range 2000 {
		for range rnd.IntN(20) {
			it := r.items[rnd.IntN(len(r.items))]
			it.touched, it.out = true, false
			used[it] = true
		}
		need := int64(rnd.IntN(100))
		before := r.resident()
		got := overflow.Clock(r, need, 2*len(r.items))

		var want overflow.Sweep
		out := map[*item]bool{}
		for want.Freed < need && want.Steps < 2*len(r.items) {
			head := queue[0]
			queue = append(slices.Delete(queue, 0, 1), head)
			want.Steps++
			if used[head] {
				used[head] = false
			} else if strings.Contains(" "+before, " "+head.name) && !out[head] {
				out[head] = true
				want.Freed += head.size
				want.Evicted++
			}
		}
		if got != want {
			t.Fatalf("need %d: %+v, want %+v", need, got, want)
		}
		for it := range out {
			if !it.out {
				t.Fatalf("item %sshould have left", it.name)
			}
		}
		evicted += got.Evicted
	}
	if evicted == 0 {
		t.Error("nothing was ever evicted")
	}
}

func TestClockNoAllocations(t *testing.T) {
	r := newRing("abcdef")
	if n := testing.AllocsPerRun(100, func() {
		for _, it := range r.items {
			it.out = false
		}
		overflow.Clock(r, 30, 12)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
