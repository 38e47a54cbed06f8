package crashtest_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/fastrestart/frs/crashtest"
)

// script plays a history of one key. Each word is an event of a client, named
// by its first letter:
//
//	aW1  begin to write 1      aR    begin to read     aS12  begin to swap 1 for 2
//	a.   it is done            a=1   it saw 1          a=    it saw nothing
//	a!   it failed             a+ a- the swap did, did not   X  crash
func script(text string) *crashtest.History {
	h := &crashtest.History{}
	calls := map[byte]*crashtest.Call{}
	for _, w := range strings.Fields(text) {
		if w == "X" {
			h.Crash()
			continue
		}
		c := calls[w[0]]
		switch rest := w[2:]; w[1] {
		case 'W':
			calls[w[0]] = h.Write("k", rest)
		case 'R':
			calls[w[0]] = h.Read("k")
		case 'S':
			calls[w[0]] = h.Swap("k", rest[:1], rest[1:])
		case '=':
			c.Saw(rest, nil)
		case '.':
			c.Done(nil)
		case '!':
			c.Done(errors.New("failed"))
		default:
			c.Swapped(w[1] == '+', nil)
		}
	}
	return h
}

func TestHistories(t *testing.T) {
	for _, c := range []struct {
		what         string
		script       string
		linear, mono bool
	}{
		{"nothing happened", "", true, true},
		{"read your write", "aW1 a. aR a=1", true, true},
		{"lost write", "aW1 a. aR a=", false, true},
		{"stale read", "aW1 a. aW2 a. aR a=1", false, true},
		{"a read sees a write under way", "aW1 bR b=1 a.", true, true},
		{"or not yet", "aW1 bR b= a.", true, true},
		{"back and forth", "aW1 bR b=1 cR c= a.", false, false},
		{"back to a write that was over", "aW1 a. aW2 a. bR b=2 cR c=1", false, false},
		{"back to the beginning", "aW1 a. bR b=1 bR b=", false, false},
		{"a value out of nowhere", "aR a=7", false, false},
		{"two writes at once, either order", "aW1 bW2 a. b. cR c=1", true, true},
		{"but not both", "aW1 bW2 a. b. cR c=1 cR c=2", false, true},
		{"a failed write may have happened", "aW1 a! bR b=1", true, true},
		{"or not", "aW1 a! bR b=", true, true},
		{"or later", "aW1 a! bR b= bR b=1", true, true},
		{"but not twice", "aW1 a! bR b=1 bW2 b. bR b=1", false, true},
		{"a write before the crash shows after it", "aW1 X bR b=1", true, true},
		{"or never", "aW1 X bR b= cR c=1", false, true},
		{"an acknowledged write is lost in the crash", "aW1 a. X bR b=", false, true},
		{"a read value is lost in the crash", "aW1 bR b=1 X bR b=", false, true},
		{"deleted", "aW1 a. aW a. bR b=", true, true},
		{"a deleted value comes back", "aW1 a. aW a. bR b=1", false, true},
		{"swapped", "aW1 a. aS12 a+ bR b=2", true, true},
		{"swapped the wrong value", "aW1 a. aS32 a+", false, true},
		{"did not swap the right value", "aW1 a. aS12 a-", false, true},
		{"two swaps of one value", "aW1 a. aS12 bS13 a+ b+", false, true},
		{"an answer from before the crash does not count", "aW1 X a. bR b=", true, true},
	} {
		h := script(c.script)
		if err := h.Linearizable(); (err == nil) != c.linear {
			t.Errorf("%s: Linearizable: %v", c.what, err)
		}
		if err := h.Monotonic(); (err == nil) != c.mono {
			t.Errorf("%s: Monotonic: %v", c.what, err)
		}
	}
}

