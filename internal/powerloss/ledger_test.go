package main

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fastrestart/frs/restart"
)

// hear has a ledger hear lines, "cut" standing for the begin of the end.
func hear(t *testing.T, lines string) *listener {
	t.Helper()
	h := newListener(newLedger())
	for line := range strings.SplitSeq(lines, "\n") {
		switch line = strings.TrimSpace(line); line {
		case "":
		case "cut":
			h.seal()
		default:
			if err := h.hear(line); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
	}
	return h
}

func TestLedger(t *testing.T) {
	const two = `
		issue 1 p left/a
		ack 1 100 b 1000
		issue 2 p left/b
		ack 2 200 b 2000
	`
	const deletes = `
		issue 1 p left/a
		ack 1 100 b 1000
		issue 2 d left/a
		ack 2 200 b 2000
		issue 3 p left/b
		ack 3 300 b 3000
		issue 4 p left/a
		ack 4 400 b 4000
		issue 5 d left/a
		ack 5 500 b 5000
	`
	a, b := "left/a", "left/b"
	type contents = map[string]uint64
	tests := []struct {
		name  string
		lines string
		found contents
		want  string // part of the finding; empty: none
		lost  int
	}{
		{"everything is there", two, contents{a: 1, b: 2}, "", 0},
		{"the second is not durable", two, contents{a: 1}, "", 1},
		{"neither is durable", two, nil, "", 2},
		{"the first is lost, the second is there", two, contents{b: 2}, "not a prefix", 0},
		{"the log was durable between them", two + "durable 101", contents{a: 1}, "", 1},
		{"the log was durable behind them", two + "durable 201", contents{a: 1}, "lost", 1},
		{"durable, said after the cut", two + "cut\ndurable 201", contents{a: 1}, "", 1},
		{"closed", two + "closed", nil, "lost", 2},
		{"a sync write returned", two + "issue 3 p left/c\nack 3 300 s 3000", contents{a: 1, b: 2}, "lost", 1},
		{"a sync write returned after the cut", two + "cut\nissue 3 p left/c\nack 3 300 s 3000", contents{a: 1, b: 2}, "", 0},
		{"in doubt, lost", two + "issue 3 p left/a", contents{a: 1, b: 2}, "", 0},
		{"in doubt, there", two + "issue 3 p left/a", contents{a: 3, b: 2}, "", 0},
		{"in doubt, there, and what was acknowledged before is not", two + "issue 3 p left/a", contents{a: 3}, "not a prefix", 0},
		{"in doubt, and a later one is there", "issue 1 p left/a\nissue 2 p left/b\nack 2 200 b 1", contents{b: 2}, "", 0},
		{"a version of another key", two, contents{a: 2, b: 2}, "left/a holds version 2", 0},
		{"a key that nobody wrote", two, contents{a: 1, b: 2, "left/c": 1}, "never written", 0},
		{"lost within the bound", "issue 1 p left/a\nack 1 100 b 0\nissue 2 p left/b\nack 2 200 b 3000000", nil, "", 2},
		{"lost beyond the bound", "issue 1 p left/a\nack 1 100 b 0\nissue 2 p left/b\nack 2 200 b 3000001", nil, "the bound", 2},
		{"half of a batch", "issue 1 p left/a right/a\nack 1 100 b 0", contents{a: 1}, "not a prefix", 0},
		{"half of a batch in doubt", "issue 1 p left/a right/a", contents{a: 1}, "half of a batch", 0},
		{"deleted twice, all there", deletes, contents{b: 3}, "", 0},
		{"deleted twice, up to the first", deletes, nil, "", 3},
		{"deleted twice, up to between", deletes, contents{b: 3, a: 4}, "", 1},
		{"the deletion is lost", deletes, contents{a: 1, b: 3}, "not a prefix", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := hear(t, tt.lines).ledger.check(tt.found)
			got := strings.Join(v.findings, "; ")
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("findings %q, want %q", got, tt.want)
			}
			if v.lost != tt.lost {
				t.Errorf("%d acknowledged writes lost, want %d", v.lost, tt.lost)
			}
		})
	}
}

