package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/fastrestart/frs/restart"
)

// ledger is what the parent knows about the child's writes, and so what the
// store must hold.
type ledger struct {
	keys    map[string]*history
	version uint64 // highest ever issued
	issued  int
	acked   int
}

// history of one key.
type history struct {
	// is the last write known to be in the store: acknowledged, or found there
	// after a kill.
	is write
	// inDoubt were issued after it and not acknowledged. At most one of them
	// took effect last; it need not be any.
	inDoubt []write
}

func newLedger() *ledger { return &ledger{keys: make(map[string]*history)} }

// issue notes that the child is about to do w.
func (l *ledger) issue(w write) {
	h := l.keys[w.key]
	if h == nil {
		h = &history{is: write{key: w.key, del: true}} // absent at first
		l.keys[w.key] = h
	}
	h.inDoubt = append(h.inDoubt, w)
	l.version = max(l.version, w.version)
	l.issued++
}

// ack notes that w returned. What was issued before it on the same key is
// superseded.
func (l *ledger) ack(w write) error {
	h := l.keys[w.key]
	if h == nil || !slices.Contains(h.inDoubt, w) {
		return fmt.Errorf("the child acknowledges %s version %d, which it never issued", w.key, w.version)
	}
	h.is, h.inDoubt = w, nil
	l.acked++
	return nil
}

// inFlight returns how many writes are in doubt.
func (l *ledger) inFlight() (n int) {
	for _, h := range l.keys {
		n += len(h.inDoubt)
	}
	return n
}

// check compares the store with every key's history. Afterwards nothing is in
// doubt: what was found is what must be found from now on.
func (l *ledger) check(r regions, f *findings) {
	for key, h := range l.keys {
		found, ok := look(r.writes, key, f)
		if ok && isPaired(key) {
			var twin write
			if twin, ok = look(r.pairs, key, f); ok && twin != found {
				f.wrong("key %s: half of a batch: version %d in one region, %d in the other", key, found.version, twin.version)
			}
		}
		if ok {
			h.judge(found, f)
		}
		h.inDoubt = nil
	}
}

// look reads a key. An absent one has version 0 and counts as deleted.
func look(r *restart.Region, key string, f *findings) (found write, ok bool) {
	v, err := r.Get([]byte(key))
	switch {
	case errors.Is(err, restart.ErrNotFound):
		return write{key: key, del: true}, true
	case err != nil:
		f.wrong("key %s: %v", key, err)
		return found, false
	case len(v) < 8:
		f.wrong("key %s: a value of %d bytes that nobody wrote", key, len(v))
		return found, false
	}
	version := binary.LittleEndian.Uint64(v)
	if !bytes.Equal(v, value(key, version)) {
		f.wrong("key %s: value of %d bytes is not that of version %d", key, len(v), version)
		return found, false
	}
	return write{key: key, version: version}, true
}

// judge decides whether a key may be as it was found, and settles on that.
func (h *history) judge(found write, f *findings) {
	for _, w := range append([]write{h.is}, h.inDoubt...) {
		if w.del == found.del && (w.del || w.version == found.version) {
			h.is = w
			return
		}
	}
	switch last := h.is; {
	case found.del:
		f.lost("key %s: version %d was acknowledged, the key is not there", last.key, last.version)
	case found.version < last.version:
		f.lost("key %s: version %d was acknowledged (deleted: %v), version %d is there", last.key, last.version, last.del, found.version)
	default:
		f.wrong("key %s: version %d is there and was never issued after %d", last.key, found.version, last.version)
	}
	h.is = found
}
