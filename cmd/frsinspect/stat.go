package main

import (
	"cmp"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/fastrestart/frs/internal/inspect"
	"github.com/fastrestart/frs/restart"
)

var statVerb = verb{
	name: "stat", args: "DIR", nargs: 1,
	summary: "what the store consists of, and how it would restart",
	help: `Shows the log's files and positions, the images of the index and whether they
fit the log, how the next restart would go, and the regions. It is quick at any
size: it reads headers, the end of the log, and the lists in the images. The
regions are those of the newest image that fits; where the log goes on behind
it, the numbers of entries are of then, and marked so.

The time predicted is that from the start of Open to the first read: what opening
log and image took just now, and the log to be replayed at an assumed speed.

  --exact   open the store, replay the log as a restart does, and count
  --quick   the log only
  --json    print one object

A store of up to 64 MiB without an image is opened anyway.

Exit status: 0 fine, 1 damage of the log, 2 could not look. A damaged image is
no more than shown; verify looks for that.
`,
	example: `  $ frsinspect stat /var/lib/app/data
  store 3f1c..., generation 1, lineage 90ab...
  log from LSN 4096 to 211087360, durable to 211087360 at least
  segment 0000000000001000-00000001.seg  LSN 4096 to 67108864  64.0 MiB
  ...
  image 000000000c94f000-00000003.img  LSN 211087000 to 211087360  1048576 entries in 512 parts  45.1 MiB  fits
  next restart: clean image, 360 B to replay, 512 parts to read as they are used; first read after about 3.2 ms
  ...
  region positions  1048576 entries  LocalRestartable  batched
`,
	define: func(c *command) func() error {
		quick := c.flags.Bool("quick", false, "")
		exact := c.flags.Bool("exact", false, "")
		return func() error {
			if *quick && *exact {
				return &usageError{msg: "--quick and --exact exclude each other"}
			}
			return c.stat(*quick, *exact)
		}
	},
}

// openAnyway is how much log is read without being asked.
const openAnyway = 64 << 20

// storeStat is what stat prints as JSON.
type storeStat struct {
	inspect.Stat
	// The following are of stores only, the images and what is behind them not
	// with --quick.
	Generation uint32                  `json:"generation,omitzero"`
	StoreID    string                  `json:"store_id,omitzero"`
	Lineage    string                  `json:"lineage,omitzero"`
	Images     []inspect.Image         `json:"images,omitzero"` // the newest first
	Restart    *prediction             `json:"restart,omitzero"`
	Recovery   *restart.RecoveryReport `json:"recovery,omitzero"` // if it was opened
	Regions    []regionStat            `json:"regions,omitzero"`
}

type regionStat struct {
	Name    string `json:"name"`
	Entries int64  `json:"entries"` // those whose time is over included until they are swept
	// Exact means that the store would have as many. Otherwise they are those
	// of an image, and the log behind it was not read.
	Exact      bool   `json:"exact"`
	Strategy   string `json:"strategy"`
	Durability string `json:"durability"`
	Ordered    bool   `json:"ordered"`
}

func (c *command) stat(quick, exact bool) error {
	start := time.Now()
	l, err := openLog(c.args[0])
	if err != nil {
		return err
	}
	opened := time.Since(start)
	s := storeStat{Stat: l.Stat(), Generation: l.layout.Generation}
	if s.Generation != 0 {
		s.StoreID, s.Lineage = hex.EncodeToString(l.layout.StoreID[:]), hex.EncodeToString(l.layout.Lineage[:])
		if !quick {
			err = s.lookAtImages(l.Log, opened)
		}
	}
	if err := errors.Join(err, l.Close()); err != nil {
		return err
	}
	if p := s.Restart; exact && s.Refused == nil || p != nil && p.Image == "" && p.Replay <= openAnyway {
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

// lookAtImages adds the images, what they say of a restart, and the regions of
// the one that it would use.
func (s *storeStat) lookAtImages(l *inspect.Log, opened time.Duration) (err error) {
	if s.Images, err = l.Images(); err != nil {
		return err
	}
	if s.Restart, err = predict(l, s.Stat, s.Images, opened); err != nil || s.Restart == nil {
		return err
	}
	for _, im := range s.Images {
		if im.Name != s.Restart.Image {
			continue
		}
		for _, r := range im.Regions {
			s.Regions = append(s.Regions, regionStat{
				r.Name, r.Entries, s.Restart.exact,
				restart.Strategy(r.Strategy).String(), restart.Durability(r.Durability).String(), r.Ordered,
			})
		}
	}
	slices.SortFunc(s.Regions, func(a, b regionStat) int { return cmp.Compare(a.Name, b.Name) })
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
	s.Recovery, s.Regions = &rep, nil
	for _, name := range st.Regions() {
		r, err := st.Region(name, restart.RegionOptions{})
		if err != nil {
			return errors.Join(err, st.Close())
		}
		o := r.Options()
		s.Regions = append(s.Regions, regionStat{name, int64(r.Len()), true, o.Strategy.String(), o.Durability.String(), o.Ordered})
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
	c.printImages(s.Images)
	if s.Restart != nil {
		c.printPrediction(s.Restart)
	}
	if s.Recovery != nil {
		c.printf("recovery by %v\n", *s.Recovery)
	}
	c.printRegions(s)
	if s.Restart != nil && s.Restart.Image == "" && s.Recovery == nil {
		c.printf("regions: not known without reading the log, which --exact does\n")
	}
	if s.Refused != nil {
		c.printDamage(*s.Refused)
	}
}

func (c *command) printRegions(s storeStat) {
	for _, r := range s.Regions {
		as, ordered := "", ""
		if !r.Exact {
			as = " in the image"
		}
		if r.Ordered {
			ordered = "  ordered"
		}
		c.printf("region %s  %d entries%s  %s  %s%s\n", r.Name, r.Entries, as, r.Strategy, r.Durability, ordered)
	}
}

// printImages lists images, and what is wrong with them.
func (c *command) printImages(images []inspect.Image) {
	for _, im := range images {
		c.printf("image %s  ", im.Name)
		if im.To != 0 {
			c.printf("LSN %d to %d  %d entries in %d parts  ", im.From, im.To, im.Entries, im.Parts)
		}
		c.printf("%s  ", size(im.Bytes))
		switch {
		case im.Fits && im.Damaged > 0:
			c.printf("fits, damaged in %d places\n", im.Damaged)
		case im.Fits:
			c.printf("fits\n")
		default:
			c.printf("does not fit: %s\n", im.Reason)
		}
	}
}
