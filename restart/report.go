package restart

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Rung of the restart ladder: how the index was rebuilt at open.
type Rung string

// The rungs, from the quickest.
const (
	RungCleanImage Rung = "clean image"          // nothing to replay
	RungImageTail  Rung = "image and tail"       // the newest image, and the log behind it
	RungOlderImage Rung = "older image and tail" // the newest image was refused
	RungFullScan   Rung = "full scan"            // no image could be used, or an eager load did not need one
)

// RecoveryReport says what an open found and did.
type RecoveryReport struct {
	Rung   Rung   `json:"rung"`
	Reason string `json:"reason,omitempty"` // why no rung above
	Image  string `json:"image,omitempty"`  // file name

	Regions int   `json:"regions"`
	Entries int64 `json:"entries"` // in all regions
	Records int64 `json:"records"` // frames read, superseded ones included
	Bytes   int64 `json:"bytes"`   // of the log that was read

	First LSN `json:"first_lsn"` // start of the log
	End   LSN `json:"end_lsn"`   // where it goes on
	// ProvenDurable is how far the log says that it was durable. What lies
	// between it and End was there, and is made durable anew.
	ProvenDurable LSN `json:"proven_durable_lsn"`

	// TornBytes were cut from the end: an unfinished write, or the last group
	// before a crash, possibly acknowledged. They are kept in TornFile.
	TornBytes int64  `json:"torn_bytes"`
	TornFile  string `json:"torn_file,omitempty"`

	Warnings []string `json:"warnings,omitempty"`

	// Took is the time of the recovery within Open.
	Took time.Duration `json:"took_ns"`
	// From the call of Open: until it returned, until the first Get of any
	// region had an answer, until all that fits was in memory. Zero as long as that has
	// not happened.
	OpenTook  time.Duration `json:"open_ns,omitempty"`
	FirstRead time.Duration `json:"first_read_ns,omitempty"`
	Loaded    time.Duration `json:"loaded_ns,omitempty"`
	// LoadFailed says what the loading in the background could not read:
	// whoever reads that gets an error.
	LoadFailed string `json:"load_failed,omitempty"`
	// DamagedParts of the image were rebuilt from an older one and the log.
	DamagedParts int `json:"damaged_parts,omitempty"`
}

// reportBox holds a report that grows while the store loads.
type reportBox struct {
	mu sync.Mutex
	r  RecoveryReport
}

func (b *reportBox) set(r RecoveryReport) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.r = r
}

func (b *reportBox) get() RecoveryReport {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.r
}

// change changes the report.
func (b *reportBox) change(f func(r *RecoveryReport)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.r)
}

// firstRead notes the first answer.
func (st *Store) firstRead() {
	if st.wasRead.CompareAndSwap(false, true) {
		took := time.Since(st.begun)
		st.report.change(func(r *RecoveryReport) { r.FirstRead = took })
	}
}

// String is the report on one line.
func (r RecoveryReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", r.Rung)
	if r.Reason != "" {
		fmt.Fprintf(&b, " (%s)", r.Reason)
	}
	fmt.Fprintf(&b, ": %d entries in %d regions, replayed %d records, %d bytes, in %v",
		r.Entries, r.Regions, r.Records, r.Bytes, r.Took.Round(time.Microsecond))
	if r.TornBytes > 0 {
		fmt.Fprintf(&b, "; %d bytes cut at the end, possibly acknowledged, kept in %s", r.TornBytes, r.TornFile)
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "; %s", w)
	}
	if r.LoadFailed != "" {
		fmt.Fprintf(&b, "; not all could be loaded: %s", r.LoadFailed)
	}
	return b.String()
}

// Metrics of a store at one moment. Counters count since Open.
type Metrics struct {
	Regions int   `json:"regions"`
	Entries int64 `json:"entries"`

	Hits     int64 `json:"hits"`      // reads that found their key
	Misses   int64 `json:"misses"`    // reads that did not
	FaultIns int64 `json:"fault_ins"` // values read from the log

	MemoryUsed   int64 `json:"memory_used"`   // bytes of cells and index
	MemoryMapped int64 `json:"memory_mapped"` // bytes taken from the system
	MemoryLimit  int64 `json:"memory_limit"`
	Evictions    int64 `json:"evictions"` // values that left memory
	Expired      int64 `json:"expired"`   // entries swept after their time

	LiveBytes int64 `json:"live_bytes"` // of the log, without garbage
	LogBytes  int64 `json:"log_bytes"`  // from First to End
	DiskBytes int64 `json:"disk_bytes"` // of the log's files
	Segments  int   `json:"segments"`
	End       LSN   `json:"end_lsn"`
	Durable   LSN   `json:"durable_lsn"`

	Syncs    uint64        `json:"syncs"`
	SyncTime time.Duration `json:"sync_time_ns"` // all syncs together
	Appends  uint64        `json:"appends"`      // records
	Written  uint64        `json:"written"`      // bytes of log

	Checkpoints      int64         `json:"checkpoints"`          // images written
	PredictedRestart time.Duration `json:"predicted_restart_ns"` // if the process died now

	Compacted int64 `json:"compacted"` // segments cleaned and released
	Moved     int64 `json:"moved"`     // records moved by the compactor
	MovedSize int64 `json:"moved_bytes"`
}

// Metrics returns the store's figures.
func (st *Store) Metrics() Metrics {
	l := st.log.Metrics()
	pool := st.pool.Stats()
	m := Metrics{
		FaultIns: st.metrics.faultIns.Load(), Evictions: st.metrics.evictions.Load(), Expired: st.metrics.expired.Load(),
		MemoryUsed: pool.Used, MemoryMapped: pool.Mapped, MemoryLimit: st.pool.Limit(),
		LogBytes: int64(l.End - l.First), DiskBytes: l.DiskBytes, Segments: l.Segments, End: l.End, Durable: l.Durable,
		Syncs: l.Syncs, SyncTime: l.SyncTotal, Appends: l.Records, Written: l.LogBytes,
		Checkpoints: st.metrics.checkpoints.Load(), PredictedRestart: st.PredictedRestart(),
		Compacted: st.metrics.compactions.Load(), Moved: st.metrics.moved.Load(), MovedSize: st.metrics.movedBytes.Load(),
	}
	for _, r := range st.catalog.all() {
		m.Regions++
		m.Entries += r.indexed()
		for i := range r.shards {
			sh := &r.shards[i]
			sh.mu.RLock()
			m.LiveBytes += sh.live
			sh.mu.RUnlock()
			m.Hits += sh.hits.Load()
			m.Misses += sh.misses.Load()
		}
	}
	return m
}
