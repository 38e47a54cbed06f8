package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/fastrestart/frs/internal/ledger"
)

// What the child says, one line each in one write each, so that lines of several
// goroutines never mix and stand in the pipe in the order of what they tell:
//
//	start                        about to open the store
//	have <version> <key>         found there, and right in every byte
//	shown <rung>                 that was all
//	ready                        and it is durable now
//	issue ...                    before the store is called, see package ledger
//	ack ...                      after it has returned, since the child started
//	durable <lsn>                the log is durable up to there
//	did <rolls> <compactions> <checkpoints> <reopens>   so far
//	closed                       the store is
//	error <text>                 the child is at its end
//
// The parent says "go" to a child that is ready, and "close" to one that writes.
const (
	wordStart   = "start"
	wordHave    = "have"
	wordShown   = "shown"
	wordReady   = "ready"
	wordDurable = "durable"
	wordDid     = "did"
	wordClosed  = "closed"
	wordError   = "error"
)

const (
	writers       = 4
	keysPerWriter = 96
)

// regionNames of the store. Keys in the first one are the pipe's "left/...".
var regionNames = [...]string{"left", "right"}

// keyName is a key as the pipe and the ledger know it: with its region.
func keyName(region, writer, n int) string {
	return fmt.Sprintf("%s/%d-%d", regionNames[region], writer, n)
}

// paired says whether key n of a writer is written in both regions at once.
func paired(n int) bool { return n%4 == 0 }

// values of all keys, by their name.
var values ledger.Values = func(rng *rand.Rand) int {
	if rng.IntN(128) == 0 {
		return 16<<10 + rng.IntN(112<<10)
	}
	return rng.IntN(2048)
}
