package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/internal/child"
	"github.com/fastrestart/frs/internal/inspect"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs"
)

// campaign is a series of cuts and kills of one store on one file system.
type campaign struct {
	fs      string
	options string
	nested  bool
	seed    uint64
	cuts    int // to be done
	work    string
	kept    string // where stores are copied to as the cuts left them
	out     io.Writer
	verbose bool
	lie     bool

	rng    *rand.Rand
	disk   *disk
	ledger *books
	stats  stats
	lives  int
	// How long the last open and the last close took.
	openTook, closeTook time.Duration
	canary, witness     string        // files in the root of the disk
	maxDelay            time.Duration // of the last child that wrote
}

// options of mounts that leave more or other things unwritten.
var mountOptions = map[string][]string{
	"ext4":  {"", "", "data=writeback", "data=journal", "nodelalloc", "commit=1"},
	"xfs":   {"", "", "logbsize=256k", "wsync"},
	"btrfs": {"", "flushoncommit", "nodatacow", "compress=zstd"},
}

// newCampaign draws what its file system is.
func newCampaign(fs string, seed uint64, cuts int) *campaign {
	c := &campaign{fs: fs, seed: seed, cuts: cuts, rng: rand.New(rand.NewPCG(seed, 0)), ledger: newBooks()}
	c.options = pick(c.rng, mountOptions[fs]...)
	c.nested = c.rng.IntN(4) == 0 || fs == "btrfs"
	c.stats.fs = fs
	return c
}

func (c *campaign) String() string {
	s := fmt.Sprintf("%s seed %d", c.fs, c.seed)
	if c.nested {
		s += ", nested"
	}
	if c.options != "" {
		s += ", " + c.options
	}
	return s
}

// run makes the file system and ends lives on it until enough were cut. A
// finding ends it: it is in the stats. The error says what kept it from going
// on otherwise.
func (c *campaign) run(ctx context.Context) (err error) {
	if err := os.MkdirAll(c.work, 0o700); err != nil {
		return err
	}
	if c.disk, err = makeDisk(ctx, c.work, c.fs, c.options, c.nested); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.disk.down()) }()
	for c.stats.cuts < c.cuts {
		if err := c.live(ctx); err != nil || c.stats.bad() {
			return err
		}
		if c.stats.survived > 2+c.stats.cuts/10 {
			return errors.New("the cuts are not real: files that nobody synced are there")
		}
	}
	// What the last cut left has to be judged, too.
	return c.follow(ctx, plan{At: closed})
}

// live starts a child, ends it as a plan says, and checks what it found.
func (c *campaign) live(ctx context.Context) error { return c.follow(ctx, newPlan(c.rng)) }

func (c *campaign) follow(ctx context.Context, p plan) error {
	c.lives++
	p.Dir, p.Version, p.Lie = filepath.Join(c.disk.root(), "store"), c.ledger.Highest, c.lie
	if err := c.plant(); err != nil {
		return err
	}
	acked, late := c.ledger.Acked, c.ledger.Late
	l, err := startLife(p, c.ledger)
	if err != nil {
		return err
	}
	err = c.lead(ctx, l)
	cut := false
	if err == nil && p.Cut {
		cut, err = true, c.cut(l)
	}
	heard := l.kill()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && cut:
		return err
	case err != nil:
		c.stats.find("%v\n%s", err, l.Stderr(8<<10))
	case heard != nil:
		return heard
	}
	if !l.settled {
		c.judge(l)
	}
	c.stats.add(l, acked, late)
	if c.verbose {
		fmt.Fprintf(c.out, "  %3d %s, %s: %d acknowledged, open: %s\n", c.lives, p.mode(), p.end(), c.ledger.Acked-acked, l.rung)
	}
	if c.stats.bad() {
		return nil
	}
	if cut {
		return c.restore()
	}
	if p.At == closed {
		return c.verify(ctx, p.Dir)
	}
	return nil
}

