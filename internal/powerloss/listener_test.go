package main

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fastrestart/frs/internal/child"
	"github.com/fastrestart/frs/internal/ledger"
	"github.com/fastrestart/frs/restart"
)

// hear has a ledger hear lines, "cut" standing for the begin of the end.
func hear(t *testing.T, lines string) *listener {
	t.Helper()
	h := newListener(newBooks())
	for line := range strings.SplitSeq(lines, "\n") {
		switch line = strings.TrimSpace(line); line {
		case "":
		case "cut":
			h.seal()
		default:
			if err := say(h, line); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
	}
	return h
}

func say(h *listener, line string) error {
	word, rest, _ := strings.Cut(line, " ")
	return h.hear(word, rest)
}

// TestSettle: what an open has shown and made durable stays.
func TestSettle(t *testing.T) {
	h := hear(t, "issue 1 0 0 +left/a\nack 1 100 b 0 0\nissue 2 0 0 +left/a\nack 2 200 b 0 0\ncut")
	next := newListener(h.ledger)
	for _, line := range []string{"start", "have 1 left/a", "shown full scan"} {
		if err := say(next, line); err != nil {
			t.Fatal(err)
		}
	}
	if v := next.judge(); len(v.Findings) > 0 || h.ledger.Ops() != 2 {
		t.Fatalf("shown and not durable: findings %q, %d operations remembered, want 2", v.Findings, h.ledger.Ops())
	}
	if err := say(next, "ready"); err != nil {
		t.Fatal(err)
	}
	if v := next.judge(); len(v.Findings) > 0 || v.Lost != 1 {
		t.Fatalf("findings %q, %d lost, want none and 1", v.Findings, v.Lost)
	}
	for version, ok := range map[uint64]bool{0: false, 1: true, 2: false} {
		found := ledger.Contents{}
		if version > 0 {
			found["left/a"] = ledger.Found{Version: version}
		}
		if v := h.ledger.Check(found); (len(v.Findings) == 0) != ok {
			t.Errorf("version %d after the open showed 1: findings %q", version, v.Findings)
		}
	}
}

// TestLinear: the second opinion sees a lost sync write.
func TestLinear(t *testing.T) {
	const lines = "issue 1 0 0 +left/a\nack 1 100 s 0 0\nissue 2 0 0 +left/a\ncut"
	for version, ok := range map[uint64]bool{0: false, 1: true, 2: true} {
		found := ledger.Contents{}
		if version > 0 {
			found["left/a"] = ledger.Found{Version: version}
		}
		if err := hear(t, lines).ledger.linear.check(found); (err == nil) != ok {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

// TestWriter runs children in this process, each to its close.
func TestWriter(t *testing.T) {
	l := newBooks()
	dir := t.TempDir()
	for n, p := range []plan{
		{SegmentSize: 64 << 10, Compact: true, Checkpoint: true, Session: 40},
		{SegmentSize: 64 << 10, Batched: true, MaxDelay: 10 * time.Millisecond, Compression: restart.CompressS2},
		{At: closed},
	} {
		p.Dir, p.Seed, p.Version = dir, uint64(n+1), l.Highest
		if findings := live(t, newListener(l), p, 500); len(findings) > 0 {
			t.Fatalf("child %d: %q", n, findings)
		}
	}
	if l.Acked < 1500 {
		t.Errorf("%d writes acknowledged, want 1500", l.Acked)
	}
}

// live runs a child until it has acknowledged n writes and closed. What it
// found is judged before it writes.
func live(t *testing.T, h *listener, p plan, n int) (findings []string) {
	t.Helper()
	pipe, said := io.Pipe()
	commands, tell := io.Pipe()
	acks := &ackCounter{Writer: said, n: n, then: func() { _, _ = io.WriteString(tell, child.Close+"\n") }}
	w := &writer{plan: p, said: child.Voice{Writer: acks}}
	go func() { _ = said.CloseWithError(w.run(commands)) }()
	go func() {
		select {
		case <-h.Ready:
			findings = h.judge().Findings
			_, _ = io.WriteString(tell, child.Go+"\n")
		case <-h.Failed():
		}
	}()
	if err := h.Listen(pipe); err != nil || h.Err() != nil {
		t.Fatal(err, h.Err())
	}
	select {
	case <-h.Closed:
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
	if strings.HasPrefix(string(line), ledger.WordAck) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.n--; c.n == 0 {
			go c.then()
		}
	}
	return n, err
}
