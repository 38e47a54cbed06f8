package ledger

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// hear has a ledger hear lines: those of its own, "durable LSN", "refused
// VERSION", "closed", and "cut" for the begin of the end.
func hear(t *testing.T, lines string) *Ledger {
	t.Helper()
	l := New()
	for line := range strings.SplitSeq(lines, "\n") {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if err := l.hear(word, rest); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	return l
}

func (l *Ledger) hear(word, rest string) error {
	var n uint64
	switch word {
	case "":
	case "cut":
		l.Seal()
	case "closed":
		l.Closed()
	case "durable":
		_, err := fmt.Sscan(rest, &n)
		l.Promise(n)
		return err
	case "refused":
		_, err := fmt.Sscan(rest, &n)
		if err != nil {
			return err
		}
		return l.Refuse(n)
	default:
		known, err := Hear(l, word, rest)
		if !known {
			return fmt.Errorf("unknown word")
		}
		return err
	}
	return nil
}

// found are contents that never expire.
func found(versions map[string]uint64) Contents {
	c := Contents{}
	for key, v := range versions {
		c[key] = Found{Version: v}
	}
	return c
}

func TestLedger(t *testing.T) {
	const two = `
		issue 1 0 0 +left/a
		ack 1 100 b 1000000 0
		issue 2 0 0 +left/b
		ack 2 200 b 2000000 0
	`
	const deletes = `
		issue 1 0 0 +left/a
		ack 1 100 b 1000000 0
		issue 2 0 0 -left/a
		ack 2 200 b 2000000 0
		issue 3 0 0 +left/b
		ack 3 300 b 3000000 0
		issue 4 0 0 +left/a
		ack 4 400 b 4000000 0
		issue 5 0 0 -left/a
		ack 5 500 b 5000000 0
	`
	const twoApart = "issue 1 0 0 +left/a\nack 1 100 b 0 0\nissue 2 0 0 +left/b\nack 2 200 b 3000001000 0"
	const clearing = two + `
		issue 3 0 0 +right/a
		ack 3 300 s 3000000 0
		issue 4 0 0 !left/
	`
	const cleared = clearing + "ack 4 400 b 4000000 0"
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
		{"a sync write returned", two + "issue 3 0 0 +left/c\nack 3 300 s 3000000 0", contents{a: 1, b: 2}, "lost", 1},
		{"a sync write returned after the cut", two + "cut\nissue 3 0 0 +left/c\nack 3 300 s 3000000 0", contents{a: 1, b: 2}, "", 0},
		{"in doubt, lost", two + "issue 3 0 0 +left/a", contents{a: 1, b: 2}, "", 0},
		{"in doubt, there", two + "issue 3 0 0 +left/a", contents{a: 3, b: 2}, "", 0},
		{"in doubt, there, and what was acknowledged before is not", two + "issue 3 0 0 +left/a", contents{a: 3}, "not a prefix", 0},
		{"in doubt, and a later one is there", "issue 1 0 0 +left/a\nissue 2 0 0 +left/b\nack 2 200 b 1000 0", contents{b: 2}, "", 0},
		{"a version of another key", two, contents{a: 2, b: 2}, "left/a holds version 2", 0},
		{"a key that nobody wrote", two, contents{a: 1, b: 2, "left/c": 1}, "never written", 0},
		{"lost within the bound", "issue 1 0 0 +left/a\nack 1 100 b 0 0\nissue 2 0 0 +left/b\nack 2 200 b 3000000000 0", nil, "", 2},
		{"lost beyond the bound", "issue 1 0 0 +left/a\nack 1 100 b 0 0\nissue 2 0 0 +left/b\nack 2 200 b 3000001000 0", nil, "the bound", 2},
		{"half of a batch", "issue 1 0 0 +left/a +right/a\nack 1 100 b 0 0", contents{a: 1}, "not a prefix", 0},
		{"half of a batch in doubt", "issue 1 0 0 +left/a +right/a", contents{a: 1}, "half of a batch", 0},
		{"deleted twice, all there", deletes, contents{b: 3}, "", 0},
		{"deleted twice, up to the first", deletes, nil, "", 3},
		{"deleted twice, up to between", deletes, contents{b: 3, a: 4}, "", 1},
		{"never durable, and lost beyond the bound", strings.ReplaceAll(twoApart, " b ", " n "), nil, "", 2},
		{"refused", two + "issue 3 0 0 +left/a\nrefused 3", contents{a: 1, b: 2}, "", 0},
		{"refused, and there", two + "issue 3 0 0 +left/a\nrefused 3", contents{a: 3, b: 2}, "left/a holds version 3", 0},
		{"cleared", cleared, contents{"right/a": 3}, "", 0},
		{"cleared, and lost", cleared, contents{a: 1, b: 2, "right/a": 3}, "", 1},
		{"cleared, and one is there", cleared, contents{b: 2, "right/a": 3}, "not a prefix", 0},
		{"a clear in doubt", clearing, contents{"right/a": 3}, "", 0},
		{"a clear in doubt, lost", clearing, contents{a: 1, b: 2, "right/a": 3}, "", 0},
		{"half of a clear in doubt", clearing, contents{b: 2, "right/a": 3}, "not a prefix", 0},
		{"a clear in doubt, and what was durable before is gone", clearing, contents{a: 1, b: 2}, "lost", 1},
		{"a batch in doubt is lost, and what it would have deleted", two + "issue 3 0 0 +left/c -left/b", contents{a: 1}, "", 1},
		{"half of a batch in doubt is a deletion", two + "durable 201\nissue 3 0 0 +left/c -left/b", contents{a: 1, b: 2, "left/c": 3}, "half of a batch", 0},
		{"the deletion is lost", deletes, contents{a: 1, b: 3}, "not a prefix", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := hear(t, tt.lines).Check(found(tt.found))
			got := strings.Join(v.Findings, "; ")
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("findings %q, want %q", got, tt.want)
			}
			if v.Lost != tt.lost {
				t.Errorf("%d acknowledged writes lost, want %d", v.Lost, tt.lost)
			}
		})
	}
}