// lead brings a child to its end.
func (c *campaign) lead(ctx context.Context, l *life) error {
	if err := l.Await(ctx, l.Started, "started"); err != nil {
		return err
	}
	start, p := time.Now(), l.plan
	if p.At == opening {
		return l.Pass(ctx, time.Duration(p.Part*float64(c.openTook)), l.Ready)
	}
	if err := l.Await(ctx, l.Ready, "ready"); err != nil {
		return err
	}
	c.openTook = time.Since(start)
	if c.judge(l); c.stats.bad() {
		return nil
	}
	c.maxDelay = cmp.Or(p.MaxDelay, fsync.DefaultMaxDelay)
	if err := l.Tell(child.Go); err != nil {
		return err
	}
	if err := l.Pass(ctx, p.Run, nil); err != nil || p.At == writing {
		return err
	}
	if err := l.Tell(child.Close); err != nil {
		return err
	}
	start = time.Now()
	if p.At == closing {
		return l.Pass(ctx, time.Duration(p.Part*float64(c.closeTook)), l.Closed)
	}
	if err := l.Await(ctx, l.Closed, "closed"); err != nil {
		return err
	}
	c.closeTook = time.Since(start)
	return nil
}

// judge checks what a child found.
func (c *campaign) judge(l *life) {
	v := l.judge()
	l.settled = true
	for _, f := range v.Findings {
		c.stats.find("%s", f)
	}
	c.stats.lose(v, c.maxDelay)
}

// plant writes a file that a cut must leave.
func (c *campaign) plant() error {
	c.witness = filepath.Join(c.disk.root(), fmt.Sprintf("witness-%d", c.lives))
	if err := writeFile(c.witness, true); err != nil {
		return err
	}
	return vfs.Default.SyncDir(c.disk.root())
}

// cut cuts the power under a child. What it says from here on does not count.
func (c *campaign) cut(l *life) error {
	c.canary = filepath.Join(c.disk.root(), fmt.Sprintf("canary-%d", c.lives))
	l.seal()
	if err := writeFile(c.canary, false); err != nil {
		return err
	}
	return c.disk.shutDown()
}

// restore brings the power back, sees that it was cut, and copies the store.
func (c *campaign) restore() error {
	if err := c.disk.restart(); err != nil {
		return err
	}
	if !whole(c.witness) {
		return errors.New("a file that was synced is gone: the file system is to blame, or this program")
	}
	if whole(c.canary) {
		c.stats.survived++
	} else {
		c.stats.cuts++
	}
	for _, name := range []string{c.witness, c.canary} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return c.copyStore()
}

// copyStore keeps what the last three cuts left, for when it is wanted.
func (c *campaign) copyStore() error {
	store := filepath.Join(c.disk.root(), "store")
	if _, err := os.Stat(store); errors.Is(err, os.ErrNotExist) {
		return nil // cut before it was made
	}
	c.stats.copies = append(c.stats.copies, filepath.Join(c.kept, fmt.Sprintf("life-%d", c.lives)))
	if n := len(c.stats.copies); n > 3 {
		if err := os.RemoveAll(c.stats.copies[n-4]); err != nil {
			return err
		}
	}
	return os.CopyFS(c.stats.copies[len(c.stats.copies)-1], os.DirFS(store))
}

// canarySize is more than what a directory entry or an inode holds.
const canarySize = 64 << 10

func writeFile(name string, synced bool) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteString(strings.Repeat("canary\n\n", canarySize/8)); err != nil || !synced {
		return err
	}
	return f.Sync()
}

// whole says whether a file is there as writeFile wrote it.
func whole(name string) bool {
	b, err := os.ReadFile(name)
	return err == nil && string(b) == strings.Repeat("canary\n\n", canarySize/8)
}

// verify checks every byte of a closed store.
func (c *campaign) verify(ctx context.Context, dir string) (err error) {
	layout, lock, err := restart.OpenLayout(vfs.Default, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	log, err := inspect.Open(vfs.Default, layout.Log, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	report, err := log.Verify(ctx, nil)
	for _, d := range report.Damage {
		c.stats.find("verify: %s at offset %d, LSN %d: %s", d.File, d.Offset, d.LSN, d.Reason)
	}
	c.stats.verified++
	return err
}
