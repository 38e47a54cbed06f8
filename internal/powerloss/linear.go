package main

import (
	"strconv"

	"github.com/fastrestart/frs/crashtest"
	"github.com/fastrestart/frs/internal/ledger"
)

// linear checks single keys with another checker than the ledger, as long as
// everything is in sync mode.
type linear struct {
	history *crashtest.History // nil once a write was batched
	calls   map[uint64][]*crashtest.Call
	keys    map[string]bool // ever written
}

// settle begins anew with what was found.
func (l *linear) settle(found ledger.Contents) {
	l.history, l.calls, l.keys = &crashtest.History{}, map[uint64][]*crashtest.Call{}, map[string]bool{}
	for key, f := range found {
		l.history.Write(key, strconv.FormatUint(f.Version, 10)).Done(nil)
		l.keys[key] = true
	}
}

func (l *linear) issue(w ledger.Write) {
	if l.history == nil {
		return
	}
	note := func(key, v string) {
		l.keys[key] = true
		l.calls[w.Version] = append(l.calls[w.Version], l.history.Write(key, v))
	}
	for _, key := range w.Puts {
		note(key, strconv.FormatUint(w.Version, 10))
	}
	for _, key := range w.Dels {
		note(key, "")
	}
}

func (l *linear) answer(a ledger.Answer) {
	if a.Durability != ledger.Durable {
		l.history = nil
	}
	if l.history == nil {
		return
	}
	for _, c := range l.calls[a.Version] {
		c.Done(nil)
	}
}

// check compares what was read after the crash, and is durable.
func (l *linear) check(found ledger.Contents) error {
	if l.history == nil {
		return nil
	}
	l.history.Crash()
	for key := range l.keys {
		v := ""
		if f, ok := found[key]; ok {
			v = strconv.FormatUint(f.Version, 10)
		}
		l.history.Read(key).Saw(v, nil)
	}
	return l.history.Linearizable()
}

// books are what the parent knows: the ledger, and a second opinion.
type books struct {
	*ledger.Ledger
	linear linear
}

func newBooks() *books {
	b := &books{Ledger: ledger.New()}
	b.linear.settle(nil)
	return b
}

// Settle is [ledger.Ledger.Settle].
func (b *books) Settle(found ledger.Contents) {
	b.Ledger.Settle(found)
	b.linear.settle(found)
}

// Issue is [ledger.Ledger.Issue].
func (b *books) Issue(w ledger.Write) {
	b.Ledger.Issue(w)
	b.linear.issue(w)
}

// Answer is [ledger.Ledger.Answer].
func (b *books) Answer(a ledger.Answer) error {
	err := b.Ledger.Answer(a)
	if err == nil && !b.Sealed() {
		b.linear.answer(a)
	}
	return err
}
