package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/fastrestart/frs/crashtest"
)

// hardBound is the longest time that batched writes may be acknowledged and not
// durable, whatever the disk does.
const hardBound = 3 * time.Second

// ledger is what the parent knows about the children's writes since the store
// was last known to be durable, and so what it may hold.
type ledger struct {
	base map[string]uint64 // key to version, durable; deleted keys are not in it
	ops  []*op             // issued since, in the order of the pipe
	open map[uint64]*op    // not answered yet, by version
	// durable: everything with a lower LSN must be there.
	durable uint64
	highest uint64 // version ever issued
	// newest is the highest LSN answered. What is issued later has a higher one.
	newest uint64
	// last is when the last one was answered that counts, on that child's clock.
	last time.Duration
	// sealed: the end has begun. Answers only tell LSNs from now on.
	sealed bool
	// history is the same for single keys; nil once a write was batched.
	history *crashtest.History

	acked, late int // answers that counted, and that came behind the seal
}

// op is a write and what is known of it.
type op struct {
	write
	lsn   uint64 // 0: unknown, but then above after
	after uint64
	// acked: read before the end began.
	acked bool
	at    time.Duration
	calls []*crashtest.Call
}

func newLedger() *ledger {
	l := &ledger{}
	l.settle(map[string]uint64{})
	return l
}

// settle makes what was found in the store, and is durable now, what must be
// found from now on.
func (l *ledger) settle(found map[string]uint64) {
	l.base, l.ops, l.open = maps.Clone(found), nil, map[uint64]*op{}
	l.durable, l.newest, l.last = 0, 0, 0
	l.history = &crashtest.History{}
	for key, version := range found {
		l.history.Write(key, strconv.FormatUint(version, 10)).Done(nil)
	}
}

// begin says that a new child lives.
func (l *ledger) begin() { l.sealed = false }

// seal says that the end of the child begins.
func (l *ledger) seal() { l.sealed = true }

// issue notes a write that is about to happen.
func (l *ledger) issue(w write) {
	o := &op{write: w, after: l.newest}
	l.ops = append(l.ops, o)
	l.open[w.version] = o
	l.highest = max(l.highest, w.version)
	if l.history == nil {
		return
	}
	for _, key := range w.keys {
		v := ""
		if !w.del {
			v = strconv.FormatUint(w.version, 10)
		}
		o.calls = append(o.calls, l.history.Write(key, v))
	}
}

// answer notes that a write returned.
func (l *ledger) answer(a answer) error {
	o := l.open[a.version]
	if o == nil {
		return fmt.Errorf("version %d is acknowledged and was not issued", a.version)
	}
	if a.lsn <= o.after {
		return fmt.Errorf("version %d got LSN %d, and %d was acknowledged before it was issued", a.version, a.lsn, o.after)
	}
	delete(l.open, a.version)
	o.lsn, o.at = a.lsn, a.at
	l.newest = max(l.newest, a.lsn)
	if l.sealed {
		l.late++
		return nil
	}
	o.acked = true
	l.acked++
	l.last = max(l.last, a.at)
	if !a.durable {
		l.history = nil
		return nil
	}
	l.promise(a.lsn + 1)
	if l.history != nil {
		for _, c := range o.calls {
			c.Done(nil)
		}
	}
	return nil
}

// promise notes that everything below lsn is durable.
func (l *ledger) promise(lsn uint64) {
	if !l.sealed {
		l.durable = max(l.durable, lsn)
	}
}

// closed notes that the store was closed: all of it is durable.
func (l *ledger) closed() { l.promise(l.newest + 1) }

// verdict of a check.
type verdict struct {
	findings []string // what is lost or wrong
	lost     int      // acknowledged batched writes, as they may be
	// span is from the first acknowledgement lost to the last there was.
	span time.Duration
}

func (v *verdict) bad(format string, args ...any) {
	v.findings = append(v.findings, fmt.Sprintf(format, args...))
}

// check compares the versions found, by key, with what must be there: one
// position divides the log into what is there and what is missing. If several
// do (a key that was deleted twice looks the same after both), then the last of
// them counts.
func (l *ledger) check(found map[string]uint64) (v verdict) {
	keys := l.writes()
	for key, version := range found {
		if keys[key] == nil {
			v.bad("%s is there with version %d and was never written", key, version)
		}
	}
	var d divide
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		ranges := rangesOf(keys[key], found[key])
		if len(ranges) == 0 {
			v.bad("%s holds version %d, it should be one of%s", key, found[key], describe(keys[key]))
			continue
		}
		d.add(key, ranges)
	}
	cut, ok := d.last()
	if !ok {
		v.bad("not a prefix: %s", d.contradiction(keys))
		return v
	}
	var promised []*op // missing ones
	for _, o := range l.ops {
		if o.lsn == 0 && !o.whole(found) {
			v.bad("half of a batch is there: version %d of %v", o.version, o.keys)
		}
		if !o.acked || o.lsn <= cut {
			continue
		}
		if o.lsn < l.durable {
			promised = append(promised, o)
		}
		v.lost++
		v.span = max(v.span, l.last-o.at)
	}
	if n := len(promised); n > 0 {
		first := promised[0]
		v.bad("%d writes are lost that were durable: the log was up to %d, the first lost one is version %d (LSN %d) of %v",
			n, l.durable, first.version, first.lsn, first.keys)
	}
	if v.span > hardBound {
		v.bad("a write is lost that was acknowledged %v before the last one, the bound is %v", v.span, hardBound)
	}
	return v
}

