package main

import (
	"errors"
	"fmt"

	"github.com/fastrestart/frs/internal/inspect"
)

var verifyVerb = verb{
	name: "verify", args: "DIR", nargs: 1,
	summary: "read every byte and check every checksum",
	help: `Reads the whole log and checks every checksum, every record, every operation
of every batch, and that no part of the log is missing. Lists all damage, with
file, offset and LSN. A torn tail is what an unclean stop leaves; it is shown
and is no damage.

Then the images of the index: every checksum and entry, and that each entry is
what the log says where the entry says it is. Damage of an image costs the next
restart time, and no data; it is marked so ("time_only").

  --json   print one object; its "damage" is a list, empty if all is well

Exit status: 0 all is well, 1 damage, 2 could not look.
`,
	example: `  $ frsinspect verify /var/lib/app/data
  4 segments, 201.3 MiB, 1048576 records (1048576 puts, 0 deletes)
  log from LSN 4096 to 211087360, durable to 211087360 at least
  image 000000000c94f000-00000003.img  LSN 211087000 to 211087360  1048576 entries in 512 parts  45.1 MiB  fits
  ok
`,
	define: func(c *command) func() error { return c.verify },
}

func (c *command) verify() error {
	l, err := openLog(c.args[0])
	if err != nil {
		return err
	}
	step, end := c.progress("verify")
	rep, err := l.Verify(c.ctx, step)
	end()
	if err := errors.Join(err, l.Close()); err != nil {
		return err
	}
	if c.json {
		if err := c.printJSON(rep); err != nil {
			return err
		}
	} else {
		c.printReport(rep)
	}
	return damageOf(rep)
}

// damageOf sums a report up as an error.
func damageOf(rep inspect.Report) error {
	ofImages := 0
	for _, d := range rep.Damage {
		if d.TimeOnly {
			ofImages++
		}
	}
	switch n := len(rep.Damage); {
	case n == 0:
		return nil
	case n == ofImages:
		return fmt.Errorf("%w: %d places, only in images of the index: nothing is lost, a restart takes longer", errDamage, n)
	default:
		return fmt.Errorf("%w: %d places", errDamage, n)
	}
}

func (c *command) printReport(rep inspect.Report) {
	n := rep.Counts
	c.printf("%d segments, %s, %d records (%d puts, %d deletes, %d batches, %d clears, %d region changes)\n",
		len(rep.Segments), size(rep.Bytes), n.Frames-n.Internal, n.Puts, n.Deletes, n.Batches, n.Clears, n.Creates+n.Alters+n.Drops)
	c.printTail(rep.Stat)
	c.printImages(rep.Images)
	for _, d := range rep.Damage {
		c.printDamage(d)
	}
	if len(rep.Damage) == 0 {
		c.printf("ok\n")
	}
}

// printTail prints where the log ends, and what its end looks like.
func (c *command) printTail(s inspect.Stat) {
	if s.Refused != nil {
		c.printf("the log does not open\n")
		return
	}
	c.printf("log from LSN %d to %d, durable to %d at least\n", s.First, s.End, s.ProvenDurable)
	if s.TornBytes > 0 {
		c.printf("torn tail: %d bytes behind the end, possibly acknowledged; no damage\n", s.TornBytes)
	}
	for _, w := range s.Warnings {
		c.printf("warning: %s\n", w)
	}
}
