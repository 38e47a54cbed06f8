package crashtest

import (
	"encoding/binary"
	"math"
)

// search looks for an order of the calls of one key, which are sorted by their
// begin.
type search struct {
	calls []*Call
	done  []bool
	tried map[string]struct{}
}

// linearizable reports whether there is one.
func linearizable(calls []*Call) bool {
	s := &search{calls: calls, done: make([]bool, len(calls)), tried: map[string]struct{}{}}
	return s.from(0, 0, "")
}

// from reports whether what is not done can follow. All calls before number
// base are done or too late; at is the latest begin of those that are done, so
// that a call which ended before it can only be one that never happened.
func (s *search) from(base, at int, value string) bool {
	for base < len(s.calls) && (s.done[base] || s.never(base, at)) {
		base++
	}
	if base == len(s.calls) {
		return true
	}
	if !s.first(base, at, value) {
		return false
	}
	deadline := math.MaxInt // no call that begins later may come first
	rest := true            // nothing that must happen is left
	for i := base; i < len(s.calls) && s.calls[i].begin <= deadline; i++ {
		c := s.calls[i]
		if s.done[i] || s.never(i, at) {
			continue
		}
		if c.answered {
			rest = false
			deadline = min(deadline, c.end)
		}
		next, ok := c.apply(value)
		if !ok {
			continue
		}
		s.done[i] = true
		if s.from(base, max(at, c.begin), next) {
			return true
		}
		s.done[i] = false
	}
	return rest
}

// never reports whether an unanswered call has not happened: others have that
// began after its end.
func (s *search) never(i, at int) bool { return !s.calls[i].answered && s.calls[i].end < at }

// first reports whether this state has not been tried, and notes it.
func (s *search) first(base, at int, value string) bool {
	key := binary.AppendUvarint(nil, uint64(base))
	key = binary.AppendUvarint(key, uint64(at))
	var bits byte
	n := 0
	for i := base; i < len(s.calls) && s.calls[i].begin <= at; i++ {
		bits <<= 1
		if s.done[i] {
			bits |= 1
		}
		if n++; n%8 == 0 {
			key, bits = append(key, bits), 0
		}
	}
	key = append(append(key, bits), value...)
	if _, ok := s.tried[string(key)]; ok {
		return false
	}
	s.tried[string(key)] = struct{}{}
	return true
}

// apply returns the value after the call, and whether it may happen while the
// key has value.
func (c *Call) apply(value string) (string, bool) {
	switch {
	case c.kind == callWrite:
		return c.value, true
	case c.kind == callRead:
		return value, c.value == value
	case !c.answered: // a swap that may do either
		if value == c.old {
			return c.value, true
		}
		return value, true
	case c.swapped:
		return c.value, value == c.old
	}
	return value, value != c.old
}