// The message shows the shortest history that is wrong.
func TestLinearizableSaysWhere(t *testing.T) {
	err := script("aW1 a. aW2 a. aR a=1 aW3 a. aW4 a.").Linearizable()
	if err == nil || !strings.Contains(err.Error(), `read k: "1"`) || strings.Contains(err.Error(), `"3"`) {
		t.Errorf("%v", err)
	}
}

// Two implementations agree about random histories, which are about as often
// right as wrong.
func TestLinearizableAgreesWithPorcupine(t *testing.T) {
	right := 0
	const rounds = 4000
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 0))
		text, ops := randomHistory(r)
		want := porcupine.CheckOperations(register, ops)
		if got := script(text).Linearizable() == nil; got != want {
			t.Fatalf("seed %d: %v, porcupine says %v: %s", seed, got, want, text)
		}
		if want {
			right++
		}
	}
	if right < rounds/10 || right > rounds*9/10 {
		t.Errorf("%d of %d histories are right: the test says little", right, rounds)
	}
}

type registerCall struct {
	kind  byte
	value string
	old   string
}

var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, in, out any) (bool, any) {
		c := in.(registerCall)
		switch c.kind {
		case 'W':
			return true, c.value
		case 'R':
			return out == state, state
		}
		right := state == c.old
		if out != nil && (out == "+") != right {
			return false, state
		}
		if right {
			return true, c.value
		}
		return true, state
	},
}

// randomHistory runs a few clients against a register that sometimes lies.
func randomHistory(r *rand.Rand) (string, []porcupine.Operation) {
	type client struct {
		op   porcupine.Operation
		busy bool
	}
	var text strings.Builder
	var ops []porcupine.Operation
	clients := make([]client, 3)
	value, stale := "", ""
	for tick := range int64(24) {
		i := r.IntN(len(clients))
		c, name := &clients[i], string(rune('a'+i))
		if !c.busy {
			in := registerCall{kind: "WRS"[r.IntN(3)], value: fmt.Sprint(r.IntN(3)), old: fmt.Sprint(r.IntN(3))}
			c.busy, c.op = true, porcupine.Operation{ClientId: i, Input: in, Call: tick}
			switch in.kind {
			case 'W':
				fmt.Fprintf(&text, "%sW%s ", name, in.value)
			case 'R':
				fmt.Fprintf(&text, "%sR ", name)
			default:
				fmt.Fprintf(&text, "%sS%s%s ", name, in.old, in.value)
			}
			continue
		}
		in := c.op.Input.(registerCall)
		now := value
		if r.IntN(12) == 0 {
			now = stale
		}
		switch in.kind {
		case 'W':
			c.op.Output, stale, value = ".", value, in.value
			fmt.Fprintf(&text, "%s. ", name)
		case 'R':
			c.op.Output = now
			fmt.Fprintf(&text, "%s=%s ", name, now)
		default:
			c.op.Output = "-"
			if now == in.old {
				c.op.Output, stale, value = "+", value, in.value
			}
			fmt.Fprintf(&text, "%s%s ", name, c.op.Output)
		}
		c.busy, c.op.Return = false, tick
		ops = append(ops, c.op)
	}
	for i := range clients { // what is under way may or may not have happened
		if c := &clients[i]; c.busy && c.op.Input.(registerCall).kind != 'R' {
			c.op.Return, c.op.Output = 1<<40, nil
			ops = append(ops, c.op)
		}
	}
	return text.String(), ops
}

// A long history of one key, with calls in doubt, is decided quickly.
func TestLongHistory(t *testing.T) {
	h := &crashtest.History{}
	for i := range 5000 {
		v := fmt.Sprint(i)
		w := h.Write("k", v)
		if i%100 == 0 {
			w.Done(errors.New("failed"))
			continue
		}
		r := h.Read("k")
		w.Done(nil)
		r.Saw(v, nil)
		if i%1000 == 999 {
			h.Crash()
		}
	}
	if err := errors.Join(h.Linearizable(), h.Monotonic()); err != nil {
		t.Error(err)
	}
}
