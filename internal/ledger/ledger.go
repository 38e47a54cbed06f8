package ledger

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Bound is the longest time that batched writes may be acknowledged and not
// durable, whatever the disk does.
const Bound = 3 * time.Second

// Write is one operation: all its keys in one record of the log.
type Write struct {
	Version uint64 // used once; those of a key rise
	Puts    []string
	Dels    []string
	Clears  string // prefix of keys that it deletes all; empty: none
	// Issued is when, and TTL how long what it puts lives; zero TTL: for ever.
	Issued time.Time
	TTL    time.Duration
}

// Durability of an acknowledged write.
type Durability byte

// The durabilities, as a letter each for the pipe.
const (
	Durable Durability = 's' // on disk when it returned
	Batched Durability = 'b' // on disk within Bound
	Never   Durability = 'n' // nobody asked
)

// Answer is an acknowledgement.
type Answer struct {
	Version    uint64
	LSN        uint64
	Durability Durability
	At         time.Duration // on the clock of the process that writes
	// Returned is when, for the latest moment that a TTL may have begun; zero:
	// not known.
	Returned time.Time
}

// Found is what a key was found to hold.
type Found struct {
	Version uint64
	Expires time.Time // zero: never
}

// Contents are the keys that were found.
type Contents map[string]Found

// Ledger is what is known about the writes since the store was last known to
// be durable.
type Ledger struct {
	base Contents       // durable; deleted keys are not in it
	ops  []*op          // issued since, in the order of the pipe
	open map[uint64]*op // not answered yet, by version
	// durable: everything with a lower LSN must be there.
	durable uint64
	// newest is the highest LSN answered. What is issued later has a higher one.
	newest uint64
	// last is when the last batched or durable write was answered that counts.
	last time.Duration
	// sealed: the end has begun. Answers only tell LSNs from now on.
	sealed bool

	Highest     uint64 // version ever issued
	Acked, Late int    // answers that counted, and that came behind the seal
}

// op is a write and what is known of it.
type op struct {
	Write
	lsn   uint64 // 0: unknown, but then above after
	after uint64
	// acked: read before the end began.
	acked    bool
	how      Durability
	at       time.Duration
	returned time.Time
	// expires is known exactly of what is in the base.
	expires time.Time
}

// New returns the ledger of an empty store.
func New() *Ledger {
	l := &Ledger{}
	l.Settle(nil)
	return l
}

// Settle makes what was found in the store, and is durable now, what must be
// found from now on.
func (l *Ledger) Settle(found Contents) {
	l.base, l.ops, l.open = maps.Clone(found), nil, map[uint64]*op{}
	l.durable, l.newest, l.last = 0, 0, 0
}

// Begin says that a new process lives.
func (l *Ledger) Begin() { l.sealed = false }

// Seal says that the end of the process begins, by a power failure: what is
// heard later does not count as acknowledged.
func (l *Ledger) Seal() { l.sealed = true }

// Sealed says whether the end has begun.
func (l *Ledger) Sealed() bool { return l.sealed }

// Ops returns how many writes were issued since the ledger was settled.
func (l *Ledger) Ops() int { return len(l.ops) }

// InFlight returns how many writes were issued and not answered.
func (l *Ledger) InFlight() int { return len(l.open) }

// Issue notes a write that is about to happen.
func (l *Ledger) Issue(w Write) {
	if w.Clears != "" {
		w.Dels = append(slices.Clone(w.Dels), l.under(w.Clears)...)
	}
	o := &op{Write: w, after: l.newest}
	l.ops = append(l.ops, o)
	l.open[w.Version] = o
	l.Highest = max(l.Highest, w.Version)
}

// under returns every key with a prefix that may be there.
func (l *Ledger) under(prefix string) []string {
	keys := map[string]bool{}
	for key := range l.base {
		keys[key] = true
	}
	for _, o := range l.ops {
		for _, key := range o.Puts {
			keys[key] = true
		}
	}
	maps.DeleteFunc(keys, func(key string, _ bool) bool { return !strings.HasPrefix(key, prefix) })
	return slices.Sorted(maps.Keys(keys))
}

// Answer notes that a write returned.
func (l *Ledger) Answer(a Answer) error {
	o := l.open[a.Version]
	if o == nil {
		return fmt.Errorf("version %d is acknowledged and was not issued", a.Version)
	}
	if a.LSN <= o.after {
		return fmt.Errorf("version %d got LSN %d, and %d was acknowledged before it was issued", a.Version, a.LSN, o.after)
	}
	delete(l.open, a.Version)
	o.lsn, o.at, o.how, o.returned = a.LSN, a.At, a.Durability, a.Returned
	l.newest = max(l.newest, a.LSN)
	if l.sealed {
		l.Late++
		return nil
	}
	o.acked = true
	l.Acked++
	if a.Durability != Never {
		l.last = max(l.last, a.At)
	}
	if a.Durability == Durable {
		l.Promise(a.LSN + 1)
	}
	return nil
}

// Refuse notes that a write failed such that nothing happened.
func (l *Ledger) Refuse(version uint64) error {
	o := l.open[version]
	if o == nil {
		return fmt.Errorf("version %d failed and was not issued", version)
	}
	delete(l.open, version)
	l.ops = slices.DeleteFunc(l.ops, func(p *op) bool { return p == o })
	return nil
}

// Promise notes that everything below lsn is durable.
func (l *Ledger) Promise(lsn uint64) {
	if !l.sealed {
		l.durable = max(l.durable, lsn)
	}
}

// Closed notes that the store was closed: all of it is durable.
func (l *Ledger) Closed() { l.Promise(l.newest + 1) }
