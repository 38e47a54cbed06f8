package main

import (
	"errors"
	"fmt"

	"github.com/fastrestart/frs/internal/inspect"
)

var dumpVerb = verb{
	name: "dump", args: "DIR", nargs: 1,
	summary: "print the records of the log",
	help: `Prints what the log says, one record a line, oldest first, superseded records
included; the operations of a batch follow it as LSN/NUMBER. Damage is printed
where it is found, and the dump goes on behind it with the next file.

  --from LSN     records that end behind LSN
  --to LSN       records that start before LSN
  --region ID    records of this region only
  --limit N      at most N lines
  --values       the values too, not only their sizes
  --hex          keys and values in hexadecimal
  --json         one object a line

Exit status: 0 fine, 1 damage in what was printed, 2 could not look.
`,
	example: `  $ frsinspect dump --limit 3 /var/lib/app/data
  4096 region-create region=1 name=positions
  4160 put region=1 key=ship-17 value=256B
  4480 batch operations=2
`,
	define: func(c *command) func() error {
		var d dump
		c.flags.Uint64Var(&d.from, "from", 0, "")
		c.flags.Uint64Var(&d.to, "to", 0, "")
		c.flags.Uint64Var(&d.region, "region", 0, "")
		c.flags.IntVar(&d.limit, "limit", 0, "")
		c.flags.BoolVar(&d.values, "values", false, "")
		c.flags.BoolVar(&c.hex, "hex", false, "")
		return func() error { return d.run(c) }
	},
}

// dump holds the flags of the verb.
type dump struct {
	from, to, region uint64
	limit            int
	values           bool
	lines            int
}

func (d *dump) run(c *command) error {
	l, err := openLog(c.args[0])
	if err != nil {
		return err
	}
	return errors.Join(d.print(c, l.Log), l.Close())
}

func (d *dump) print(c *command, l *inspect.Log) error {
	r := inspect.Range{From: inspect.LSN(d.from), To: inspect.LSN(d.to)}
	damaged := 0
	for rec, err := range l.Records(c.ctx, r, nil) {
		if bad := inspect.DamageOf(err); bad != nil {
			damaged++
			if err := c.emitDamage(*bad); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if !d.wants(rec) {
			continue
		}
		if err := d.emit(c, rec); err != nil {
			return err
		}
		if d.lines++; d.lines == d.limit {
			break
		}
	}
	if damaged > 0 {
		return fmt.Errorf("%w: %d places", errDamage, damaged)
	}
	return nil
}

// wants reports whether the flags ask for a record.
func (d *dump) wants(rec inspect.Record) bool {
	return d.region == 0 || uint64(rec.Op.Region) == d.region
}

func (d *dump) emit(c *command, rec inspect.Record) error {
	line := lineOf(rec, d.values)
	if c.json {
		return c.printJSON(line)
	}
	c.printRecord(line)
	return nil
}

func (c *command) emitDamage(bad inspect.Damage) error {
	if c.json {
		return c.printJSON(struct {
			Damage inspect.Damage `json:"damage"`
		}{bad})
	}
	c.printDamage(bad)
	return nil
}
