package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fastrestart/frs/internal/child"
)

const (
	exitDamage = 1 // something is lost or wrong
	exitFailed = 2 // the run could not be done
)

// runCommand is the first argument of this program in its mount namespace.
const runCommand = "run"

func main() { os.Exit(dispatch(os.Args[1:])) }

func dispatch(args []string) int {
	if arg, ok := child.Plan(args); ok {
		return childMain(arg)
	}
	inside := len(args) > 1 && args[0] == runCommand
	work := ""
	if inside {
		work, args = args[1], args[2:]
	}
	c, err := parseFlags(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(os.Stderr, "powerloss: %v\n", err)
		return exitFailed
	case inside:
		return runInside(c, work)
	}
	return runOutside(c, args)
}

// config of a run.
type config struct {
	cuts    map[string]*int // by file system
	seed    uint64
	dir     string
	keep    bool
	verbose bool
	lie     bool
}

var fileSystems = []string{"ext4", "xfs", "btrfs"}

func parseFlags(args []string) (config, error) {
	c := config{cuts: map[string]*int{}}
	f := flag.NewFlagSet("powerloss", flag.ContinueOnError)
	for i, fs := range fileSystems {
		c.cuts[fs] = f.Int(fs, []int{200, 50, 20}[i], "cut the power of "+fs+" `n` times")
	}
	f.Uint64Var(&c.seed, "seed", 0, "seed of the first campaign; those after it have the next ones (default: random, printed)")
	f.StringVar(&c.dir, "dir", "", "make the images in this `directory` (default: the system's temporary one)")
	f.BoolVar(&c.keep, "keep", false, "keep the last image and copies of the store as cuts left it; copies are kept anyway if something is lost or wrong")
	f.BoolVar(&c.lie, "lie", false, "turn the store's syncs off, to see that this is found: the exit status must be 1")
	f.BoolVar(&c.verbose, "v", false, "print a line for each child")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if c.seed == 0 {
		c.seed = 1 + uint64(rand.Uint32())
	}
	return c, nil
}

// runOutside runs the command in a mount namespace. However that process ends,
// its mounts are gone then.
func runOutside(c config, args []string) int {
	if os.Geteuid() != 0 {
		fmt.Println("powerloss: skipped: it mounts file systems, which needs root")
		return 0
	}
	work, err := os.MkdirTemp(c.dir, "powerloss-")
	if err != nil {
		fmt.Fprintf(os.Stderr, "powerloss: %v\n", err)
		return exitFailed
	}
	status, err := spawn(work, args)
	if err == nil && status >= 0 {
		return status
	}
	tidy(work, c.keep) // as it could not do itself
	if errors.Is(err, unix.EPERM) {
		fmt.Printf("powerloss: skipped: no mount namespace here: %v\n", err)
		return 0
	}
	fmt.Fprintf(os.Stderr, "powerloss: %v\n", errors.Join(errors.New("the run ended early"), err))
	return exitFailed
}

// spawn starts this program in a mount namespace and passes signals on to it.
// The status is -1 if it was ended by one.
func spawn(work string, args []string) (status int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, append([]string{runCommand, work}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	runtime.LockOSThread() // the signal comes when this thread ends
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go func() {
		for range signals {
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}()
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// tidy removes a run's files but for the copies of stores that it kept.
func tidy(work string, keep bool) {
	kept, err := filepath.Glob(filepath.Join(work, keptName, "*"))
	switch {
	case keep:
	case err == nil && len(kept) > 0:
		for _, fs := range fileSystems {
			_ = os.RemoveAll(filepath.Join(work, fs))
		}
	default:
		_ = os.RemoveAll(work)
		return
	}
	fmt.Printf("kept: %s\n", work)
}

const keptName = "kept"

// runInside is the run itself.
func runInside(c config, work string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer tidy(work, c.keep)
	damage, failed := false, false
	for _, fs := range fileSystems {
		s, err := runAll(ctx, c, fs, work)
		if s.campaigns > 0 {
			s.print(os.Stdout)
		}
		damage = damage || s.bad()
		switch {
		case errors.Is(err, errMissing) && s.campaigns == 0:
			fmt.Printf("%s: skipped: %v\n", fs, err)
		case err != nil:
			fmt.Fprintf(os.Stderr, "powerloss: %s: %v\n", fs, err)
			failed = true
		}
	}
	switch {
	case damage:
		return exitDamage
	case failed:
		return exitFailed
	}
	return 0
}

// cutsPerCampaign is how often one store on one file system is cut.
const cutsPerCampaign = 20

// runAll runs the campaigns on one file system, and more if one ended early.
func runAll(ctx context.Context, c config, fs, work string) (s stats, err error) {
	s.fs = fs
	start := time.Now()
	for n := uint64(0); s.cuts < *c.cuts[fs] && err == nil; n++ {
		one := newCampaign(fs, c.seed+n, min(cutsPerCampaign, *c.cuts[fs]-s.cuts))
		one.work = filepath.Join(work, fs)
		one.kept = filepath.Join(work, keptName, fmt.Sprintf("%s-%d", fs, one.seed))
		one.out, one.verbose, one.lie = os.Stdout, c.verbose, c.lie
		err = one.run(ctx)
		if errors.Is(err, errMissing) && n == 0 {
			return s, err
		}
		if err != nil {
			err = fmt.Errorf("%v: %w", one, err)
		}
		s.merge(&one.stats)
		one.report(os.Stdout, c.keep)
		if len(s.findings) >= maxFindings {
			break
		}
	}
	s.took = time.Since(start)
	return s, err
}

// maxFindings is enough to stop.
const maxFindings = 10

// report prints how a campaign went, and removes what is not to be kept.
func (c *campaign) report(out io.Writer, keep bool) {
	fmt.Fprintf(out, "%v: %d cuts, %d lives, %d acknowledged\n", c, c.stats.cuts, c.lives, c.stats.syncAcked+c.stats.batchAcked)
	for _, f := range c.stats.findings {
		fmt.Fprintf(out, "  LOST OR WRONG: %s\n", f)
	}
	if c.stats.bad() {
		fmt.Fprintf(out, "  in life %d; again: powerloss -seed %d", c.lives, c.seed)
		for _, fs := range fileSystems {
			n := 0
			if fs == c.fs {
				n = c.cuts
			}
			fmt.Fprintf(out, " -%s %d", fs, n)
		}
		fmt.Fprintf(out, " -v\n  the store as the last cuts left it: %s/life-*\n", c.kept)
		return
	}
	if !keep {
		_ = os.RemoveAll(c.kept)
	}
}
