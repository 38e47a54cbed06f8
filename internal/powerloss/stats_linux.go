package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/fastrestart/frs/internal/ledger"
)

// stats of the campaigns on one file system.
type stats struct {
	fs        string
	campaigns int
	cuts      int // that were real
	survived  int // cuts that a canary survived, not counted above
	ends      map[string]int
	verified  int

	syncAcked, batchAcked, late int
	batchLost                   int           // acknowledged, within the bound
	span                        time.Duration // longest of what was lost
	slow                        int           // times that span was above MaxDelay, as on a slow disk
	long                        int           // cuts of batched lives longer than the bound
	rungs                       map[string]int
	deeds                       deeds
	took                        time.Duration

	findings []string
	copies   []string
}

func (s *stats) bad() bool { return len(s.findings) > 0 }

// maxFinding is the length of one: the goroutines of a hanging child.
const maxFinding = 16 << 10

// find notes that something is lost or wrong.
func (s *stats) find(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.findings = append(s.findings, text[:min(len(text), maxFinding)])
}

// lose notes batched writes that were lost, as they may be.
func (s *stats) lose(v ledger.Verdict, maxDelay time.Duration) {
	s.batchLost += v.Lost
	if v.Span > maxDelay {
		s.slow++
	}
	s.span = max(s.span, v.Span)
}

// add takes in a life that has ended.
func (s *stats) add(l *life, acked, late int) {
	if s.ends == nil {
		s.ends, s.rungs = map[string]int{}, map[string]int{}
	}
	s.ends[l.plan.end()]++
	if l.shown {
		s.rungs[l.rung]++
	}
	n := l.ledger.Acked - acked
	if l.plan.Batched {
		s.batchAcked += n
	} else {
		s.syncAcked += n
	}
	if l.plan.Batched && l.plan.Cut && l.plan.Run > ledger.Bound {
		s.long++
	}
	s.late += l.ledger.Late - late
	s.deeds.add(l.deeds)
}

func (d *deeds) add(o deeds) {
	d.rolls += o.rolls
	d.compactions += o.compactions
	d.checkpoints += o.checkpoints
	d.reopens += o.reopens
}

// merge takes in a campaign.
func (s *stats) merge(c *stats) {
	s.campaigns++
	s.cuts += c.cuts
	s.survived += c.survived
	s.verified += c.verified
	s.syncAcked += c.syncAcked
	s.batchAcked += c.batchAcked
	s.late += c.late
	s.batchLost += c.batchLost
	s.span = max(s.span, c.span)
	s.slow += c.slow
	s.long += c.long
	s.deeds.add(c.deeds)
	s.findings = append(s.findings, c.findings...)
	if s.ends == nil {
		s.ends, s.rungs = map[string]int{}, map[string]int{}
	}
	for k, n := range c.ends {
		s.ends[k] += n
	}
	for k, n := range c.rungs {
		s.rungs[k] += n
	}
}

// print prints what was tried.
func (s *stats) print(out io.Writer) {
	fmt.Fprintf(out, "%s: %d cuts in %d campaigns, %.0f s; %d canaries survived (those cuts are not counted)\n",
		s.fs, s.cuts, s.campaigns, s.took.Seconds(), s.survived)
	fmt.Fprintf(out, "  ends of lives: %s; %d logs verified\n", list(s.ends), s.verified)
	fmt.Fprintf(out, "  acknowledged: %d sync, %d batched, and %d after a cut began (not counted)\n", s.syncAcked, s.batchAcked, s.late)
	fmt.Fprintf(out, "  batched writes lost within the bound: %d, up to %.2f s before the last, %d times more than MaxDelay; %d cuts of lives longer than %v\n",
		s.batchLost, s.span.Seconds(), s.slow, s.long, ledger.Bound)
	fmt.Fprintf(out, "  meanwhile: %d segments sealed, %d compacted, %d checkpoints, %d reopens; opens: %s\n",
		s.deeds.rolls, s.deeds.compactions, s.deeds.checkpoints, s.deeds.reopens, list(s.rungs))
	fmt.Fprintf(out, "  lost or wrong: %d\n", len(s.findings))
}

func list(m map[string]int) (s string) {
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%s %d", k, m[k])
	}
	return s
}
