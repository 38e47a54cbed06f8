// Command frsinspect looks at a store that is not in use: what is in it, and
// whether every byte is what was written. It never writes a file.
//
//	frsinspect stat   DIR
//	frsinspect verify DIR
//	frsinspect dump   DIR
//	frsinspect get    DIR REGION KEY
//	frsinspect keys   DIR REGION
//
// Exit status: 0 fine, 1 damage, 2 could not look, 3 not found. See
// docs/frsinspect.md, or `frsinspect help VERB`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{
		out: os.Stdout, err: os.Stderr,
		terminal: isTerminal(os.Stderr),
	})
	stop()
	os.Exit(code)
}
