package ledger

import (
	"fmt"
	"strings"
	"time"
)

// The words of the pipe that a ledger is kept from, one line each:
//
//	issue <version> <issued> <ttl> <key>...        before the store is called
//	ack <version> <lsn> <durability> <at> <returned>   after it has returned
//
// Times are in nanoseconds. A key is "+key" if it is put, "-key" if it is
// deleted, "!prefix" for all that start like this. A line in one write of at
// most 4096 bytes never mixes with another.
const (
	WordIssue = "issue"
	WordAck   = "ack"
)

// Line is what the pipe says before the write.
func (w Write) Line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d %d %d", WordIssue, w.Version, nanoseconds(w.Issued), w.TTL)
	for _, key := range w.Puts {
		b.WriteString(" +" + key)
	}
	for _, key := range w.Dels {
		b.WriteString(" -" + key)
	}
	if w.Clears != "" {
		b.WriteString(" !" + w.Clears)
	}
	return b.String() + "\n"
}

// ParseWrite is the inverse of Line, without the word.
func ParseWrite(rest string) (w Write, err error) {
	f := strings.Fields(rest)
	if len(f) < 4 {
		return w, fmt.Errorf("bad issue %q", rest)
	}
	var issued int64
	if _, err := fmt.Sscan(strings.Join(f[:3], " "), &w.Version, &issued, (*int64)(&w.TTL)); err != nil {
		return w, fmt.Errorf("bad issue %q: %w", rest, err)
	}
	w.Issued = moment(issued)
	for _, key := range f[3:] {
		switch key[0] {
		case '+':
			w.Puts = append(w.Puts, key[1:])
		case '-':
			w.Dels = append(w.Dels, key[1:])
		case '!':
			w.Clears = key[1:]
		default:
			return w, fmt.Errorf("bad issue %q: key %q", rest, key)
		}
	}
	return w, nil
}

// Line is what the pipe says after the write.
func (a Answer) Line() string {
	return fmt.Sprintf("%s %d %d %c %d %d\n", WordAck, a.Version, a.LSN, a.Durability, a.At, nanoseconds(a.Returned))
}

// ParseAnswer is the inverse of Line, without the word.
func ParseAnswer(rest string) (a Answer, err error) {
	var returned int64
	var how string
	_, err = fmt.Sscan(rest, &a.Version, &a.LSN, &how, (*int64)(&a.At), &returned)
	if err == nil && (len(how) != 1 || !strings.Contains("sbn", how)) {
		err = fmt.Errorf("durability %q", how)
	}
	if err != nil {
		return a, fmt.Errorf("bad ack %q: %w", rest, err)
	}
	a.Durability, a.Returned = Durability(how[0]), moment(returned)
	return a, nil
}

// Keeper is told of writes, as a [Ledger] is.
type Keeper interface {
	Issue(Write)
	Answer(Answer) error
}

// Hear passes a line of the pipe on to k: its first word, and the rest without
// the space. known is false if the word is none of [WordIssue] and [WordAck].
func Hear(k Keeper, word, rest string) (known bool, err error) {
	switch word {
	case WordIssue:
		var w Write
		if w, err = ParseWrite(rest); err == nil {
			k.Issue(w)
		}
	case WordAck:
		var a Answer
		if a, err = ParseAnswer(rest); err == nil {
			err = k.Answer(a)
		}
	default:
		return false, nil
	}
	return true, err
}

func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(ns int64) (t time.Time) {
	if ns != 0 {
		t = time.Unix(0, ns)
	}
	return t
}
