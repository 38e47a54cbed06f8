package crashtest

import (
	"fmt"
	"strings"
)

// Status is what whoever issued an operation had been told when the machine
// stopped.
type Status uint8

const (
	// InDoubt: nothing yet, or no promise before an earlier crash. The operation
	// may survive.
	InDoubt Status = iota
	// Failed: an error. The operation may survive.
	Failed
	// Acked: done, with no promise that it survives.
	Acked
	// Durable: done, and it survives. It must be there.
	Durable
)

// String returns the status in lower case.
func (s Status) String() string {
	names := [...]string{"in doubt", "failed", "acked", "durable"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("Status(%d)", uint8(s))
}

// Crash is what is known about the moment at which the machine stopped.
type Crash[Op any] struct {
	// Issued are the operations that had been handed to Apply, in that order:
	// the front of Config.Ops. Not to be changed.
	Issued []Op
	// Status says for each of them what its caller had been told.
	Status []Status
	// Acked is how many had been acknowledged, durable or not.
	Acked int
	// Durable is the length of the shortest front of Issued that contains all
	// with status Durable. With one client, that many and at most len(Issued)
	// must be there.
	Durable int

	// ID names the crash state; see Config.Only.
	ID string
	// After is the file operation after which the machine stopped.
	After string
	// Kept says what became of each unsynced file operation, a line for each.
	Kept []string
	// Depth is 1, and 2 if the machine stopped again in the recovery from an
	// earlier crash, which Before describes, or in what followed it.
	Depth  int
	Before string
	// Shown is what Config.Show returned after the recovery from that one.
	Shown string
	// Fault is the injected fault, if any.
	Fault string

	spans []span
	shown int // operations issued when it was shown; -1: never
}

// String describes the crash in several lines.
func (c Crash[Op]) String() string {
	var b strings.Builder
	if c.Before != "" {
		fmt.Fprintf(&b, "%s\nrecovery, and then ", c.Before)
	}
	fmt.Fprintf(&b, "crash %s after %s: %d issued, %d acknowledged, %d durable", c.ID, c.After, len(c.Issued), c.Acked, c.Durable)
	if c.Fault != "" {
		fmt.Fprintf(&b, "\n  fault: %s", c.Fault)
	}
	if len(c.Kept) == 0 {
		b.WriteString("\n  nothing was unsynced")
	}
	for _, line := range c.Kept {
		fmt.Fprintf(&b, "\n  %s", line)
	}
	return b.String()
}

// span is when an operation was issued and acknowledged, on a clock that ticks
// at each of these events, from 1. Acked is 0 until then; an operation that was
// never answered ends with the life of its process.
type span struct{ issued, acked int }

// Survivors checks the two rules of a log against the operations that are
// there after the crash: what survives is a prefix of what was issued (no
// operation is missing if one survived that was issued after its
// acknowledgement; concurrent and failed ones may be missing at will), and it
// contains everything that was promised durable.
func (c Crash[Op]) Survivors(survived func(i int) bool) error {
	last, hole := -1, -1 // latest issued survivor, earliest acknowledged loss
	for i, st := range c.Status {
		switch {
		case survived(i):
			last = i
		case st == Durable:
			return fmt.Errorf("operation %d (%s) is lost, it was acknowledged as durable", i, brief(c.Issued[i]))
		case st == Acked && (hole < 0 || c.spans[i].acked < c.spans[hole].acked):
			hole = i
		}
	}
	if last >= 0 && hole >= 0 && c.spans[hole].acked < c.spans[last].issued {
		return fmt.Errorf("operation %d (%s) is lost and the later %d (%s) is there: not a prefix",
			hole, brief(c.Issued[hole]), last, brief(c.Issued[last]))
	}
	return nil
}

// Prefix checks that a system of which the first n operations survived may be
// what the crash left: see [Crash.Survivors].
func (c Crash[Op]) Prefix(n int) error {
	if n > len(c.Issued) {
		return fmt.Errorf("%d operations survived, only %d were issued", n, len(c.Issued))
	}
	return c.Survivors(func(i int) bool { return i < n })
}

// Records checks a log of n records in which each operation leaves one and no
// two operations the same: its records are those of issued operations, in their
// order, and these are what may survive: see [Crash.Survivors]. is reports
// whether a record is that of operation Issued[op].
func (c Crash[Op]) Records(n int, is func(record, op int) bool) error {
	survived := make([]bool, len(c.Issued))
	k := 0
	for i := range c.Issued {
		if k < n && is(k, i) {
			survived[i] = true
			k++
		}
	}
	if k < n {
		return fmt.Errorf("record %d is that of no operation issued, or not in its place", k)
	}
	return c.Survivors(func(i int) bool { return survived[i] })
}

// count fills in the numbers that follow from Status.
func (c *Crash[Op]) count() {
	c.Acked, c.Durable = 0, 0
	for i, st := range c.Status {
		if st >= Acked {
			c.Acked++
		}
		if st == Durable {
			c.Durable = i + 1
		}
	}
}
