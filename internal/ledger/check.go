package ledger

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Verdict of a check.
type Verdict struct {
	Findings []string // what is lost or wrong
	Lost     int      // acknowledged batched writes, as they may be
	// Span is from the first acknowledgement lost to the last there was.
	Span time.Duration
}

// Bad adds a finding.
func (v *Verdict) Bad(format string, args ...any) {
	v.Findings = append(v.Findings, fmt.Sprintf(format, args...))
}

// Check compares what was found, up to now, with what must be there: one
// position divides the log into what is there and what is missing. If several
// do (a key that was deleted twice looks the same after both), then the last of
// them counts.
func (l *Ledger) Check(found Contents) (v Verdict) {
	now := time.Now()
	keys := l.writes()
	refute(&v, keys, found, now)
	for key, f := range found {
		if keys[key] == nil {
			v.Bad("%s is there with version %d and was never written", key, f.Version)
		}
	}
	var d divide
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		ranges := rangesOf(key, keys[key], found[key], now)
		if len(ranges) == 0 {
			v.Bad("%s holds %v, it should be one of%s", key, found[key], describe(key, keys[key]))
			continue
		}
		d.add(key, ranges)
	}
	cut, ok := d.last()
	if !ok {
		v.Bad("not a prefix: %s", d.contradiction(keys))
		return v
	}
	l.missing(&v, cut)
	return v
}

// missing looks at what is behind the end of the log.
func (l *Ledger) missing(v *Verdict, cut uint64) {
	var promised []*op
	for _, o := range l.ops {
		if !o.acked || o.lsn <= cut {
			continue
		}
		if o.lsn < l.durable {
			promised = append(promised, o)
		}
		v.Lost++
		if o.how != Never {
			v.Span = max(v.Span, l.last-o.at)
		}
	}
	if n := len(promised); n > 0 {
		first := promised[0]
		v.Bad("%d writes are lost that were durable: the log was up to %d, the first lost one is version %d (LSN %d) of %v",
			n, l.durable, first.Version, first.lsn, slices.Concat(first.Puts, first.Dels))
	}
	if v.Span > Bound {
		v.Bad("a write is lost that was acknowledged %v before the last one, the bound is %v", v.Span, Bound)
	}
}

// refute takes out of the keys' writes those that got no answer and cannot have
// taken place: a key that nothing was written to after them is not as they leave
// it. Of a batch, then, nothing may be there.
func refute(v *Verdict, keys map[string][]*op, found Contents, now time.Time) {
	without := map[*op]string{} // and a key that says so
	for key, ws := range keys {
		if o := ws[len(ws)-1]; len(ws) > 1 && o.lsn == 0 && !o.leaves(key, found[key], now) {
			without[o] = key
		}
	}
	for key, ws := range keys {
		f := found[key]
		keys[key] = slices.DeleteFunc(ws, func(o *op) bool {
			other, refuted := without[o]
			if refuted && f.Version == o.Version {
				v.Bad("half of a batch is there: version %d of %v and without %v, with %s, and without %s, which holds %v",
					o.Version, o.Puts, o.Dels, key, other, found[other])
			}
			return refuted
		})
	}
}

// leaves says whether a key may be found like this after the operation.
func (o *op) leaves(key string, f Found, now time.Time) bool {
	switch {
	case slices.Contains(o.Dels, key):
		return f.Version == 0
	case f.Version == 0:
		return o.TTL > 0 && !o.earliest().After(now)
	case f.Version != o.Version:
		return false
	case o.TTL == 0:
		return f.Expires.IsZero()
	}
	latest := o.latest()
	return !f.Expires.Before(o.earliest()) && (latest.IsZero() || !f.Expires.After(latest))
}

// earliest and latest are when what was put may expire; no latest is known of a
// write that did not return.
func (o *op) earliest() time.Time {
	if !o.expires.IsZero() {
		return o.expires
	}
	return o.Issued.Add(o.TTL)
}

func (o *op) latest() time.Time {
	if !o.expires.IsZero() || o.returned.IsZero() {
		return o.expires
	}
	return o.returned.Add(o.TTL)
}

// writes returns the writes of each key in their order, which is that of the
// log: one goroutine writes a key. The first is what was there before.
func (l *Ledger) writes() map[string][]*op {
	keys := map[string][]*op{}
	for key, f := range l.base {
		was := &op{Write: Write{Version: f.Version, Puts: []string{key}}, expires: f.Expires}
		if !f.Expires.IsZero() {
			was.TTL = 1
		}
		keys[key] = []*op{was}
	}
	for _, o := range l.ops {
		for _, list := range [][]string{o.Puts, o.Dels} {
			for _, key := range list {
				if keys[key] == nil {
					keys[key] = []*op{{Write: Write{Dels: []string{key}}}} // absent
				}
				keys[key] = append(keys[key], o)
			}
		}
	}
	return keys
}

// span of positions, both included, at which the log may end.
type span struct{ from, to uint64 }

// rangesOf returns where the log may end if a key was found like this.
func rangesOf(key string, ws []*op, f Found, now time.Time) (ranges []span) {
	for i, o := range ws {
		if !o.leaves(key, f, now) {
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

// describe lists the last writes of a key.
func describe(key string, ws []*op) (s string) {
	const most = 6
	for _, o := range ws[max(0, len(ws)-most):] {
		kind := ""
		if slices.Contains(o.Dels, key) {
			kind = " deletes"
		}
		if o.TTL > 0 {
			kind = fmt.Sprintf(" expires %v", o.earliest().Format(time.TimeOnly+".000"))
		}
		s += fmt.Sprintf(" {version %d%s, LSN %d, acknowledged %t}", o.Version, kind, o.lsn, o.acked)
	}
	return s
}

func (f Found) String() string {
	switch {
	case f.Version == 0:
		return "nothing"
	case f.Expires.IsZero():
		return fmt.Sprintf("version %d", f.Version)
	}
	return fmt.Sprintf("version %d until %v", f.Version, f.Expires.Format(time.TimeOnly+".000"))
}
