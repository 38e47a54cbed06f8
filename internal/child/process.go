package child

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// command is the first argument of a child.
const command = "child"

// Process is a running child. It is for one goroutine.
type Process struct {
	cmd      *exec.Cmd
	listener *Listener
	commands io.Writer
	stderr   bytes.Buffer  // complete once the child has ended
	ended    chan struct{} // closed when there is nothing more to hear
	heard    error         // what ended the listening, once ended is closed
	patience time.Duration // how long the child may take for one thing
}

// Start runs this program again with a plan, for [Plan] and [Live] to find, and
// has a listener hear it.
func Start(plan any, l *Listener) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	arg, err := json.Marshal(plan)
	if err != nil {
		return nil, err
	}
	p := &Process{
		cmd: exec.Command(self, command, string(arg)), listener: l,
		ended: make(chan struct{}), patience: 2 * time.Minute,
	}
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = dieWithParent()
	if p.commands, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	pipe, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.heard = l.Listen(pipe)
		close(p.ended)
	}()
	return p, nil
}

// errOver is what wait returns when the time is over.
var errOver = errors.New("the time is over")

// wait waits for d, or until something is said.
func (p *Process) wait(ctx context.Context, d time.Duration, said <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-said:
		return nil
	case <-p.listener.Failed():
		return p.listener.Err()
	case <-p.ended:
		if isClosed(said) { // its last word
			return nil
		}
		return errors.Join(errors.New("the child ended by itself"), p.heard, p.listener.Err())
	case <-timer.C:
		return errOver
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Await waits until something is said. It is an error if the child ends or fails
// before, or says nothing for two minutes; then it is asked for the stacks of
// its goroutines, see [Process.Stderr]. What is heard stands in the error.
func (p *Process) Await(ctx context.Context, said <-chan struct{}, what string) error {
	err := p.wait(ctx, p.patience, said)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errOver):
		p.askStacks()
		return fmt.Errorf("the child hangs: it is not %s after %v", what, p.patience)
	}
	return fmt.Errorf("before it was %s: %w", what, err)
}

// Pass lets time pass: d, or less if something is said. It is an error if the
// child ends or fails meanwhile.
func (p *Process) Pass(ctx context.Context, d time.Duration, said <-chan struct{}) error {
	if err := p.wait(ctx, d, said); !errors.Is(err, errOver) {
		return err
	}
	return nil
}

// askStacks has a child that hangs print its goroutines, and end, where the
// system can do that.
func (p *Process) askStacks() {
	if p.cmd.Process.Signal(syscall.SIGQUIT) != nil {
		return
	}
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
	}
}

// Tell gives the child a command.
func (p *Process) Tell(command string) error {
	_, err := io.WriteString(p.commands, command+"\n")
	return err
}

// Kill ends the child, if it lives, and hears its last words: afterwards the
// listener is not called any more. The error says what kept from hearing them;
// how the child ended is none. It must be called, and once.
func (p *Process) Kill() error {
	_ = p.cmd.Process.Kill()
	<-p.ended
	_ = p.cmd.Wait() // "signal: killed"
	return p.heard
}

// Stderr returns the end of what the child printed to its standard error, most
// bytes at the most.
// REQUIRES: Kill has returned.
func (p *Process) Stderr(most int) string {
	s := p.stderr.String()
	return s[max(0, len(s)-most):]
}
