package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/fastrestart/frs/internal/child"
)

// life is a running child.
type life struct {
	*child.Process
	*listener
	plan    plan
	settled bool // what it found was judged
}

// startLife starts a child on the store.
func startLife(p plan, l *books) (*life, error) {
	c := &life{listener: newListener(l), plan: p}
	var err error
	c.Process, err = child.Start(p, c.listener.Listener)
	return c, err
}

// kill ends the child, if it lives, and hears its last words. Afterwards nobody
// else uses the ledger.
func (c *life) kill() error {
	c.seal()
	return c.Kill()
}

// childMain is the child process.
func childMain(arg string) int {
	err := child.Live(arg, func(p plan, said child.Voice, commands io.Reader) error {
		w := &writer{plan: p, said: said}
		return w.run(commands)
	})
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
