package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/fastrestart/frs/internal/child"
	"github.com/fastrestart/frs/internal/ledger"
)

// listener hears what a child says, and keeps the ledger.
type listener struct {
	*child.Listener

	mu      sync.Mutex // for everything below, and the ledger while the child lives
	ledger  *ledger.Ledger
	found   ledger.Contents
	shown   bool // found is complete
	rung    string
	session string // settings of the last
	did     *tally
}

func newListener(l *ledger.Ledger) *listener {
	h := &listener{ledger: l, found: ledger.Contents{}, did: newTally()}
	h.Listener = child.NewListener(h.hear)
	return h
}

// hear takes in one line.
func (h *listener) hear(word, rest string) (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if known, err := ledger.Hear(h.ledger, word, rest); known {
		return err
	}
	switch word {
	case wordRefused:
		var version uint64
		if _, err = fmt.Sscan(rest, &version); err == nil {
			err = h.ledger.Refuse(version)
		}
	case wordDurable:
		var lsn uint64
		_, err = fmt.Sscan(rest, &lsn)
		h.ledger.Promise(lsn)
	case wordHave:
		err = h.have(rest)
	case wordShown:
		h.shown, h.rung = true, rest
	case wordDid:
		h.did, err = parseTally(rest)
	case wordSession:
		h.session = rest
	case child.WordClosed:
		h.ledger.Closed()
		err = h.Milestone(word, rest)
	default:
		err = h.Milestone(word, rest)
	}
	return err
}

func (h *listener) have(rest string) error {
	var f ledger.Found
	var expires int64
	var key string
	if _, err := fmt.Sscan(rest, &f.Version, &expires, &key); err != nil {
		return err
	}
	if expires != 0 {
		f.Expires = time.Unix(0, expires)
	}
	h.found[key] = f
	return nil
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
	if h.IsReady() {
		h.ledger.Settle(h.found)
	} else { // it may still lose what was not durable
		v.Lost, v.Span = 0, 0
	}
	return v
}

// life is a running child.
type life struct {
	*child.Process
	*listener
	plan    plan
	settled bool // what it found was judged
}

// startLife starts a child on the store.
func startLife(p plan, l *ledger.Ledger) (*life, error) {
	c := &life{listener: newListener(l), plan: p}
	var err error
	c.Process, err = child.Start(p, c.listener.Listener)
	return c, err
}

// childMain is the child process.
func childMain(arg string) int {
	err := child.Live(arg, func(p plan, said child.Voice, commands io.Reader) error {
		c := &user{plan: p, said: said}
		return c.run(commands)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 0 // the parent knows
}
