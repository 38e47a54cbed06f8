package main

import (
	"bytes"
	"errors"

	"github.com/fastrestart/frs/restart"
)

var keysVerb = verb{
	name: "keys", args: "DIR REGION", nargs: 2,
	summary: "list the keys of a region in order",
	help: `Prints the keys of a region, one a line, in the order of their bytes. A key
that is not plain text is quoted as in Go. Keys whose time is over are left out.

  --prefix P   only keys that start with P
  --from K     only keys >= K
  --to K       only keys < K
  --limit N    at most N keys
  --hex        keys are given and printed in hexadecimal
  --json       one object a line

Exit status: 0 fine, 1 damage, 2 could not look, 3 no such region.
`,
	example: `  $ frsinspect keys --prefix ship- --limit 2 /var/lib/app/data positions
  ship-1
  ship-17
`,
	define: func(c *command) func() error {
		var k keys
		c.flags.StringVar(&k.prefix, "prefix", "", "")
		c.flags.StringVar(&k.from, "from", "", "")
		c.flags.StringVar(&k.to, "to", "", "")
		c.flags.IntVar(&k.limit, "limit", 0, "")
		c.flags.BoolVar(&c.hex, "hex", false, "")
		return func() error { return k.run(c) }
	},
}

// keys holds the flags of the verb.
type keys struct {
	prefix, from, to string
	limit            int
}

func (k *keys) run(c *command) error {
	from, to, prefix, err := k.bounds(c)
	if err != nil {
		return err
	}
	st, r, err := c.openRegion(c.args[0], c.args[1])
	if err != nil {
		return err
	}
	return errors.Join(k.print(c, r, from, to, prefix), st.Close())
}

// bounds returns where the scan starts and ends; nil: with the first or last key.
func (k *keys) bounds(c *command) (from, to, prefix []byte, err error) {
	for _, b := range []struct {
		arg string
		to  *[]byte
	}{{k.from, &from}, {k.to, &to}, {k.prefix, &prefix}} {
		if b.arg == "" {
			continue
		}
		if *b.to, err = c.bytes(b.arg); err != nil {
			return nil, nil, nil, err
		}
	}
	if bytes.Compare(prefix, from) > 0 {
		from = prefix
	}
	return from, to, prefix, nil
}

func (k *keys) print(c *command, r *restart.Region, from, to, prefix []byte) error {
	lines := 0
	for key, err := range r.Keys(from, to) {
		if err := errors.Join(err, c.ctx.Err()); err != nil {
			return err
		}
		if !bytes.HasPrefix(key, prefix) {
			return nil // from is not below the prefix, so this key is behind it
		}
		if live, err := r.Has(key); err != nil {
			return err
		} else if !live {
			continue // its time is over
		}
		if err := c.emitKey(r.Name(), key); err != nil {
			return err
		}
		if lines++; lines == k.limit {
			return nil
		}
	}
	return nil
}

func (c *command) emitKey(region string, key []byte) error {
	if c.json {
		return c.printJSON(entryLine{Region: region, Key: key})
	}
	c.printf("%s\n", c.text(key))
	return nil
}
