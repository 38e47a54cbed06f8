// Command killrestart shows the main job of a frs store on real input.
//
// It loads a source tree (path to content; by default that of the installed Go
// toolchain) into a store, starts itself as a child process that keeps writing
// in sync mode from several goroutines and acknowledges each write on a pipe,
// and kills the child with SIGKILL at random moments with writes in flight.
// After each kill it opens the store, compares every file's SHA-256 and every
// acknowledged write, and verifies every byte on disk.
//
//	go run ./examples/killrestart
//	go run ./examples/killrestart --kills 100 --acks 100000 --json
//
// With --entries it fills the store with that many small entries instead, and
// measures how soon it serves after a clean close and after a kill under heavy
// load:
//
//	go run ./examples/killrestart --entries 1000000 --json
//
// It exits with 1 if anything is lost or wrong, with 2 if it could not run.
//
// What it proves is that a store survives the death of its process. A kill
// leaves the kernel and its page cache alive, so it proves nothing about power
// loss: a program that never syncs passes it too. Power loss is what the crash
// enumeration over vfs/memfs in "go test ./restart" covers.
//
// Reading order: main.go (the run), tree.go (real input), entries.go (made-up
// input), wire.go (what parent and child say to each other), writer.go (the
// child), kill.go (one kill), reopen.go (what is timed), ledger.go (what must be
// there), report.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/fastrestart/frs/restart"
)