// TestExpiry: an entry may be gone when its time is over and not before, and its
// time is the one it was given.
func TestExpiry(t *testing.T) {
	now := time.Now()
	const hour = time.Hour
	for _, tt := range []struct {
		name     string
		issued   time.Time
		ttl      time.Duration
		returned time.Time
		found    Found
		right    bool
	}{
		{"there", now, hour, now.Add(2), Found{1, now.Add(hour + 1)}, true},
		{"gone too early", now, hour, now, Found{}, false},
		{"gone, its time is over", now.Add(-2 * hour), hour, now, Found{}, true},
		{"its time began anew", now.Add(-time.Minute), hour, now.Add(-time.Minute), Found{1, now.Add(hour)}, false},
		{"its time is too short", now, hour, now, Found{1, now.Add(hour - 1)}, false},
		{"its time was lost", now, hour, now, Found{Version: 1}, false},
		{"it has a time that it was not given", now, 0, now, Found{1, now.Add(hour)}, false},
		{"in doubt, there", now, hour, time.Time{}, Found{1, now.Add(2 * hour)}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := New()
			l.Issue(Write{Version: 1, Puts: []string{"a/k"}, Issued: tt.issued, TTL: tt.ttl})
			c := Contents{}
			if tt.found.Version != 0 {
				c["a/k"] = tt.found
			}
			if !tt.returned.IsZero() {
				if err := l.Answer(Answer{Version: 1, LSN: 100, Durability: Durable, Returned: tt.returned}); err != nil {
					t.Fatal(err)
				}
			}
			if v := l.Check(c); (len(v.Findings) == 0) != tt.right {
				t.Errorf("findings %q", v.Findings)
			}
			l.Settle(c) // what was found stays, its time as well
			if v := l.Check(c); len(v.Findings) > 0 {
				t.Errorf("settled: findings %q", v.Findings)
			}
			if later := (Found{1, tt.found.Expires.Add(1)}); tt.found.Version != 0 {
				if v := l.Check(Contents{"a/k": later}); len(v.Findings) == 0 {
					t.Error("settled, and it expires later")
				}
			}
		})
	}
}

// TestLines: what is said is what is heard.
func TestLines(t *testing.T) {
	w := Write{Version: 7, Puts: []string{"a/1", "a/2"}, Dels: []string{"b/1"}, Clears: "c/", Issued: time.Unix(5, 6), TTL: 9}
	got, err := ParseWrite(strings.TrimPrefix(strings.TrimSuffix(w.Line(), "\n"), WordIssue+" "))
	if err != nil || fmt.Sprint(got) != fmt.Sprint(w) {
		t.Errorf("%v, %v, want %v", got, err, w)
	}
	a := Answer{Version: 7, LSN: 8, Durability: Never, At: 9, Returned: time.Unix(1, 2)}
	heard, err := ParseAnswer(strings.TrimPrefix(strings.TrimSuffix(a.Line(), "\n"), WordAck+" "))
	if err != nil || heard != a {
		t.Errorf("%v, %v, want %v", heard, err, a)
	}
	for _, bad := range []string{"", "1 2 3", "x 0 0 +a", "1 0 0 a"} {
		if _, err := ParseWrite(bad); err == nil {
			t.Errorf("issue %q is heard", bad)
		}
	}
	for _, bad := range []string{"", "1 2 x 0 0", "1 2 sb 0 0", "1 2 s 0"} {
		if _, err := ParseAnswer(bad); err == nil {
			t.Errorf("ack %q is heard", bad)
		}
	}
}

// TestNonsense: answers that cannot be are errors.
func TestNonsense(t *testing.T) {
	for _, lines := range []string{
		"ack 1 100 s 0 0",
		"refused 1",
		"issue 1 0 0 +a/k\nack 1 100 s 0 0\nack 1 100 s 0 0",
		"issue 1 0 0 +a/k\nack 1 100 s 0 0\nissue 2 0 0 +a/k\nack 2 100 s 0 0",
	} {
		l, failed := New(), false
		for line := range strings.SplitSeq(lines, "\n") {
			word, rest, _ := strings.Cut(line, " ")
			failed = l.hear(word, rest) != nil
		}
		if !failed {
			t.Errorf("%q is believed", lines)
		}
	}
}

// TestValues: a value is of its key and version, in every byte.
func TestValues(t *testing.T) {
	var size Values = func(*rand.Rand) int { return 100 }
	v := size.Make("a/k", 3)
	if version, err := size.Version("a/k", v); err != nil || version != 3 {
		t.Errorf("%d, %v", version, err)
	}
	if _, err := size.Version("a/l", v); err == nil {
		t.Error("it is of another key")
	}
	for i := range v {
		v[i] ^= 1
		if _, err := size.Version("a/k", v); err == nil {
			t.Errorf("byte %d is changed", i)
		}
		v[i] ^= 1
	}
	if _, err := size.Version("a/k", v[:7]); err == nil {
		t.Error("it is short")
	}
}
