package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/fastrestart/frs/restart"
)

// result of a run. With --json it is the last line.
type result struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`

	Kills        int `json:"kills"`          // of a child that was writing
	KillsOpening int `json:"kills_opening"`  // of a child that was still opening the store, besides
	Issued       int `json:"issued"`         // writes begun
	Acked        int `json:"acked"`          // writes acknowledged
	InFlight     int `json:"in_flight"`      // writes begun and not acknowledged at a kill
	Lost         int `json:"lost"`           // acknowledged, or loaded, and not there
	Wrong        int `json:"wrong"`          // there, and not what was written
	Damaged      int `json:"verify_damaged"` // findings of verify

	OpenMS           float64 `json:"open_ms"` // median of the opens after a kill
	OpenWorstMS      float64 `json:"open_ms_worst"`
	FirstReadMS      float64 `json:"first_read_ms"` // from the call of Open to the return of the first Get
	FirstReadWorstMS float64 `json:"first_read_ms_worst"`

	TornBytes int64                  `json:"torn_bytes"` // cut from the end of the log, all kills together
	Recovery  restart.RecoveryReport `json:"recovery"`   // of the last open after a kill

	Seed    uint64  `json:"seed"`
	Seconds float64 `json:"seconds"`

	opens, firstReads []time.Duration
}

// good reports whether nothing is lost, wrong or damaged.
func (r *result) good() bool { return r.Lost+r.Wrong+r.Damaged == 0 }

// print writes the report.
func (r *result) print(w io.Writer, asJSON bool) error {
	r.OpenMS, r.OpenWorstMS = medianAndWorst(r.opens)
	r.FirstReadMS, r.FirstReadWorstMS = medianAndWorst(r.firstReads)
	verdict := "nothing acknowledged was lost"
	if !r.good() {
		verdict = "FAILED"
	}
	fmt.Fprintf(w, `
%s
  %d kills while writing, %d while opening; %d writes acknowledged, %d in flight when killed
  lost %d, wrong %d, damage found by verify %d
  after a kill: open %.1f ms (worst %.1f), first value read after %.1f ms (worst %.1f)
  recovery: %v
  %.1f s in all

This proves that the data survives the death of the process. It does not prove
that it survives a power failure, because the kernel lived on. That is what the
crash enumeration in "go test ./restart" covers, on a simulated disk that
forgets what was not synced. (Planned: "make powerloss", on real file systems.)
`, verdict, r.Kills, r.KillsOpening, r.Acked, r.InFlight, r.Lost, r.Wrong, r.Damaged,
		r.OpenMS, r.OpenWorstMS, r.FirstReadMS, r.FirstReadWorstMS, r.Recovery, r.Seconds)
	if !asJSON {
		return nil
	}
	return json.NewEncoder(w).Encode(r)
}

func medianAndWorst(d []time.Duration) (median, worst float64) {
	if len(d) == 0 {
		return 0, 0
	}
	d = slices.Sorted(slices.Values(d))
	return milliseconds(d[len(d)/2]), milliseconds(d[len(d)-1])
}

func milliseconds(d time.Duration) float64 { return math.Round(float64(d)/1e4) / 100 }

// findings counts what a check found and names the first few.
type findings struct {
	out             io.Writer
	nLost, nWrong   int
	nDamaged, named int
}

const maxNamed = 20

func (f *findings) lost(format string, args ...any) {
	f.nLost++
	f.name("LOST: "+format, args...)
}

func (f *findings) wrong(format string, args ...any) {
	f.nWrong++
	f.name("WRONG: "+format, args...)
}

func (f *findings) damaged(format string, args ...any) {
	f.nDamaged++
	f.name("DAMAGED: "+format, args...)
}

func (f *findings) name(format string, args ...any) {
	if f.named++; f.named <= maxNamed {
		fmt.Fprintf(f.out, "  "+format+"\n", args...)
	}
}