const (
	exitDamage = 1 // something is lost or wrong
	exitFailed = 2 // the run could not be done
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == writerCommand {
		os.Exit(writerMain(os.Args[2:], os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := runMain(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// config of a run.
type config struct {
	source string // tree to load
	dir    string // where the store's directory is made
	// entries to fill the store with instead of a tree; 0: a tree
	entries int
	rounds  int // reopens after a clean close
	kills   int
	acks    int // to be acknowledged in all
	cold    bool
	load    time.Duration
	seed    uint64
	keep    bool
	json    bool
}

const usage = `Usage: killrestart [flags]

Loads a source tree into a store, kills a writing child process again and
again, and checks that nothing acknowledged is ever lost.

  killrestart
  killrestart --kills 100 --acks 100000 --json
  killrestart --entries 10000000 --rounds 3 --json

Exit status: 0 nothing lost, 1 something is lost or wrong, 2 could not run.

Flags:
`

func parseFlags(args []string, stderr io.Writer) (config, error) {
	var c config
	f := flag.NewFlagSet("killrestart", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.StringVar(&c.source, "source", "", "load the tree in this `directory` (default: $(go env GOROOT)/src)")
	f.StringVar(&c.dir, "dir", "", "make the store in a new directory inside this `directory` (default: the system's temporary one)")
	f.IntVar(&c.entries, "entries", 0, "fill the store with `N` entries (keys of 16 bytes, values of 256) instead of a tree, and overwrite them at full speed while killing")
	f.IntVar(&c.rounds, "rounds", 5, "reopen the store this many times after a clean close")
	f.IntVar(&c.kills, "kills", 0, "kill the writing child this many times (default 12; with --entries as many as --rounds)")
	f.DurationVar(&c.load, "load", time.Second, "with --entries, let the child write for half of `D` to one and a half besides")
	f.BoolVar(&c.cold, "cold", false, "drop the system's page cache before each timed open (Linux, as root)")
	f.IntVar(&c.acks, "acks", 10000, "let at least this many writes be acknowledged, over all kills")
	f.Uint64Var(&c.seed, "seed", 0, "seed of the random choices (default: random, printed)")
	f.BoolVar(&c.keep, "keep", false, "keep the store at the end; it is kept anyway if something is lost or wrong")
	f.BoolVar(&c.json, "json", false, "print the result as one JSON object on the last line")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	switch {
	case f.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case c.kills < 0 || c.acks < 0 || c.entries < 0 || c.rounds < 1 || c.load <= 0:
		return c, errors.New("--kills, --acks and --entries must be at least 0, --rounds at least 1, --load above 0")
	case c.entries > maxEntries:
		return c, fmt.Errorf("--entries is at most %d", maxEntries)
	case c.entries > 0 && c.source != "":
		return c, errors.New("--source and --entries exclude each other")
	}
	if c.kills == 0 {
		c.kills = 12
		if c.entries > 0 {
			c.kills = c.rounds
		}
	}
	if c.seed == 0 {
		c.seed = 1 + uint64(rand.Uint32())
	}
	return c, nil
}

// runMain is the command; it returns the exit status.
func runMain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	var res result
	if err == nil {
		res, err = run(ctx, c, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "killrestart: %v\n", err)
	}
	switch {
	case !res.good() || errors.Is(err, restart.ErrCorrupt): // that it does not open counts
		return exitDamage
	case err != nil:
		return exitFailed
	}
	return 0
}

// run loads, reopens, kills, checks and reports.
func run(ctx context.Context, c config, out io.Writer) (res result, err error) {
	start := time.Now()
	dir, err := os.MkdirTemp(c.dir, "killrestart-")
	if err != nil {
		return res, err
	}
	defer func() {
		if !c.keep && res.good() && (err == nil || res.Kills == 0) {
			err = errors.Join(err, os.RemoveAll(dir))
		} else if err != nil {
			err = fmt.Errorf("%w (the store is kept in %s)", err, dir)
		}
	}()
	r := &runner{
		config: c,
		dir:    filepath.Join(dir, "store"),
		out:    out,
		rng:    rand.New(rand.NewPCG(c.seed, 0)),
		ledger: newLedger(),
		result: &res,
	}
	res.Seed, res.Cold = c.seed, c.cold
	fmt.Fprintf(out, "seed %d, store in %s\n", c.seed, r.dir)
	if err := r.fill(ctx); err != nil {
		return res, err
	}
	for n := range c.rounds {
		if err := r.reopenClean(ctx, n); err != nil {
			return res, fmt.Errorf("reopen %d: %w", n+1, err)
		}
	}
	for res.Kills < c.kills {
		if err := r.killOnce(ctx); err != nil {
			return res, fmt.Errorf("kill %d: %w", res.Kills+1, err)
		}
	}
	res.Seconds = math.Round(100*time.Since(start).Seconds()) / 100
	if c.keep || !res.good() {
		fmt.Fprintf(out, "the store is kept in %s\n", r.dir)
	}
	return res, res.print(out, c.json)
}

// fill makes the store and what it is to hold.
func (r *runner) fill(ctx context.Context) error {
	if r.config.entries > 0 {
		r.entries = newEntries(r.config.entries)
		r.result.Entries, r.result.Bytes = r.config.entries, int64(r.config.entries)*(entryKeySize+entryValueSize)
		return r.fillEntries(ctx)
	}
	source, err := sourceTree(ctx, r.source)
	if err != nil {
		return err
	}
	if r.tree, err = r.loadTree(source); err != nil {
		return fmt.Errorf("load %s: %w", source, err)
	}
	r.result.Files, r.result.Bytes = len(r.tree), r.tree.bytes()
	return nil
}

// runner is the state of a run.
type runner struct {
	config
	dir     string
	out     io.Writer
	rng     *rand.Rand
	tree    tree     // nil with --entries
	entries *entries // nil without
	ledger  *ledger
	result  *result
	opens   time.Duration // how long the last open took
}

// sourceTree returns the directory to load.
func sourceTree(ctx context.Context, dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w; name a tree with --source", err)
	}
	return filepath.Join(strings.TrimSpace(string(root)), "src"), nil
}

// options of the store, in parent and child.
func options() restart.Options {
	return restart.Options{Durability: restart.Sync}
}

// regions of the store.
type regions struct {
	files   *restart.Region // the source tree
	entries *restart.Region // what is there instead with --entries
	writes  *restart.Region // what the child writes
	pairs   *restart.Region // some of it a second time, by atomic batches
}

func openRegions(st *restart.Store) (r regions, err error) {
	for name, to := range map[string]**restart.Region{"files": &r.files, "entries": &r.entries, "writes": &r.writes, "pairs": &r.pairs} {
		if *to, err = st.Region(name, restart.RegionOptions{}); err != nil {
			return r, err
		}
	}
	return r, nil
}
