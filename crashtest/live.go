package crashtest

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/fastrestart/frs/vfs"
)

// life is one process: it opens the system, does what the journal has left,
// and closes it.
type life[S, Op any] struct {
	c       *Config[S, Op]
	fs      vfs.FS
	j       *journal[Op]
	opened  func(S) error // nil: nothing
	closing func()        // nil: nothing
}

// outcome is how a life went.
type outcome struct{ open, work, close error }

func (o outcome) err() error { return errors.Join(o.open, o.work, o.close) }

// panicked returns the panic among the errors, if any.
func (o outcome) panicked() error {
	var p *PanicError
	if errors.As(o.err(), &p) {
		return p
	}
	return nil
}

func (l *life[S, Op]) run() (o outcome) {
	var s S
	if err := guard(func() (err error) { s, err = l.c.Open(l.fs, l.c.Dir); return err }); err != nil {
		return outcome{open: fmt.Errorf("open: %w", err)}
	}
	if l.opened != nil {
		o.work = guard(func() error { return l.opened(s) })
	}
	if o.work == nil {
		o.work = l.clients(s)
	}
	if l.closing != nil {
		l.closing()
	}
	if err := guard(func() error { return l.c.Close(s) }); err != nil {
		o.close = fmt.Errorf("close: %w", err)
	}
	return o
}

func (l *life[S, Op]) clients(s S) (err error) {
	errs := make(chan error, l.c.Clients)
	for range l.c.Clients {
		go func() { errs <- l.client(s) }()
	}
	for range l.c.Clients {
		err = errors.Join(err, <-errs)
	}
	return err
}

// client issues operations until none is left. It returns the first error, and
// a panic in any case.
func (l *life[S, Op]) client(s S) (first error) {
	for i := l.j.issue(); i >= 0; i = l.j.issue() {
		err := guard(func() error { return l.c.Apply(s, l.j.ops[i]) })
		l.j.answer(i, err)
		if p := (*PanicError)(nil); errors.As(err, &p) {
			return err
		}
		if err != nil && first == nil {
			first = fmt.Errorf("operation %d (%s): %w", i, brief(l.j.ops[i]), err)
		}
	}
	return first
}

// leaks says which files a system left open.
func leaks(by string, open []string) error {
	if len(open) == 0 {
		return nil
	}
	return fmt.Errorf("left open by %s: %s", by, strings.Join(open, ", "))
}

// guard turns a panic of fn into an error.
func guard(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: string(debug.Stack())}
		}
	}()
	return fn()
}

// PanicError is what a panic of the system under test or its checker becomes.
type PanicError struct {
	Value any
	Stack string
}

// Error includes the stack.
func (p *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", p.Value, p.Stack) }

// brief prints an operation, its middle left out if it is long.
func brief(op any) string {
	const limit = 160
	s := fmt.Sprintf("%+v", op)
	if len(s) > limit {
		s = fmt.Sprintf("%s...(%d bytes)...%s", s[:limit/2], len(s)-limit, s[len(s)-limit/2:])
	}
	return s
}
