package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fastrestart/frs/internal/ledger"
)

// patience is how long a child may take for one thing.
const patience = 2 * time.Minute

// listener hears what a child says, and keeps the ledger.
type listener struct {
	started, ready, closed, failed chan struct{} // closed once that was said

	mu      sync.Mutex // for everything below, and the ledger while the child lives
	ledger  *ledger.Ledger
	found   ledger.Contents
	shown   bool // found is complete
	rung    string
	session string // settings of the last
	did     *tally
	err     error
}

func newListener(l *ledger.Ledger) *listener {
	return &listener{
		started: make(chan struct{}),
		ready:   make(chan struct{}),
		closed:  make(chan struct{}),
		failed:  make(chan struct{}),
		ledger:  l,
		found:   ledger.Contents{},
		did:     newTally(),
	}
}

// listen reads to the end of the pipe.
func (h *listener) listen(pipe io.Reader) error {
	return ledger.Listen(pipe, func(line string) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if err := h.hear(line); err != nil && h.err == nil {
			h.err = fmt.Errorf("the child: %w, in line %.40q", err, line)
			close(h.failed)
		}
		return nil
	})
}

// hear takes in one line.
// REQUIRES: h.mu is held.
func (h *listener) hear(line string) (err error) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case ledger.WordIssue:
		var w ledger.Write
		if w, err = ledger.ParseWrite(rest); err == nil {
			h.ledger.Issue(w)
		}
	case ledger.WordAck:
		var a ledger.Answer
		if a, err = ledger.ParseAnswer(rest); err == nil {
			err = h.ledger.Answer(a)
		}
	case wordRefused:
		var version uint64
		if _, err = fmt.Sscan(rest, &version); err == nil {
			err = h.ledger.Refuse(version)
		}
	case wordDurable:
		var lsn uint64
		_, err = fmt.Sscan(rest, &lsn)
		h.ledger.Promise(lsn)
	case wordHave:
		err = h.have(rest)
	case wordDid:
		h.did, err = parseTally(rest)
	case wordSession:
		h.session = rest
	default:
		err = h.milestone(word, rest)
	}
	return err
}

func (h *listener) have(rest string) error {
	var f ledger.Found
	var expires int64
	var key string
	if _, err := fmt.Sscan(rest, &f.Version, &expires, &key); err != nil {
		return err
	}
	if expires != 0 {
		f.Expires = time.Unix(0, expires)
	}
	h.found[key] = f
	return nil
}

// milestone hears the words that are said once.
func (h *listener) milestone(word, rest string) error {
	switch word {
	case wordStart:
		close(h.started)
	case wordShown:
		h.shown, h.rung = true, rest
	case wordReady:
		close(h.ready)
	case wordClosed:
		h.ledger.Closed()
		close(h.closed)
	case wordError:
		text, err := strconv.Unquote(rest)
		if err != nil {
			text = rest
		}
		return errors.New(text)
	default:
		return errors.New("unknown word")
	}
	return nil
}

// judge checks what the child found against what there must be. If that is
// durable now, it is where the ledger goes on from.
func (h *listener) judge() (v ledger.Verdict) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.shown {
		return v
	}
	v = h.ledger.Check(h.found)
	select {
	case <-h.ready:
		h.ledger.Settle(h.found)
	default: // it may still lose what was not durable
		v.Lost, v.Span = 0, 0
	}
	return v
}

// life is a running child.
type life struct {
	*listener
	plan     plan
	cmd      *exec.Cmd
	commands io.WriteCloser
	stderr   bytes.Buffer // read it once the child has ended
	heard    chan error   // what ended the listening
	settled  bool         // what it found was judged
}

// childCommand is the first argument of a child.
const childCommand = "child"

// startLife starts a child on the store.
func startLife(p plan, l *ledger.Ledger) (*life, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	arg, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	c := &life{listener: newListener(l), plan: p, cmd: exec.Command(self, childCommand, string(arg)), heard: make(chan error, 1)}
	c.cmd.Stderr = &c.stderr
	if c.commands, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	pipe, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { c.heard <- c.listen(pipe) }()
	return c, nil
}

// await waits until something was said.
func (c *life) await(ctx context.Context, said <-chan struct{}, what string) error {
	select {
	case <-said:
		return nil
	case <-c.failed:
		return c.err
	case err := <-c.heard:
		c.heard <- err // for kill
		select {
		case <-said:
			return nil
		default:
			return errors.Join(fmt.Errorf("the child ended before it was %s", what), err, c.err)
		}
	case <-time.After(patience):
		c.askStacks()
		return fmt.Errorf("the child hangs: it is not %s after %v", what, patience)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// askStacks has a child that hangs print its goroutines, and end, where the
// system can do that.
func (c *life) askStacks() {
	if c.cmd.Process.Signal(syscall.SIGQUIT) != nil {
		return
	}
	select {
	case err := <-c.heard:
		c.heard <- err
	case <-time.After(10 * time.Second):
	}
}

// pass lets time pass, and less if the child fails or does more than it was to.
func (c *life) pass(ctx context.Context, d time.Duration, said <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-said:
		return nil
	case <-c.failed:
		return c.err
	case err := <-c.heard:
		c.heard <- err
		return errors.Join(errors.New("the child ended by itself"), err, c.err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell gives the child a command.
func (c *life) tell(command string) error {
	_, err := io.WriteString(c.commands, command+"\n")
	return err
}

// kill ends the child, if it lives, and hears its last words. Afterwards nobody
// else uses the ledger.
func (c *life) kill() error {
	_ = c.cmd.Process.Kill()
	err := <-c.heard
	_ = c.cmd.Wait() // "signal: killed"
	return errors.Join(err, c.err)
}

// childMain is the child process.
func childMain(arg string) int {
	var p plan
	err := json.Unmarshal([]byte(arg), &p)
	if err == nil {
		c := &child{plan: p, said: os.Stdout}
		if err = c.run(os.Stdin); err != nil {
			err = c.say("%s %q\n", wordError, err.Error())
		}
	}
	if err != nil { // nobody listens
		fmt.Fprintln(os.Stderr, err)
	}
	return 0 // the parent knows
}
