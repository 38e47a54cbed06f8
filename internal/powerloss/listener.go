package main

import (
	"fmt"
	"strings"
	"sync"

	"github.com/fastrestart/frs/internal/child"
	"github.com/fastrestart/frs/internal/ledger"
)

// deeds is how often a child did what is worth a crash.
type deeds struct{ rolls, compactions, checkpoints, reopens int64 }

// listener hears what a child says, and keeps the ledger.
type listener struct {
	*child.Listener

	mu     sync.Mutex // for everything below, and the ledger while the child lives
	ledger *books
	found  ledger.Contents
	shown  bool // found is complete
	rung   string
	deeds  deeds
}

func newListener(l *books) *listener {
	l.Begin()
	h := &listener{ledger: l, found: ledger.Contents{}}
	h.Listener = child.NewListener(h.hear)
	return h
}

// seal says that the end begins: of what is heard later, nothing counts but
// LSNs, and versions that were issued.
func (h *listener) seal() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ledger.Seal()
}

// hear takes in one line. Once the end has begun nothing is wrong any more.
func (h *listener) hear(word, rest string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	known, err := ledger.Hear(h.ledger, word, rest)
	if h.ledger.Sealed() {
		return nil
	}
	if known {
		return err
	}
	switch word {
	case wordDurable:
		var lsn uint64
		_, err := fmt.Sscan(rest, &lsn)
		h.ledger.Promise(lsn)
		return err
	case wordHave:
		var version uint64
		var key string
		_, err := fmt.Sscan(rest, &version, &key)
		if _, twice := h.found[key]; twice {
			return fmt.Errorf("the scan yields %s twice", key)
		}
		h.found[key] = ledger.Found{Version: version}
		return err
	case wordShown:
		h.shown, h.rung = true, rest
		return nil
	case wordDid:
		d := &h.deeds
		_, err := fmt.Sscan(rest, &d.rolls, &d.compactions, &d.checkpoints, &d.reopens)
		return err
	case child.WordClosed:
		h.ledger.Closed()
	}
	return h.Milestone(word, rest)
}

// judge checks what the child found against what there must be. If that is
// durable now, it is where the ledger goes on from.
func (h *listener) judge() (v ledger.Verdict) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.shown {
		return v
	}
	v = h.ledger.Check(h.found)
	if !h.IsReady() {
		return ledger.Verdict{Findings: v.Findings} // it may still lose what was not durable
	}
	if err := h.ledger.linear.check(h.found); err != nil {
		first, more, _ := strings.Cut(err.Error(), "\nkey ")
		v.Bad("%s\n  and %d lines more", first, strings.Count(more, "\n"))
	}
	h.ledger.Settle(h.found)
	return v
}
