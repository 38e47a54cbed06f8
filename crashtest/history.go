package crashtest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"sync"
)

// History records what concurrent clients of a key-value store did and saw, and
// then says whether it makes sense. The zero value is empty. All methods may be
// called concurrently.
//
//	call := h.Write(key, value)
//	call.Done(store.Put(key, value))
//	...
//	call = h.Read(key)
//	v, err := store.Get(key)
//	call.Saw(v, err)
//	...
//	err := h.Linearizable()
//
// An empty value means that the key is absent, so writing one is a deletion.
type History struct {
	mu    sync.Mutex
	clock int
	life  int
	calls []*Call
}

// Call is one operation of a [History].
type Call struct {
	h          *History
	kind       callKind
	key        string
	value, old string // written or seen, expected
	swapped    bool
	begin, end int // ticks; end is math.MaxInt until it is known
	life       int
	answered   bool // with success
}

type callKind uint8

const (
	callRead callKind = iota
	callWrite
	callSwap
)

// Read begins a read.
func (h *History) Read(key string) *Call { return h.begin(&Call{kind: callRead, key: key}) }

// Write begins a write, or a deletion if value is empty.
func (h *History) Write(key, value string) *Call {
	return h.begin(&Call{kind: callWrite, key: key, value: value})
}

// Swap begins a compare-and-swap from old to value.
func (h *History) Swap(key, old, value string) *Call {
	return h.begin(&Call{kind: callSwap, key: key, old: old, value: value})
}

// Crash says that the machine or the process stopped: calls without an answer
// have happened by now or never will.
func (h *History) Crash() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	h.life++
	for _, c := range h.calls {
		if !c.answered {
			c.end = min(c.end, h.clock)
		}
	}
}

func (h *History) begin(c *Call) *Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	c.h, c.begin, c.end, c.life = h, h.clock, math.MaxInt, h.life
	h.calls = append(h.calls, c)
	return c
}

// Done ends a write. With an error it may or may not have happened, or may
// still happen before the next Crash.
func (c *Call) Done(err error) { c.answer(err, func() {}) }

// Saw ends a read. A read that failed says nothing.
func (c *Call) Saw(value string, err error) { c.answer(err, func() { c.value = value }) }

// Swapped ends a compare-and-swap; swapped is false if the value was not old.
func (c *Call) Swapped(swapped bool, err error) { c.answer(err, func() { c.swapped = swapped }) }

func (c *Call) answer(err error, note func()) {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	if err != nil || c.life != c.h.life {
		return
	}
	note()
	c.h.clock++
	c.end, c.answered = c.h.clock, true
}

// String describes the call in one line.
func (c *Call) String() string {
	var s string
	switch c.kind {
	case callRead:
		s = fmt.Sprintf("read %s: %q", c.key, c.value)
	case callWrite:
		s = fmt.Sprintf("write %s: %q", c.key, c.value)
	case callSwap:
		s = fmt.Sprintf("swap %s: %q for %q: %t", c.key, c.value, c.old, c.swapped)
	}
	if !c.answered {
		return fmt.Sprintf("[%d, ?] %s (in doubt)", c.begin, s)
	}
	return fmt.Sprintf("[%d, %d] %s", c.begin, c.end, s)
}

// keys returns the calls that say something, by key, in the order in which
// they began, and the keys in the order of their first call.
func (h *History) keys() (map[string][]*Call, []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	calls, keys := map[string][]*Call{}, []string{}
	for _, c := range h.calls {
		if !c.answered && c.kind == callRead {
			continue
		}
		if calls[c.key] == nil {
			keys = append(keys, c.key)
		}
		calls[c.key] = append(calls[c.key], c)
	}
	return calls, keys
}

// Monotonic checks that no read goes back in time: once one has seen a write,
// none that begins after it sees a write that was over before that one began,
// nor the absence before all writes. It holds within a life, and for systems
// that are not linearizable too. It knows writes by their values: values that
// were written twice, keys that were deleted and swaps are left out.
func (h *History) Monotonic() error {
	calls, keys := h.keys()
	for _, key := range keys {
		if err := monotonic(calls[key]); err != nil {
			return fmt.Errorf("key %s: %w", brief(key), err)
		}
	}
	return nil
}

func monotonic(calls []*Call) error {
	written := map[string]*Call{"": {}}
	for _, c := range calls {
		switch {
		case c.kind == callSwap || c.kind == callWrite && c.value == "":
			return nil
		case c.kind != callWrite:
		case written[c.value] != nil:
			written[c.value] = &Call{end: math.MaxInt} // says nothing
		default:
			written[c.value] = c
		}
	}
	reads := slices.DeleteFunc(slices.Clone(calls), func(c *Call) bool { return c.kind != callRead })
	ended := slices.Clone(reads)
	slices.SortFunc(ended, func(a, b *Call) int { return a.end - b.end })
	var newest *Call // of the reads over before r, the one whose write began last
	for _, r := range reads {
		for len(ended) > 0 && ended[0].end < r.begin {
			w := written[ended[0].value]
			if w != nil && (newest == nil || newest.life != ended[0].life || w.begin > written[newest.value].begin) {
				newest = ended[0]
			}
			ended = ended[1:]
		}
		w := written[r.value]
		switch {
		case w == nil:
			return fmt.Errorf("%v, which nobody wrote", r)
		case newest != nil && newest.life == r.life && w.end < written[newest.value].begin:
			return fmt.Errorf("%v, after %v", r, newest)
		}
	}
	return nil
}

// Linearizable checks each key by itself: there is an order of its calls in
// which each takes effect at one moment between its begin and its end, and
// every read sees the last write before it. It is the search of Wing and Gong
// with Lowe's memory of what was tried. Use it where every acknowledged write
// is durable, across crashes too.
func (h *History) Linearizable() error {
	calls, keys := h.keys()
	var errs []error
	for _, key := range keys {
		if !linearizable(calls[key]) {
			errs = append(errs, fmt.Errorf("key %s is not linearizable:%s", brief(key), around(calls[key])))
		}
	}
	return errors.Join(errs...)
}

// around prints the last calls of the shortest history of a key that is not
// linearizable.
func around(calls []*Call) (s string) {
	t := sort.Search(calls[0].h.clock, func(t int) bool { return !linearizable(until(calls, t)) })
	const most = 8
	front := until(calls, t)
	for _, c := range front[max(0, len(front)-most):] {
		s += "\n  " + c.String()
	}
	return s
}

// until returns what was known of the calls at time t.
func until(calls []*Call, t int) (known []*Call) {
	for _, c := range calls {
		then := *c
		if c.end > t && c.answered {
			then.answered, then.end = false, math.MaxInt
		}
		if c.begin <= t && (then.answered || c.kind != callRead) {
			known = append(known, &then)
		}
	}
	return known
}
