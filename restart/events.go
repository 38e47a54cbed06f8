package restart

import (
	"log/slog"
	"time"

	"github.com/fastrestart/frs/wal"
)

// Events are functions that a store calls as things happen. A nil function is
// not called. They are called without any lock held, but for PartDamaged, possibly
// from several goroutines at once, and should return soon: the compactor or the
// writer that calls waits.
type Events struct {
	// Recovered is called within Open, when the index is there; an eager load follows.
	Recovered func(RecoveryReport)
	// CompactionBegin and CompactionEnd enclose the cleaning of the oldest segments.
	// What failed is tried again, after 250 ms at first and 8 s in the end; so is
	// a checkpoint.
	CompactionBegin func(CompactionInfo)
	CompactionEnd   func(CompactionInfo)
	// CheckpointBegin and CheckpointEnd enclose the writing of an image.
	CheckpointBegin func()
	CheckpointEnd   func(CheckpointInfo)
	// BudgetMissed is called once when a restart would take longer than the
	// RestartBudget and a checkpoint would not be worth its writes.
	BudgetMissed func(predicted time.Duration)
	// LoadProgress is called as values are loaded, after a segment or several.
	LoadProgress func(LoadInfo)
	// Loaded is called when the background has loaded what fits in memory.
	Loaded func(RecoveryReport)
	// LoadFailed is called once, when the background finds what it cannot load: a
	// segment that Open did not look at is damaged, the disk fails, or memory for
	// keys is short. The rest can be used; whoever needs what could not be loaded
	// gets an error.
	LoadFailed func(err error)
	// PartDamaged is called when a part of an image was unreadable and was
	// rebuilt from the older image and the log, or from the log alone. It must not
	// write: a put that waits for memory may be what had the part loaded, and holds
	// a lock that another one would wait for.
	PartDamaged func(region string, err error)
	// Log passes on what the log below reports: rolled and released segments,
	// a torn tail, a full disk, the failure that poisons the store.
	Log wal.Events
}

// CompactionInfo describes the cleaning of segments, the oldest of the log.
// Moved, MovedBytes, Took and Err are set at the end.
type CompactionInfo struct {
	First      string // file name of the oldest
	Segments   int    // how many
	Bytes      int64  // of log in them
	Moved      int64  // records that were live
	MovedBytes int64
	Took       time.Duration
	Err        error
}

// CheckpointInfo describes an image: what it is of, and its size.
type CheckpointInfo struct {
	From, To LSN
	Bytes    int64
	Took     time.Duration
	Err      error
}

// LoadInfo says how far the loading has come, in bytes of log. Remaining is an
// estimate; less is read when memory is full before. The loading begins anew where
// a look at the whole log met damage or had to make room.
type LoadInfo struct {
	Done, Total int64
	Remaining   time.Duration
}

// advance adds n bytes to what was done in the time since the beginning.
func (i *LoadInfo) advance(n int64, since time.Duration) {
	i.Done += n
	i.Remaining = time.Duration(float64(since) / float64(i.Done) * float64(i.Total-i.Done))
}

func (e Events) loadProgress(i LoadInfo) {
	if e.LoadProgress != nil {
		e.LoadProgress(i)
	}
}

func (e Events) checkpointBegin() {
	if e.CheckpointBegin != nil {
		e.CheckpointBegin()
	}
}

func (e Events) checkpointEnd(i CheckpointInfo) {
	if e.CheckpointEnd != nil {
		e.CheckpointEnd(i)
	}
}

func (e Events) budgetMissed(d time.Duration) {
	if e.BudgetMissed != nil {
		e.BudgetMissed(d)
	}
}

func (e Events) loaded(r RecoveryReport) {
	if e.Loaded != nil {
		e.Loaded(r)
	}
}

func (e Events) partDamaged(region string, err error) {
	if e.PartDamaged != nil {
		e.PartDamaged(region, err)
	}
}

func (e Events) recovered(r RecoveryReport) {
	if e.Recovered != nil {
		e.Recovered(r)
	}
}

func (e Events) compactionBegin(i CompactionInfo) {
	if e.CompactionBegin != nil {
		e.CompactionBegin(i)
	}
}

func (e Events) compactionEnd(i CompactionInfo) {
	if e.CompactionEnd != nil {
		e.CompactionEnd(i)
	}
}

// LogEvents returns Events that write to a structured logger: what an operator
// should see as Info, failures as Error, the rest as Debug.
func LogEvents(l *slog.Logger) Events {
	return Events{
		Recovered: func(r RecoveryReport) {
			l.Info("store recovered", "rung", r.Rung, "reason", r.Reason, "entries", r.Entries,
				"records", r.Records, "torn_bytes", r.TornBytes, "took", r.Took)
			for _, w := range r.Warnings {
				l.Warn("recovery", "warning", w)
			}
		},
		CompactionBegin: func(i CompactionInfo) { l.Debug("compaction begins", "first", i.First, "segments", i.Segments) },
		CompactionEnd: func(i CompactionInfo) {
			if i.Err != nil {
				l.Error("compaction failed", "first", i.First, "segments", i.Segments, "error", i.Err)
				return
			}
			l.Debug("compaction ended", "first", i.First, "segments", i.Segments, "moved", i.Moved, "took", i.Took)
		},
		CheckpointEnd: func(i CheckpointInfo) {
			if i.Err != nil {
				l.Error("checkpoint failed", "error", i.Err)
				return
			}
			l.Debug("checkpoint", "to", i.To, "bytes", i.Bytes, "took", i.Took)
		},
		BudgetMissed: func(d time.Duration) { l.Warn("restart budget cannot be kept", "predicted", d) },
		Loaded:       func(r RecoveryReport) { l.Info("store loaded", "after", r.Loaded, "first_read", r.FirstRead) },
		LoadFailed:   func(err error) { l.Error("not all could be loaded", "error", err) },
		PartDamaged: func(region string, err error) {
			l.Error("part of an image was damaged and rebuilt", "region", region, "error", err)
		},
		Log: wal.Events{
			TailRecovered: func(from, to LSN, d time.Duration) {
				l.Info("unproven tail made durable", "from", from, "to", to, "took", d)
			},
			Full:     func(err error) { l.Error("disk full: writes fail until there is room", "error", err) },
			Resumed:  func() { l.Info("disk has room again") },
			Poisoned: func(err error) { l.Error("log failed: writes fail until the store is reopened", "error", err) },
			Warning:  func(err error) { l.Warn("log", "error", err) },
		},
	}
}
