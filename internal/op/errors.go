package op

import (
	"errors"
	"fmt"
)

// ErrCorrupt says that bytes are not an operation any version of this package
// writes. It is wrapped by [*DecodeError].
var ErrCorrupt = errors.New("op: corrupt")

// ErrUnsupported says that an operation uses a kind, a flag or an option that
// this version does not know: a later version wrote it. Nothing is damaged;
// open the store with that version. It is wrapped by [*DecodeError].
var ErrUnsupported = errors.New("op: written by a later version")

// DecodeError says what is wrong with an encoded operation, and where.
type DecodeError struct {
	// Kind is the operation's first byte; 0 if there was none, and where region
	// options were decoded by themselves.
	Kind Kind
	// Offset is the position of the bad field, in bytes from the first byte
	// of what was decoded.
	Offset int
	// Reason names the field and the problem.
	Reason string
	// Err is [ErrCorrupt] or [ErrUnsupported].
	Err error
}

// Error implements error.
func (e *DecodeError) Error() string {
	what := ""
	if e.Kind != 0 {
		what = fmt.Sprintf("%v (kind %d), ", e.Kind, uint8(e.Kind))
	}
	return fmt.Sprintf("%v: %sbyte %d: %s", e.Err, what, e.Offset, e.Reason)
}

// Unwrap returns [ErrCorrupt] or [ErrUnsupported].
func (e *DecodeError) Unwrap() error { return e.Err }
