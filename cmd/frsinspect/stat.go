package main

import (
	"encoding/hex"
	"errors"

	"github.com/fastrestart/frs/internal/inspect"
	"github.com/fastrestart/frs/restart"
)

var statVerb = verb{
	name: "stat", args: "DIR", nargs: 1,
	summary: "what the store consists of",
	help: `Shows the log's files and positions, and the regions with their options and
numbers of entries. Counting the entries reads the whole log.

  --quick   the log only: reads headers and the newest file
  --json    print one object

Exit status: 0 fine, 1 damage, 2 could not look.
`,
	example: `  $ frsinspect stat /var/lib/app/data
  store 3f1c..., generation 1, lineage 90ab...
  log from LSN 4096 to 211087360, durable to 211087360 at least
  segment 0000000000001000-00000001.seg  LSN 4096 to 67108864  64.0 MiB
  ...
  recovery by full scan (...): 1048576 entries in 1 regions from ...
  region positions  1048576 entries  LocalRestartable  batched
`,
	define: func(c *command) func() error {
		quick := c.flags.Bool("quick", false, "")
		return func() error { return c.stat(*quick) }
	},
}

// storeStat is what stat prints as JSON.
type storeStat struct {
	inspect.Stat
	// The following are of stores only, the last two not with --quick.
	Generation uint32                  `json:"generation,omitzero"`
	StoreID    string                  `json:"store_id,omitzero"`
	Lineage    string                  `json:"lineage,omitzero"`
	Recovery   *restart.RecoveryReport `json:"recovery,omitzero"`
	Regions    []regionStat            `json:"regions,omitzero"`
}

type regionStat struct {
	Name       string `json:"name"`
	Entries    int    `json:"entries"`
	Strategy   string `json:"strategy"`
	Durability string `json:"durability"`
	Ordered    bool   `json:"ordered"`
}

func (c *command) stat(quick bool) error {
	l, err := openLog(c.args[0])
	if err != nil {
		return err
	}
	s := storeStat{Stat: l.Stat(), Generation: l.layout.Generation}
	if s.Generation != 0 {
		s.StoreID, s.Lineage = hex.EncodeToString(l.layout.StoreID[:]), hex.EncodeToString(l.layout.Lineage[:])
	}
	if err := l.Close(); err != nil {
		return err
	}
	if !quick && s.Refused == nil {
		if err := c.openedStat(&s); err != nil {
			return err
		}
	}
	if c.json {
		if err := c.printJSON(s); err != nil {
			return err
		}
	} else {
		c.printStat(s)
	}
	if s.Refused != nil {
		return errDamage
	}
	return nil
}

// openedStat adds what only opening the store tells; nothing to a log alone.
func (c *command) openedStat(s *storeStat) error {
	st, err := c.openStore(c.args[0])
	if errors.Is(err, restart.ErrNoStore) {
		return nil
	}
	if err != nil {
		return err
	}
	rep := st.Recovery()
	s.Recovery = &rep
	for _, name := range st.Regions() {
		r, err := st.Region(name, restart.RegionOptions{})
		if err != nil {
			return errors.Join(err, st.Close())
		}
		o := r.Options()
		s.Regions = append(s.Regions, regionStat{name, r.Len(), o.Strategy.String(), o.Durability.String(), o.Ordered})
	}
	return st.Close()
}

func (c *command) printStat(s storeStat) {
	if s.Generation != 0 {
		c.printf("store %s, generation %d, lineage %s\n", s.StoreID, s.Generation, s.Lineage)
	}
	c.printTail(s.Stat)
	if !s.HighTime.IsZero() {
		c.printf("latest store time %s\n", instant(s.HighTime.UnixNano()))
	}
	for _, seg := range s.Segments {
		c.printf("segment %s  LSN %d to %d  %s\n", seg.Name, seg.Base, seg.End, size(seg.Bytes))
	}
	if s.Recovery != nil {
		c.printf("recovery by %v\n", *s.Recovery)
	}
	for _, r := range s.Regions {
		ordered := ""
		if r.Ordered {
			ordered = "  ordered"
		}
		c.printf("region %s  %d entries  %s  %s%s\n", r.Name, r.Entries, r.Strategy, r.Durability, ordered)
	}
	if s.Refused != nil {
		c.printDamage(*s.Refused)
	}
}
