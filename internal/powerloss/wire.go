package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// What the child says, one line each in one write each, so that lines of several
// goroutines never mix and stand in the pipe in the order of what they tell:
//
//	start                        about to open the store
//	have <version> <key>         found there, and right in every byte
//	shown <rung>                 that was all
//	ready                        and it is durable now
//	issue <version> <p|d> <key>...           before the store is called
//	ack <version> <lsn> <s|b> <microseconds> after it has returned; s: durable;
//	                             since the store was opened
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
	wordIssue   = "issue"
	wordAck     = "ack"
	wordDurable = "durable"
	wordDid     = "did"
	wordClosed  = "closed"
	wordError   = "error"
)

// write is one operation: all its keys in one record of the log.
type write struct {
	version uint64 // used once in a campaign; those of a key rise
	del     bool
	keys    []string
}

func (w write) line() string {
	kind := "p"
	if w.del {
		kind = "d"
	}
	return fmt.Sprintf("%s %d %s %s\n", wordIssue, w.version, kind, strings.Join(w.keys, " "))
}

// parseWrite is the inverse of line, without the word.
func parseWrite(rest string) (w write, err error) {
	f := strings.Fields(rest)
	if len(f) < 3 || f[1] != "p" && f[1] != "d" {
		return w, fmt.Errorf("bad issue %q", rest)
	}
	w.del, w.keys = f[1] == "d", f[2:]
	_, err = fmt.Sscan(f[0], &w.version)
	return w, err
}

// answer is an acknowledgement.
type answer struct {
	version uint64
	lsn     uint64
	durable bool
	at      time.Duration // since the child started
}

func (a answer) line() string {
	d := "b"
	if a.durable {
		d = "s"
	}
	return fmt.Sprintf("%s %d %d %s %d\n", wordAck, a.version, a.lsn, d, a.at.Microseconds())
}

// parseAnswer is the inverse of line, without the word.
func parseAnswer(rest string) (a answer, err error) {
	var d string
	var us int64
	_, err = fmt.Sscanf(rest, "%d %d %s %d", &a.version, &a.lsn, &d, &us)
	a.durable, a.at = d == "s", time.Duration(us)*time.Microsecond
	return a, err
}

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

// value returns what the put of a version writes. Everybody can make it anew.
func value(key string, version uint64) []byte {
	seed := sha256.Sum256(fmt.Appendf(nil, "%s %d", key, version))
	rng := rand.NewChaCha8(seed)
	size := rng.Uint64() % 2048
	if seed[0] < 2 { // one in 128 is large
		size = 16<<10 + rng.Uint64()%(112<<10)
	}
	v := make([]byte, 8+size)
	binary.LittleEndian.PutUint64(v, version)
	_, _ = rng.Read(v[8:]) // never fails
	if seed[1] < 128 {     // half of them compress
		clear(v[8+size/4:])
	}
	return v
}
