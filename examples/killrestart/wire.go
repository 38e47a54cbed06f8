package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// The child says on its standard output, one line each, in one write each (so
// that lines of several goroutines never mix):
//
//	ready                             the store is open
//	issue <key> <version> <put|del>   before the store is called
//	ack   <key> <version> <put|del>   after the store has returned
//	progress <version> <nanoseconds>  how far the overwriting of entries is on
//	                                  disk, and how long a restart would take
//
// A line that is in the pipe outlives the child. So when the parent has read
// to the end of the pipe it knows of every write that was ever issued, and
// counts those as acknowledged of which it read the ack.
const (
	wordReady    = "ready"
	wordIssue    = "issue"
	wordAck      = "ack"
	wordProgress = "progress"
	wordPut      = "put"
	wordDel      = "del"
)

// write is one write of the child. A version is used once in a run, and those
// of a key rise.
type write struct {
	key     string
	version uint64
	del     bool
}

func (w write) line(word string) []byte {
	kind := wordPut
	if w.del {
		kind = wordDel
	}
	return fmt.Appendf(nil, "%s %s %d %s\n", word, w.key, w.version, kind)
}

// parseLine is the inverse of line, and accepts "ready" as well.
func parseLine(line string) (word string, w write, err error) {
	bad := fmt.Errorf("the child says %q", line)
	f := strings.Fields(line)
	switch {
	case len(f) == 1 && f[0] == wordReady:
		return wordReady, w, nil
	case len(f) != 4 || f[0] != wordIssue && f[0] != wordAck || f[3] != wordPut && f[3] != wordDel:
		return "", w, bad
	}
	w = write{key: f[1], del: f[3] == wordDel}
	if w.version, err = strconv.ParseUint(f[2], 10, 64); err != nil {
		return "", w, bad
	}
	return f[0], w, nil
}

// progress is what the child says of itself now and then.
type progress struct {
	durable   uint64        // version up to which entries were overwritten, on disk
	predicted time.Duration // Metrics.PredictedRestart
}

func (p progress) line() []byte {
	return fmt.Appendf(nil, "%s %d %d\n", wordProgress, p.durable, p.predicted)
}

// parseProgress is the inverse of line; ok is false for any other line.
func parseProgress(line string) (p progress, ok bool) {
	f := strings.Fields(line)
	if len(f) != 3 || f[0] != wordProgress {
		return p, false
	}
	v, err1 := strconv.ParseUint(f[1], 10, 64)
	ns, err2 := strconv.ParseInt(f[2], 10, 64)
	return progress{v, time.Duration(ns)}, err1 == nil && err2 == nil
}

// readLines calls f with every complete line until the pipe ends. A line that
// the kill cut short was not said.
func readLines(r io.Reader, f func(line string) error) error {
	b := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := b.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(strings.TrimSuffix(line, "\n")); err != nil {
			return err
		}
	}
}

// paired says whether the writes of a key go to two regions at once, as an
// atomic batch.
func paired(n int) bool { return n%8 == 0 }

func keyName(writer, n int) string { return fmt.Sprintf("w%d/%d", writer, n) }

// isPaired is paired by the key's name.
func isPaired(key string) bool {
	_, digits, _ := strings.Cut(key, "/")
	n, err := strconv.Atoi(digits)
	return err == nil && paired(n)
}

// value returns what the put of a version writes. Everybody can make it anew,
// so a value found in the store is right in every byte or wrong.
func value(key string, version uint64) []byte {
	seed := sha256.Sum256(fmt.Appendf(nil, "%s %d", key, version))
	rng := rand.NewChaCha8(seed)
	size := rng.Uint64() % 2048
	if seed[0] == 0 { // one in 256 is large
		size = 64<<10 + rng.Uint64()%(448<<10)
	}
	v := make([]byte, 8+size)
	binary.LittleEndian.PutUint64(v, version)
	_, _ = rng.Read(v[8:]) // never fails
	return v
}
