package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fastrestart/frs/restart"
)

// result of a run. With --json it is the last line. Times are medians in
// milliseconds from the call of Open, the worst beside them.
type result struct {
	Files   int   `json:"files"`
	Entries int   `json:"entries"` // with --entries
	Bytes   int64 `json:"bytes"`
	Cold    bool  `json:"cold"` // the page cache was dropped before each open

	Kills        int `json:"kills"`          // of a child that was writing
	KillsOpening int `json:"kills_opening"`  // of a child that was still opening the store, besides
	Issued       int `json:"issued"`         // writes begun
	Acked        int `json:"acked"`          // writes acknowledged
	InFlight     int `json:"in_flight"`      // writes begun and not acknowledged at a kill
	Lost         int `json:"lost"`           // acknowledged, or loaded, and not there
	Wrong        int `json:"wrong"`          // there, and not what was written
	Damaged      int `json:"verify_damaged"` // findings of verify

	OpenMS           float64 `json:"open_ms"` // after a kill, as the next five
	OpenWorstMS      float64 `json:"open_ms_worst"`
	FirstReadMS      float64 `json:"first_read_ms"` // until the return of the first Get
	FirstReadWorstMS float64 `json:"first_read_ms_worst"`
	KillFirstReadMS  float64 `json:"kill_first_read_ms"` // the same by the name that goes with the next
	KillLoadedMS     float64 `json:"kill_loaded_ms"`
	KillLoadedWorst  float64 `json:"kill_loaded_ms_worst"`
	PredictedMS      float64 `json:"predicted_ms"` // by the killed process, shortly before
	PredictedWorstMS float64 `json:"predicted_ms_worst"`
	OverBudget       int     `json:"over_budget"` // first reads later than the restart budget, 1 s
	Unpredicted      int     `json:"unpredicted"` // of these, those for which less was predicted

	CleanOpenMS           float64 `json:"clean_open_ms"` // after a clean close, as the next five
	CleanOpenWorstMS      float64 `json:"clean_open_ms_worst"`
	CleanFirstReadMS      float64 `json:"clean_first_read_ms"`
	CleanFirstReadWorstMS float64 `json:"clean_first_read_ms_worst"`
	LoadedMS              float64 `json:"loaded_ms"` // until everything is in memory that fits
	LoadedWorstMS         float64 `json:"loaded_ms_worst"`

	Rungs     map[restart.Rung]int   `json:"rungs"`      // of all opens
	TornBytes int64                  `json:"torn_bytes"` // cut from the end of the log, all kills together
	Recovery  restart.RecoveryReport `json:"recovery"`   // of the last open after a kill

	Seed    uint64  `json:"seed"`
	Seconds float64 `json:"seconds"`

	clean, killed openings
	predicted     []time.Duration
}

// good reports whether nothing is lost, wrong or damaged.
func (r *result) good() bool { return r.Lost+r.Wrong+r.Damaged == 0 }

// add takes in what a check found.
func (r *result) add(f *findings) {
	r.Lost += f.nLost
	r.Wrong += f.nWrong
	r.Damaged += f.nDamaged
}

// sum fills in medians and counts.
func (r *result) sum() {
	r.OpenMS, r.OpenWorstMS = medianAndWorst(r.killed.open())
	r.FirstReadMS, r.FirstReadWorstMS = medianAndWorst(r.killed.firstRead())
	r.KillFirstReadMS = r.FirstReadMS
	r.KillLoadedMS, r.KillLoadedWorst = medianAndWorst(r.killed.loaded())
	r.PredictedMS, r.PredictedWorstMS = medianAndWorst(r.predicted)
	r.CleanOpenMS, r.CleanOpenWorstMS = medianAndWorst(r.clean.open())
	r.CleanFirstReadMS, r.CleanFirstReadWorstMS = medianAndWorst(r.clean.firstRead())
	r.LoadedMS, r.LoadedWorstMS = medianAndWorst(r.clean.loaded())
	r.Rungs = make(map[restart.Rung]int)
	for _, o := range slices.Concat(r.clean, r.killed) {
		r.Rungs[o.Rung]++
	}
}

// print writes the report.
func (r *result) print(w io.Writer, asJSON bool) error {
	r.sum()
	verdict := "nothing acknowledged was lost"
	if !r.good() {
		verdict = "FAILED"
	}
	fmt.Fprintf(w, `
%s
  %d kills while writing, %d while opening; %d writes acknowledged, %d in flight when killed
  lost %d, wrong %d, damage found by verify %d

  median (worst), ms%-20s open         first value read         fully loaded
  after a clean close, %2d x %22s %22s %22s
  after a kill, %2d x        %22s %22s %22s
  predicted by the process that was killed: %s; later than the budget of %v: %d, of which not predicted: %d
  rungs: %s
  last recovery: %v
  %.1f s in all

This proves that the data survives the death of the process. It does not prove
that it survives a power failure, because the kernel lived on. That is what the
crash enumeration in "go test ./restart" covers, on a simulated disk that
forgets what was not synced. "make powerloss" does it on real file systems.
`, verdict, r.Kills, r.KillsOpening, r.Acked, r.InFlight, r.Lost, r.Wrong, r.Damaged,
		r.cache(),
		len(r.clean), cell(r.CleanOpenMS, r.CleanOpenWorstMS), cell(r.CleanFirstReadMS, r.CleanFirstReadWorstMS), cell(r.LoadedMS, r.LoadedWorstMS),
		len(r.killed), cell(r.OpenMS, r.OpenWorstMS), cell(r.FirstReadMS, r.FirstReadWorstMS), cell(r.KillLoadedMS, r.KillLoadedWorst),
		cell(r.PredictedMS, r.PredictedWorstMS), restart.DefaultRestartBudget, r.OverBudget, r.Unpredicted, r.rungs(), r.Recovery, r.Seconds)
	if !asJSON {
		return nil
	}
	return json.NewEncoder(w).Encode(r)
}

// cache says how the opens were timed.
func (r *result) cache() string {
	if r.Cold {
		return " (cold cache)"
	}
	return " (warm cache)"
}

func (r *result) rungs() string {
	var list []string
	for _, rung := range slices.Sorted(maps.Keys(r.Rungs)) {
		list = append(list, fmt.Sprintf("%s %d x", rung, r.Rungs[rung]))
	}
	return strings.Join(list, ", ")
}

func cell(median, worst float64) string { return fmt.Sprintf("%.1f (%.1f)", median, worst) }

func medianAndWorst(d []time.Duration) (median, worst float64) {
	if len(d) == 0 {
		return 0, 0
	}
	d = slices.Sorted(slices.Values(d))
	return milliseconds(d[len(d)/2]), milliseconds(d[len(d)-1])
}

func milliseconds(d time.Duration) float64 { return math.Round(float64(d)/1e4) / 100 }

// findings counts what a check found and names the first few. Its methods may
// be called concurrently.
type findings struct {
	out             io.Writer
	mu              sync.Mutex
	nLost, nWrong   int
	nDamaged, named int
}

const maxNamed = 20

func (f *findings) lost(format string, args ...any) {
	f.name(&f.nLost, "LOST: "+format, args...)
}

func (f *findings) wrong(format string, args ...any) {
	f.name(&f.nWrong, "WRONG: "+format, args...)
}

func (f *findings) damaged(format string, args ...any) {
	f.name(&f.nDamaged, "DAMAGED: "+format, args...)
}

func (f *findings) name(count *int, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*count++
	if f.named++; f.named <= maxNamed {
		fmt.Fprintf(f.out, "  "+format+"\n", args...)
	}
}
