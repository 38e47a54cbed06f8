package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Exit statuses. A torn tail after an unclean stop is fine.
const (
	exitFine     = 0
	exitDamage   = 1
	exitNoLook   = 2 // in use, missing, unreadable, of a later version, wrong usage
	exitNotFound = 3
)

// streams are what a command writes to. out gets results only; err gets
// messages, and progress if it is a terminal.
type streams struct {
	out, err io.Writer
	terminal bool
}

// command is one call of a verb.
type command struct {
	ctx   context.Context
	flags *flag.FlagSet
	json  bool
	hex   bool // keys are given and printed in hexadecimal
	args  []string
	out   *bufio.Writer
	streams
}

// verb is one thing the program does.
type verb struct {
	name    string
	args    string // as in the usage line
	nargs   int
	summary string // one line
	help    string
	example string
	// define adds the verb's own flags and returns what to run once they are
	// parsed.
	define func(c *command) func() error
}

// verbs in the order of the help text.
func verbs() []verb { return []verb{statVerb, verifyVerb, dumpVerb, getVerb, keysVerb} }

// usageError is a call that cannot be understood.
type usageError struct {
	verb *verb // nil: before one was found
	msg  string
}

func (e *usageError) Error() string { return e.msg }

// run runs the program with its arguments and returns the exit status.
func run(ctx context.Context, args []string, s streams) int {
	if len(args) == 0 {
		_, _ = io.WriteString(s.err, overview())
		return exitNoLook
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return help(args[1:], s)
	}
	v := findVerb(args[0])
	if v == nil {
		return fail(s, &usageError{msg: fmt.Sprintf("unknown verb %q", args[0])})
	}
	c := &command{ctx: ctx, streams: s, out: bufio.NewWriter(s.out)}
	err := c.run(v, args[1:])
	if errors.Is(err, flag.ErrHelp) {
		_, _ = io.WriteString(s.out, v.usage())
		return exitFine
	}
	if err != nil {
		c.reportJSON(err)
	}
	if ferr := c.out.Flush(); err == nil && ferr != nil {
		err = fmt.Errorf("write result: %w", ferr)
	}
	return fail(s, err)
}

// run parses the arguments, flags before, between or behind the others, and runs the verb.
func (c *command) run(v *verb, args []string) error {
	c.flags = flag.NewFlagSet(v.name, flag.ContinueOnError)
	c.flags.SetOutput(io.Discard)
	c.flags.BoolVar(&c.json, "json", false, "")
	work := v.define(c)
	for len(args) > 0 {
		if err := c.flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			return err
		} else if err != nil {
			return &usageError{v, err.Error()}
		}
		rest := c.flags.Args()
		if n := len(args) - len(rest); n > 0 && args[n-1] == "--" {
			c.args = append(c.args, rest...)
			break
		}
		if len(rest) == 0 {
			break
		}
		c.args, args = append(c.args, rest[0]), rest[1:]
	}
	if len(c.args) != v.nargs {
		return &usageError{v, fmt.Sprintf("%s wants %s", v.name, v.args)}
	}
	return work()
}

func findVerb(name string) *verb {
	for _, v := range verbs() {
		if v.name == name {
			return &v
		}
	}
	return nil
}

func help(args []string, s streams) int {
	if len(args) == 0 {
		_, _ = io.WriteString(s.out, overview())
		return exitFine
	}
	v := findVerb(args[0])
	if v == nil {
		return fail(s, &usageError{msg: fmt.Sprintf("unknown verb %q", args[0])})
	}
	_, _ = io.WriteString(s.out, v.usage())
	return exitFine
}

// overview is the help text of the program.
func overview() string {
	var b strings.Builder
	b.WriteString("frsinspect looks at a store that is not in use. It never writes a file.\n\nUsage:\n\n")
	for _, v := range verbs() {
		fmt.Fprintf(&b, "  frsinspect %-8s%-16s %s\n", v.name, v.args, v.summary)
	}
	b.WriteString(`
DIR is a store's directory, or that of a log alone. Every verb takes --json.
frsinspect help VERB says more about one, with an example.

Exit status: 0 fine (a torn tail after an unclean stop is fine, and shown),
1 damage, 2 could not look (in use, missing, a later version, wrong usage),
3 not found.
`)
	return b.String()
}

// usage is the help text of one verb.
func (v *verb) usage() string {
	return fmt.Sprintf("Usage: frsinspect %s [flags] %s\n\n%s\nExample:\n\n%s", v.name, v.args, v.help, v.example)
}
