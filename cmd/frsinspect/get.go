package main

import (
	"errors"
	"fmt"

	"github.com/fastrestart/frs/internal/inspect"
	"github.com/fastrestart/frs/restart"
)

var getVerb = verb{
	name: "get", args: "DIR REGION KEY", nargs: 3,
	summary: "print the value of a key",
	help: `Prints the value as it is, without a newline behind it.

  --hex    KEY is hexadecimal
  --json   print one object, with the position of the entry's record and when
           its time is over, if ever; a key or value that is not UTF-8 is
           printed as {"base64": "..."}

Exit status: 0 found, 1 damage, 2 could not look, 3 no such region or key.
`,
	example: `  $ frsinspect get --json /var/lib/app/data positions ship-17
  {"region":"positions","key":"ship-17","value":"54.32,10.14","lsn":4160}
`,
	define: func(c *command) func() error {
		c.flags.BoolVar(&c.hex, "hex", false, "")
		return c.get
	},
}

// entryLine is an entry as JSON; keys says no more than region and key.
type entryLine struct {
	Region  string      `json:"region"`
	Key     data        `json:"key"`
	Value   data        `json:"value,omitzero"`
	LSN     inspect.LSN `json:"lsn,omitzero"`
	Expires string      `json:"expires,omitzero"`
}

func (c *command) get() error {
	key, err := c.bytes(c.args[2])
	if err != nil {
		return err
	}
	st, r, err := c.openRegion(c.args[0], c.args[1])
	if err != nil {
		return err
	}
	e, err := r.Entry(key)
	if errors.Is(err, restart.ErrNotFound) {
		err = fmt.Errorf("%w: key %s in region %q", errNotFound, c.text(key), r.Name())
	}
	if err := errors.Join(err, st.Close()); err != nil {
		return err
	}
	if c.json {
		line := entryLine{Region: r.Name(), Key: e.Key, Value: e.Value, LSN: e.LSN}
		if !e.Expires.IsZero() {
			line.Expires = instant(e.Expires.UnixNano())
		}
		return c.printJSON(line)
	}
	_, err = c.out.Write(e.Value)
	return err
}
