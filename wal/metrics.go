package wal

import "time"

// counters are guarded by Log.mu.
type counters struct {
	appends, records, payloadBytes uint64
}

// Metrics is the state of a log at one moment, and what it did since Open.
type Metrics struct {
	First, Durable, Written, End LSN

	Appends      uint64 // frames appended, the log's own included
	Records      uint64 // of them the users' writes
	PayloadBytes uint64 // of them, before compression
	LogBytes     uint64 // written to segment files: frames with headers
	Writes       uint64 // write calls for frames
	Syncs        uint64 // of segments that take frames
	SyncTotal    time.Duration
	SyncRecent   time.Duration // moving average of a group's flush with sync
	Sealed       uint64        // segments finished

	Segments   int
	DiskBytes  int64 // size of the segment files in the log
	SpareBytes int64 // size of files prepared for the next segments
	FreeBytes  int64 // room that is reserved on disk and not used, the system's share included

	Full     bool  // the disk has no room; resumes by itself
	Poisoned error // why the log takes no more writes, nil if it does
}

// Metrics returns the log's metrics.
func (l *Log) Metrics() Metrics {
	m := Metrics{
		LogBytes: l.lead.bytes.Load(), Writes: l.lead.writes.Load(),
		Syncs: l.lead.syncs.Load(), SyncTotal: time.Duration(l.lead.syncTime.Load()),
		SyncRecent: l.group.SyncTime(), Sealed: l.lead.sealed.Load(),
		Full: l.lead.full.Load(), Poisoned: l.poison.Err(), FreeBytes: l.avail.Load(),
	}
	// In this order, so that First ≤ Durable ≤ Written ≤ End holds for what is
	// returned.
	m.First, m.Durable, m.Written, m.End = l.First(), l.Durable(), l.Written(), l.End()
	l.mu.Lock()
	m.Appends, m.Records, m.PayloadBytes = l.count.appends, l.count.records, l.count.payloadBytes
	for _, sp := range l.space.ready {
		m.SpareBytes += sp.size
	}
	m.Full = m.Full || l.space.err != nil
	l.mu.Unlock()
	for _, s := range l.Segments() {
		m.Segments++
		m.DiskBytes += s.Bytes
	}
	return m
}