// whole says whether all or none of the operation's keys are as it left them.
// It matters for the last operation of a writer, which has no LSN to tell.
func (o *op) whole(found map[string]uint64) bool {
	n := 0
	for _, key := range o.keys {
		if o.leaves(found[key]) {
			n++
		}
	}
	return n == 0 || n == len(o.keys)
}

// leaves says whether a key has that version after the operation; 0: none.
func (o *op) leaves(version uint64) bool {
	if o.del {
		return version == 0
	}
	return version == o.version
}

// writes returns the writes of each key in their order, which is that of the
// log: one goroutine writes a key. The first is what was there before.
func (l *ledger) writes() map[string][]*op {
	keys := map[string][]*op{}
	for key, version := range l.base {
		keys[key] = []*op{{write: write{version: version}}}
	}
	for _, o := range l.ops {
		for _, key := range o.keys {
			if keys[key] == nil {
				keys[key] = []*op{{write: write{del: true}}} // absent
			}
			keys[key] = append(keys[key], o)
		}
	}
	return keys
}

// span of positions, both included, at which the log may end.
type span struct{ from, to uint64 }

// rangesOf returns where the log may end if a key has the version found, 0
// standing for none.
func rangesOf(ws []*op, version uint64) (ranges []span) {
	for i, o := range ws {
		if !o.leaves(version) {
			continue
		}
		r := span{o.lsn, math.MaxUint64}
		if o.lsn == 0 && i > 0 {
			r.from = o.after + 1
		}
		// The next one is missing. Without an LSN it may never have got one.
		if i+1 < len(ws) && ws[i+1].lsn != 0 {
			r.to = ws[i+1].lsn - 1
		}
		if n := len(ranges); n > 0 && r.from <= ranges[n-1].to {
			ranges[n-1].to = max(ranges[n-1].to, r.to)
			continue
		}
		ranges = append(ranges, r)
	}
	return ranges
}

// divide looks for a position that fits all keys.
type divide struct {
	keys  int
	steps map[uint64]int // by how much the number of fitting keys changes there
	// The key that needs the latest position, and the one that bears the
	// earliest.
	low, high       uint64
	lowKey, highKey string
}

func (d *divide) add(key string, ranges []span) {
	if d.keys == 0 {
		d.steps, d.high = map[uint64]int{}, math.MaxUint64
	}
	d.keys++
	for _, r := range ranges {
		d.steps[r.from]++
		if r.to < math.MaxUint64 {
			d.steps[r.to+1]--
		}
	}
	if from := ranges[0].from; from > d.low {
		d.low, d.lowKey = from, key
	}
	if to := ranges[len(ranges)-1].to; to < d.high {
		d.high, d.highKey = to, key
	}
}

// last returns the last position that fits all.
func (d *divide) last() (cut uint64, ok bool) {
	n := 0
	var fits bool
	for _, at := range slices.Sorted(maps.Keys(d.steps)) {
		if fits {
			cut, ok = at-1, true
		}
		n += d.steps[at]
		fits = n == d.keys
	}
	if fits || d.keys == 0 {
		return math.MaxUint64, true
	}
	return cut, ok
}

// contradiction names two keys that do not fit, if two are enough.
func (d *divide) contradiction(keys map[string][]*op) string {
	if d.low <= d.high {
		return "each two keys fit, all together do not: an operation is missing or half there"
	}
	return fmt.Sprintf("%s is as after LSN %d, %s as before LSN %d; their writes:%s;%s", d.lowKey, d.low,
		d.highKey, d.high+1, describe(keys[d.lowKey]), describe(keys[d.highKey]))
}

// describe lists the last writes of a key.
func describe(ws []*op) (s string) {
	const most = 6
	for _, o := range ws[max(0, len(ws)-most):] {
		kind := ""
		if o.del {
			kind = " deletes"
		}
		s += fmt.Sprintf(" {version %d%s, LSN %d, acknowledged %t}", o.version, kind, o.lsn, o.acked)
	}
	return s
}

// linear checks single keys with another checker, if everything was in sync
// mode: found was read after the crash and is durable.
func (l *ledger) linear(found map[string]uint64) error {
	if l.history == nil {
		return nil
	}
	l.history.Crash()
	keys := map[string]bool{}
	for key := range l.base {
		keys[key] = true
	}
	for _, o := range l.ops {
		for _, key := range o.keys {
			keys[key] = true
		}
	}
	for key := range keys {
		v := ""
		if version, ok := found[key]; ok {
			v = strconv.FormatUint(version, 10)
		}
		l.history.Read(key).Saw(v, nil)
	}
	return l.history.Linearizable()
}