// TestSettle: what an open has shown and made durable stays.
func TestSettle(t *testing.T) {
	h := hear(t, "issue 1 p left/a\nack 1 100 b 0\nissue 2 p left/a\nack 2 200 b 0\ncut")
	next := newListener(h.ledger)
	for _, line := range []string{"start", "have 1 left/a", "shown full scan"} {
		if err := next.hear(line); err != nil {
			t.Fatal(err)
		}
	}
	if v := next.judge(); len(v.findings) > 0 || len(h.ledger.ops) != 2 {
		t.Fatalf("shown and not durable: findings %q, %d operations remembered, want 2", v.findings, len(h.ledger.ops))
	}
	if err := next.hear("ready"); err != nil {
		t.Fatal(err)
	}
	if v := next.judge(); len(v.findings) > 0 || v.lost != 1 {
		t.Fatalf("findings %q, %d lost, want none and 1", v.findings, v.lost)
	}
	for version, ok := range map[uint64]bool{0: false, 1: true, 2: false} {
		found := map[string]uint64{}
		if version > 0 {
			found["left/a"] = version
		}
		if v := h.ledger.check(found); (len(v.findings) == 0) != ok {
			t.Errorf("version %d after the open showed 1: findings %q", version, v.findings)
		}
	}
}

// TestLinear: the second opinion sees a lost sync write.
func TestLinear(t *testing.T) {
	const lines = "issue 1 p left/a\nack 1 100 s 0\nissue 2 p left/a\ncut"
	for version, ok := range map[uint64]bool{0: false, 1: true, 2: true} {
		found := map[string]uint64{}
		if version > 0 {
			found["left/a"] = version
		}
		if err := hear(t, lines).ledger.linear(found); (err == nil) != ok {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

// TestWriter runs children in this process, each to its close.
func TestWriter(t *testing.T) {
	l := newLedger()
	dir := t.TempDir()
	for n, p := range []plan{
		{SegmentSize: 64 << 10, Compact: true, Checkpoint: true, Session: 40},
		{SegmentSize: 64 << 10, Batched: true, MaxDelay: 10 * time.Millisecond, Compression: restart.CompressS2},
		{At: closed},
	} {
		p.Dir, p.Seed, p.Version = dir, uint64(n+1), l.highest
		if findings := live(t, newListener(l), p, 500); len(findings) > 0 {
			t.Fatalf("child %d: %q", n, findings)
		}
	}
	if l.acked < 1500 {
		t.Errorf("%d writes acknowledged, want 1500", l.acked)
	}
}

// live runs a child until it has acknowledged n writes and closed. What it
// found is judged before it writes.
func live(t *testing.T, h *listener, p plan, n int) (findings []string) {
	t.Helper()
	pipe, said := io.Pipe()
	commands, tell := io.Pipe()
	w := &writer{plan: p, said: &ackCounter{Writer: said, n: n, then: func() { _, _ = io.WriteString(tell, "close\n") }}}
	go func() { _ = said.CloseWithError(w.run(commands)) }()
	go func() {
		select {
		case <-h.ready:
			findings = h.judge().findings
			_, _ = io.WriteString(tell, "go\n")
		case <-h.failed:
		}
	}()
	if err := h.listen(pipe); err != nil || h.err != nil {
		t.Fatal(err, h.err)
	}
	select {
	case <-h.closed:
	default:
		t.Fatal("the child has not closed its store")
	}
	return findings
}

// ackCounter passes lines on, and calls then once after the n-th that
// acknowledges a write.
type ackCounter struct {
	io.Writer
	then func()
	mu   sync.Mutex
	n    int
}

func (c *ackCounter) Write(line []byte) (int, error) {
	n, err := c.Writer.Write(line)
	if strings.HasPrefix(string(line), wordAck) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.n--; c.n == 0 {
			go c.then()
		}
	}
	return n, err
}
