package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// tally says how often what was done, and how much of what there was at most.
type tally struct {
	mu    sync.Mutex
	Count map[string]int64
	Peak  map[string]int64
}

func newTally() *tally { return &tally{Count: map[string]int64{}, Peak: map[string]int64{}} }

func (t *tally) add(what string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Count[what] += n
}

func (t *tally) peak(what string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Peak[what] = max(t.Peak[what], n)
}

// merge takes in another, which nobody else uses.
func (t *tally) merge(o *tally) {
	for what, n := range o.Count {
		t.add(what, n)
	}
	for what, n := range o.Peak {
		t.peak(what, n)
	}
}

// line is the tally for the pipe.
func (t *tally) line() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, err := json.Marshal(t)
	return string(b), err
}

func parseTally(line string) (*tally, error) {
	t := newTally()
	return t, json.Unmarshal([]byte(line), t)
}

// String lists the counts, then the peaks, by name.
func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(t.Count)) {
		parts = append(parts, fmt.Sprintf("%s %d", what, t.Count[what]))
	}
	for _, what := range slices.Sorted(maps.Keys(t.Peak)) {
		parts = append(parts, fmt.Sprintf("max %s %d", what, t.Peak[what]))
	}
	return strings.Join(parts, ", ")
}

// missing returns which of these have never happened.
func (t *tally) missing(of []string) (never []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, what := range of {
		if t.Count[what] == 0 {
			never = append(never, what)
		}
	}
	return never
}
