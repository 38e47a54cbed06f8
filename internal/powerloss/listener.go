package main

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/fastrestart/frs/internal/ledger"
)

// deeds is how often a child did what is worth a crash.
type deeds struct{ rolls, compactions, checkpoints, reopens int64 }

// listener hears what a child says, and keeps the ledger.
type listener struct {
	started, ready, closed, failed chan struct{} // closed once that was said

	mu     sync.Mutex // for everything below, and the ledger while the child lives
	ledger *books
	found  ledger.Contents
	shown  bool // found is complete
	rung   string
	deeds  deeds
	err    error
}

func newListener(l *books) *listener {
	l.Begin()
	return &listener{
		started: make(chan struct{}),
		ready:   make(chan struct{}),
		closed:  make(chan struct{}),
		failed:  make(chan struct{}),
		ledger:  l,
		found:   ledger.Contents{},
	}
}

// seal says that the end begins: of what is heard later, nothing counts but
// LSNs, and versions that were issued.
func (h *listener) seal() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ledger.Seal()
}

// listen reads to the end of the pipe. A line that the end cut short was not
// said.
func (h *listener) listen(pipe io.Reader) error {
	return ledger.Listen(pipe, func(line string) error {
		if err := h.hear(line); err != nil {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.fail(fmt.Errorf("%w, in line %q", err, line))
		}
		return nil
	})
}

// fail notes the first error of a child whose end has not begun.
// REQUIRES: h.mu is held.
func (h *listener) fail(err error) {
	if h.err == nil && !h.ledger.Sealed() {
		h.err = err
		close(h.failed)
	}
}

func (h *listener) hear(line string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case ledger.WordIssue:
		w, err := ledger.ParseWrite(rest)
		if err != nil {
			return err
		}
		h.ledger.Issue(w)
		return nil
	case ledger.WordAck:
		a, err := ledger.ParseAnswer(rest)
		if err != nil {
			return err
		}
		return h.ledger.Answer(a)
	}
	if h.ledger.Sealed() {
		return nil
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
	case wordDid:
		d := &h.deeds
		_, err := fmt.Sscan(rest, &d.rolls, &d.compactions, &d.checkpoints, &d.reopens)
		return err
	}
	return h.milestone(word, rest)
}

// milestone hears the words that are said once.
// REQUIRES: h.mu is held.
func (h *listener) milestone(word, rest string) error {
	switch word {
	case wordStart:
		close(h.started)
	case wordShown:
		h.shown, h.rung = true, rest
	case wordReady:
		close(h.ready)
	case wordClosed:
		h.ledger.Closed()
		close(h.closed)
	case wordError:
		h.fail(fmt.Errorf("the child: %s", rest))
	default:
		return fmt.Errorf("unknown word")
	}
	return nil
}

// isReady says whether the child showed what it found, and made it durable,
// before its end began.
func (h *listener) isReady() bool {
	select {
	case <-h.ready:
		return true
	default:
		return false
	}
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
	if !h.isReady() {
		return ledger.Verdict{Findings: v.Findings} // it may still lose what was not durable
	}
	if err := h.ledger.linear.check(h.found); err != nil {
		first, more, _ := strings.Cut(err.Error(), "\nkey ")
		v.Bad("%s\n  and %d lines more", first, strings.Count(more, "\n"))
	}
	h.ledger.Settle(h.found)
	return v
}
