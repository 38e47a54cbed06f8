package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/fastrestart/frs/internal/inspect"
	"github.com/fastrestart/frs/restart"
)

// errDamage is returned by a verb that has printed the damage already.
var errDamage = errors.New("the store is damaged")

// errNotFound is returned by a verb whose result is that something is not there.
var errNotFound = errors.New("not found")

// exitStatus says how the program ends.
func exitStatus(err error) int {
	switch {
	case err == nil:
		return exitFine
	case errors.Is(err, errDamage), errors.Is(err, restart.ErrCorrupt):
		return exitDamage
	case errors.Is(err, errNotFound), errors.Is(err, restart.ErrNotFound), errors.Is(err, restart.ErrNoRegion):
		return exitNotFound
	}
	return exitNoLook
}

// fail prints err and returns the exit status.
func fail(s streams, err error) int {
	var usage *usageError
	switch {
	case err == nil:
	case errors.As(err, &usage):
		name := ""
		if usage.verb != nil {
			name = " " + usage.verb.name
		}
		_, _ = fmt.Fprintf(s.err, "frsinspect: %s\nSee: frsinspect help%s\n", usage.msg, name)
	case errors.Is(err, context.Canceled):
		_, _ = fmt.Fprintln(s.err, "frsinspect: interrupted")
	default:
		_, _ = fmt.Fprintf(s.err, "frsinspect: %v\n", err)
	}
	return exitStatus(err)
}

// failure is what --json prints in place of a result.
type failure struct {
	Error  string          `json:"error"`
	Status int             `json:"status"`
	Damage *inspect.Damage `json:"damage,omitempty"`
}

// reportJSON prints an error as JSON, unless the verb has printed a result
// that says it already.
func (c *command) reportJSON(err error) {
	var usage *usageError
	if !c.json || errors.Is(err, errDamage) || errors.As(err, &usage) {
		return
	}
	_ = c.printJSON(failure{Error: err.Error(), Status: exitStatus(err), Damage: inspect.DamageOf(err)})
}
