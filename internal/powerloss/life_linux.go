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
	"syscall"
	"time"
)

// patience is how long a child may take for one thing.
const patience = 2 * time.Minute

// life is a running child.
type life struct {
	*listener
	plan     plan
	cmd      *exec.Cmd
	commands io.Writer
	stderr   bytes.Buffer // read it once the child has ended
	heard    chan error   // what ended the listening
	settled  bool         // what it found was judged
}

// startLife starts a child on the store.
func startLife(p plan, l *books) (*life, error) {
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
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
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
		_ = c.cmd.Process.Signal(syscall.SIGQUIT) // prints its goroutines
		return fmt.Errorf("the child hangs: it is not %s after %v", what, patience)
	case <-ctx.Done():
		return ctx.Err()
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
	c.seal()
	_ = c.cmd.Process.Kill()
	err := <-c.heard
	_ = c.cmd.Wait() // "signal: killed"
	return err
}

// childMain is the child process.
func childMain(arg string) int {
	var p plan
	err := json.Unmarshal([]byte(arg), &p)
	if err == nil {
		w := &writer{plan: p, said: os.Stdout}
		err = w.run(os.Stdin)
		if err != nil {
			_ = w.say("%s %q\n", wordError, err.Error())
		}
	}
	if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EROFS) {
		// The file system may be shut down under it: to be killed, not to end.
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	return 0
}
