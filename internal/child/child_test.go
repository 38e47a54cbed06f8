package child

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be a child.
func TestMain(m *testing.M) {
	plan, ok := Plan(os.Args[1:])
	if !ok {
		os.Exit(m.Run())
	}
	if err := Live(plan, deed.live); err != nil {
		os.Exit(1)
	}
}

// deed is what a child of a test does once it has started.
type deed struct {
	Do   string
	With string // what to say, or where to call
}

func (d deed) live(said Voice, commands io.Reader) error {
	if err := said.Say(WordStart); err != nil {
		return err
	}
	switch d.Do {
	case "work":
		told := make(chan struct{})
		if err := said.Ready(commands, func() { close(told) }); err != nil {
			return err
		}
		<-told
		return said.Say(WordClosed)
	case "fail":
		return errors.New("a reason\nof two lines")
	case "crash":
		var none *deed
		return errors.New(none.Do)
	case "say":
		_, err := io.WriteString(said, d.With)
		_, _ = io.Copy(io.Discard, commands)
		return err
	case "hang":
		_, err := io.Copy(io.Discard, commands)
		return err
	case "call":
		c, err := net.Dial("tcp", d.With)
		if err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return err
	case "have a child":
		p, err := Start(deed{Do: "call", With: d.With}, only())
		if err != nil {
			return err
		}
		<-p.ended
	}
	return nil
}

// only hears nothing but milestones.
func only() *Listener {
	var l *Listener
	l = NewListener(func(word, rest string) error { return l.Milestone(word, rest) })
	return l
}

// start starts a child, and kills it when the test ends.
func start(t *testing.T, d deed) (*Process, *Listener) {
	t.Helper()
	l := only()
	p, err := Start(d, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			kill(t, p)
		}
	})
	if err := p.Await(t.Context(), l.Started, "started"); err != nil {
		t.Fatal(err)
	}
	return p, l
}

func kill(t *testing.T, p *Process) {
	t.Helper()
	if err := p.Kill(); err != nil {
		t.Errorf("kill: %v", err)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want %q in it", err, part)
		}
	}
}

func TestWork(t *testing.T) {
	p, l := start(t, deed{Do: "work"})
	if err := p.Await(t.Context(), l.Ready, "ready"); err != nil || !l.IsReady() {
		t.Fatalf("ready %t: %v", l.IsReady(), err)
	}
	if err := p.Tell(Go); err != nil {
		t.Fatal(err)
	}
	if err := p.Pass(t.Context(), time.Millisecond, l.Closed); err != nil || isClosed(l.Closed) {
		t.Fatalf("closed %t before it was told to: %v", isClosed(l.Closed), err)
	}
	if err := p.Tell(Close); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	for range 50 { // what was said counts, not that the child has ended
		if err := errors.Join(p.Await(t.Context(), l.Closed, "closed"), p.Pass(t.Context(), time.Hour, l.Closed)); err != nil {
			t.Fatal(err)
		}
	}
	kill(t, p)
	if l.Err() != nil || !p.cmd.ProcessState.Success() {
		t.Errorf("%v, %v, want a good end", l.Err(), p.cmd.ProcessState)
	}
}

func TestEndsEarly(t *testing.T) {
	p, l := start(t, deed{Do: "end"})
	wantError(t, p.Await(t.Context(), l.Ready, "ready"), "before it was ready", "ended by itself")
	wantError(t, p.Pass(t.Context(), time.Hour, l.Ready), "ended by itself")
	if l.IsReady() || l.Err() != nil {
		t.Errorf("ready %t, failed with %v, want neither", l.IsReady(), l.Err())
	}
}

func TestFails(t *testing.T) {
	p, l := start(t, deed{Do: "fail"})
	wantError(t, p.Await(t.Context(), l.Ready, "ready"), "a reason\nof two lines")
	kill(t, p)
	wantError(t, l.Err(), "a reason\nof two lines")
}

