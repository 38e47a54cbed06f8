package crashtest

import (
	"fmt"
	"maps"
	"slices"
)

// Write is what an operation does to one key of a store.
type Write struct {
	Key, Value string
	Delete     bool
}

// Map checks what a key-value store holds after the crash: it is what a front
// of the issued operations gives that contains all durable ones. Those that
// failed, or were in doubt when an earlier life ended, may be missing from it,
// each of their writes by itself. writes returns what an operation does; all
// its keys are different.
//
// If clients ran concurrently, the order of their operations is not known, and
// each key is checked by itself: its value is one that was written, and not
// before another one that is durable was begun and acknowledged.
func (c Crash[Op]) Map(got map[string]string, writes func(op Op) []Write) error {
	keys := map[string][]keyWrite{}
	for i, op := range c.Issued {
		for _, w := range writes(op) {
			keys[w.Key] = append(keys[w.Key], keyWrite{Write: w, op: i, optional: c.optional(i)})
		}
	}
	for key, value := range got {
		if keys[key] == nil {
			return fmt.Errorf("key %s holds %s, which nobody wrote", brief(key), brief(value))
		}
	}
	if c.concurrent() {
		return c.eachKey(keys, got)
	}
	return c.oneCut(keys, got)
}

// keyWrite is one write of a key.
type keyWrite struct {
	Write
	op       int
	optional bool // may be missing from a front that contains it
}

// is reports whether a key looks as after the write.
func (w keyWrite) is(value string, there bool) bool {
	return there != w.Delete && (w.Delete || w.Value == value)
}

// optional reports whether operation i may be missing though later ones are
// there.
func (c Crash[Op]) optional(i int) bool {
	return c.Status[i] == Failed || c.Status[i] == InDoubt && c.spans[i].acked > 0
}

// concurrent reports whether any two operations overlapped.
func (c Crash[Op]) concurrent() bool {
	last := 0
	for i := range c.spans {
		if c.spans[i].issued < last {
			return true
		}
		last = max(last, c.spans[i].acked)
		if c.spans[i].acked == 0 && i < len(c.spans)-1 {
			return true
		}
	}
	return false
}

// oneCut looks for k such that the first k operations give what is there.
func (c Crash[Op]) oneCut(keys map[string][]keyWrite, got map[string]string) error {
	wrong := make([]int, len(c.Issued)+2) // differences of the number of keys that contradict k
	var worst error                       // of the first key that contradicts all k
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		ws := keys[key]
		value, there := got[key]
		fits := false
		mark := func(from, to int, ok bool) { // of k in [from, to)
			if !ok {
				wrong[from]++
				wrong[to]--
			}
			fits = fits || ok && to > c.Durable
		}
		ok, from := !there, 0
		for _, w := range ws {
			mark(from, w.op+1, ok)
			from = w.op + 1
			ok = w.is(value, there) || ok && w.optional
		}
		mark(from, len(c.Issued)+1, ok)
		if !fits && worst == nil {
			worst = fmt.Errorf("key %s %s, which it did after none of the first %d to %d operations; its writes: %s",
				brief(key), describe(value, there), c.Durable, len(c.Issued), c.list(ws))
		}
	}
	if worst != nil {
		return worst
	}
	n := 0
	for k := range c.Issued {
		if n += wrong[k]; n == 0 && k >= c.Durable {
			return nil
		}
	}
	if n+wrong[len(c.Issued)] == 0 {
		return nil
	}
	return fmt.Errorf("what is there was there after none of the first %d to %d operations, though each key by itself was: an operation is missing or half there",
		c.Durable, len(c.Issued))
}

// eachKey is the rule for concurrent operations.
func (c Crash[Op]) eachKey(keys map[string][]keyWrite, got map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		ws := keys[key]
		begun := 0 // when the latest durable write of the key was issued
		for _, w := range ws {
			if c.Status[w.op] == Durable {
				begun = max(begun, c.spans[w.op].issued)
			}
		}
		value, there := got[key]
		ok := !there && begun == 0
		for _, w := range ws {
			end := c.spans[w.op].acked
			ok = ok || w.is(value, there) && (end == 0 || end > begun || c.optional(w.op))
		}
		if !ok {
			return fmt.Errorf("key %s %s, in spite of its writes: %s", brief(key), describe(value, there), c.list(ws))
		}
	}
	return nil
}

func describe(value string, there bool) string {
	if !there {
		return "is absent"
	}
	return "holds " + brief(value)
}

// list prints the last writes of a key.
func (c Crash[Op]) list(ws []keyWrite) string {
	const most = 6
	s := ""
	for _, w := range ws[max(0, len(ws)-most):] {
		s += fmt.Sprintf("\n  %d: %s (%v)", w.op, describe(w.Value, !w.Delete), c.Status[w.op])
	}
	return s
}
