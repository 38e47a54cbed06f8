package fsync

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrPoisoned is matched by the errors of everything that is asked of a log
// after a write or sync of it failed for good. The kernel may have dropped the
// bytes and call their pages clean, so no later sync can be believed: nothing
// is acknowledged any more. Reads go on. Opening the log again recovers what
// can be proven.
var ErrPoisoned = errors.New("fsync: poisoned by an earlier failure")

// Poison keeps the first failure. The zero value is healthy. It may be used
// concurrently.
type Poison struct{ p atomic.Pointer[poisonError] }

type poisonError struct{ cause error }

func (e *poisonError) Error() string        { return fmt.Sprintf("%v: %v", ErrPoisoned, e.cause) }
func (e *poisonError) Is(target error) bool { return target == ErrPoisoned }
func (e *poisonError) Unwrap() error        { return e.cause }

// Set records a failure and reports whether it was the first.
func (p *Poison) Set(cause error) bool {
	return p.p.CompareAndSwap(nil, &poisonError{cause})
}

// Err returns nil, or an error that matches ErrPoisoned and wraps the first
// cause.
func (p *Poison) Err() error {
	if e := p.p.Load(); e != nil {
		return e
	}
	return nil
}
