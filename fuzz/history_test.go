package fuzz

import (
	"errors"
	"fmt"

	"github.com/fastrestart/frs/internal/storetest"
	"github.com/fastrestart/frs/restart"
)

// state is what a store holds: region, key, value. A state is never changed
// once it is in a history.
type state = storetest.Contents

// history is the states of a store after each operation; the first is before
// all of them.
type history struct {
	states  []state
	durable int // how many operations are known to be durable
}

func newHistory() *history { return &history{states: []state{{}}} }

func (h *history) issued() int { return len(h.states) - 1 }

func (h *history) last() state { return h.states[len(h.states)-1] }

// add appends the state after one more operation.
func (h *history) add(change func(s state)) {
	s := h.last().Clone()
	change(s)
	h.states = append(h.states, s)
}

// find returns the highest number of operations, at least from, after which the
// store held s.
func (h *history) find(s state, from int) (n int, ok bool) {
	for n = h.issued(); n >= from; n-- {
		if h.states[n].Equal(s) {
			return n, true
		}
	}
	return 0, false
}

// everPut reports whether a value was at some time under a key, in a region of
// whatever name.
func (h *history) everPut(key, value string) bool {
	for _, s := range h.states {
		for _, m := range s {
			if v, ok := m[key]; ok && v == value {
				return true
			}
		}
	}
	return false
}

// seen collects what a damaged store answers, and after how many operations all
// those answers are right.
type seen struct {
	h       *history
	fits    []bool // by number of operations
	answers int
}

func (h *history) look() *seen {
	s := &seen{h: h, fits: make([]bool, len(h.states))}
	for i := range s.fits {
		s.fits[i] = true
	}
	return s
}

// answer takes in that a key reads as value, or that it is not there.
func (s *seen) answer(region, key, value string, there bool) {
	s.answers++
	for n, st := range s.h.states {
		v, ok := st[region][key]
		s.fits[n] = s.fits[n] && ok == there && v == value
	}
}

// most returns the highest number of operations that fits.
func (s *seen) most() (n int, ok bool) {
	for n = len(s.fits) - 1; n >= 0; n-- {
		if s.fits[n] {
			return n, true
		}
	}
	return 0, false
}

// keys returns every key that ever was in a region.
func (h *history) keys() map[string]map[string]bool {
	all := make(map[string]map[string]bool)
	for _, s := range h.states {
		for name, m := range s {
			if all[name] == nil {
				all[name] = map[string]bool{"never put": true}
			}
			for k := range m {
				all[name][k] = true
			}
		}
	}
	return all
}

// inspect asks a store for every key that ever was, by key and by scan. Errors
// are passed to refuse, which returns one that is no answer at all.
func (s *seen) inspect(st *restart.Store, refuse func(error) error) error {
	for name, keys := range s.h.keys() {
		r, err := st.Region(name, restart.RegionOptions{})
		if errors.Is(err, restart.ErrNoRegion) {
			for k := range keys {
				s.answer(name, k, "", false)
			}
			continue
		}
		if err != nil {
			return err
		}
		for k := range keys {
			v, err := r.Get([]byte(k))
			switch {
			case err == nil || errors.Is(err, restart.ErrNotFound):
				s.answer(name, k, string(v), err == nil)
			default:
				if err := refuse(err); err != nil {
					return fmt.Errorf("get %q/%q: %w", name, k, err)
				}
			}
		}
		for e, err := range r.All() {
			if err != nil {
				if err := refuse(err); err != nil {
					return fmt.Errorf("scan %q: %w", name, err)
				}
				break
			}
			s.answer(name, string(e.Key), string(e.Value), true)
		}
	}
	return nil
}
