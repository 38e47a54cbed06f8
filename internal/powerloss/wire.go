package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/fastrestart/frs/internal/ledger"
)

// The child says, one line each, besides what packages child and ledger have
// words for:
//
//	have <version> <key>         found there, and right in every byte
//	shown <rung>                 that was all
//	durable <lsn>                the log is durable up to there
//	did <rolls> <compactions> <checkpoints> <reopens>   so far
//
// What it found is durable when it is ready. It closes the store when it is told
// to close. An ack counts the time since the child started.
const (
	wordHave    = "have"
	wordShown   = "shown"
	wordDurable = "durable"
	wordDid     = "did"
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
