package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"time"

	"github.com/fastrestart/frs/internal/child"
	"github.com/fastrestart/frs/internal/invariant"
)

// Exit statuses.
const (
	exitFailed = 1 // something was lost, wrong or too much
	exitUsage  = 2
)

func main() {
	if arg, ok := child.Plan(os.Args[1:]); ok {
		os.Exit(childMain(arg))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(soakMain(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// soakMain is the command; it returns the exit status.
func soakMain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("soak", flag.ContinueOnError)
	f.SetOutput(stderr)
	for0 := f.Duration("time", 10*time.Minute, "how long")
	seed := f.Uint64("seed", 0, "of the random choices (default: random, printed)")
	under := f.String("dir", "", "where to make the directory of the store (default: the system's for temporary files)")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil || f.NArg() > 0 || *for0 <= 0 {
		fmt.Fprintln(stderr, "soak: -time must be above 0, and there are no arguments")
		return exitUsage
	}
	if *seed == 0 {
		*seed = 1 + uint64(rand.Uint32())
	}
	dir, err := os.MkdirTemp(*under, "soak-")
	if err != nil {
		fmt.Fprintln(stderr, "soak:", err)
		return exitUsage
	}
	fmt.Fprintf(stdout, "soak: seed %d, %v, invariants %t, store in %s%s\n", *seed, *for0, invariant.Enabled, dir, unknown())
	s := newSoak(dir, *seed, *for0, stdout)
	err = s.run(ctx)
	s.print("in all ")
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		fmt.Fprintf(stderr, "soak: FAILED: %v\nseed %d, store kept in %s, as the last child found it in %s\n", err, *seed, s.store(), s.before())
		return exitFailed
	}
	fmt.Fprintf(stdout, "soak: nothing lost, nothing wrong, nothing beyond its bound; seed %d\n", *seed)
	return 0
}

// unknown says what cannot be looked at on this system.
func unknown() string {
	_, files := openFiles()
	_, resident := residentBytes()
	if files && resident {
		return ""
	}
	return "; open files and resident memory are not looked at: no /proc here"
}