func TestCrashes(t *testing.T) {
	p, l := start(t, deed{Do: "crash"})
	wantError(t, p.Pass(t.Context(), time.Hour, l.Ready), "ended by itself")
	kill(t, p)
	if s := p.Stderr(1 << 20); !strings.Contains(s, "nil pointer") || p.Stderr(10) != s[len(s)-10:] {
		t.Errorf("stderr %q, its end %q", s, p.Stderr(10))
	}
}

func TestHangs(t *testing.T) {
	p, l := start(t, deed{Do: "hang"})
	if err := p.Pass(t.Context(), time.Millisecond, l.Ready); err != nil {
		t.Fatal(err)
	}
	p.patience = time.Millisecond
	wantError(t, p.Await(t.Context(), l.Ready, "ready"), "hangs: it is not ready after 1ms")
	kill(t, p)
	if s := p.Stderr(64 << 10); runtime.GOOS != "windows" && !strings.Contains(s, "goroutine ") {
		t.Errorf("no stacks in %q", s)
	}
}

func TestIsKilled(t *testing.T) {
	p, l := start(t, deed{Do: "hang"})
	kill(t, p)
	if p.cmd.ProcessState.Success() || l.Err() != nil {
		t.Errorf("%v, failed with %v; want it killed", p.cmd.ProcessState, l.Err())
	}
}

func TestContextEnds(t *testing.T) {
	p, l := start(t, deed{Do: "hang"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range []error{p.Await(ctx, l.Ready, "ready"), p.Pass(ctx, time.Hour, l.Ready)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
	}
}

// TestGarbage: what a child says that it should not.
func TestGarbage(t *testing.T) {
	for says, want := range map[string]string{
		"\n":                              "unknown word",
		"\x00\x01\n":                      `unknown word, in line "\x00\x01"`,
		"stray words\nready\n":            `unknown word, in line "stray words"`,
		"start\n":                         "says start twice",
		"error not quoted\n":              "not quoted",
		strings.Repeat("x", 1<<16) + "\n": `unknown word, in line "` + strings.Repeat("x", 80) + `"`,
	} {
		p, l := start(t, deed{Do: "say", With: says})
		<-l.Failed()
		wantError(t, p.Pass(t.Context(), time.Hour, nil), want)
		kill(t, p)
		wantError(t, l.Err(), want)
	}
}

// TestHalfALine: what the end cut short was not said; an error ends nothing.
func TestHalfALine(t *testing.T) {
	var heard []string
	l := NewListener(func(word, rest string) error {
		heard = append(heard, word+"|"+rest)
		return errors.New(word)
	})
	if err := l.Listen(strings.NewReader("one\ntwo words more\nthr")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"one|", "two|words more"}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
	wantError(t, l.Err(), `the child: one, in line "one"`)
	broken := errors.New("broken")
	if err := l.Listen(io.MultiReader(strings.NewReader("three"), failing{broken})); err != broken {
		t.Errorf("%v, want what kept from reading", err)
	}
}

// failing is a reader that fails.
type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// TestPlan: what is a child, and what is not.
func TestPlan(t *testing.T) {
	for _, args := range [][]string{nil, {command}, {"other", "{}"}, {command, "{}", "-more"}} {
		if plan, ok := Plan(args); ok {
			t.Errorf("%q is a child with the plan %q", args, plan)
		}
	}
	if plan, ok := Plan([]string{command, "{}"}); !ok || plan != "{}" {
		t.Errorf("plan %q, %t", plan, ok)
	}
}

// TestParentGone: a child that is not told to go.
func TestParentGone(t *testing.T) {
	told := func() { t.Error("told to close") }
	wantError(t, Voice{io.Discard}.Ready(strings.NewReader(""), told), "the parent is gone")
	broken := errors.New("broken")
	if err := (Voice{io.Discard}).Ready(failing{broken}, told); !errors.Is(err, broken) {
		t.Errorf("%v, want what kept from reading", err)
	}
}
