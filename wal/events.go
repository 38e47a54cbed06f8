package wal

import "time"

// Events are told what happens. Every func may be nil. They are called from
// the log's own or the caller's goroutine with no lock held, but while the
// flush or release that they report is in progress: they must be quick and must
// not wait for the log (Wait, Sync, Roll, Release, Close).
type Events struct {
	// SegmentBegun: a segment got its durable name and takes frames.
	SegmentBegun func(SegmentInfo)
	// SegmentSealed: a segment is finished and durable.
	SegmentSealed func(SegmentInfo)
	// SegmentsReleased: files were removed from the front, or because the back
	// was truncated.
	SegmentsReleased func([]SegmentInfo)
	// TailRecovered: unproven frames [from, to) of an unclean stop are durable
	// in a new segment.
	TailRecovered func(from, to LSN, d time.Duration)
	// Full: the disk has no room, or a file cannot be made for another reason
	// (ErrNoFile); called once until Resumed.
	Full func(error)
	// Resumed: there is room again, and files can be made.
	Resumed func()
	// Poisoned: the log is dead for writing; called once.
	Poisoned func(error)
	// Warning: something unexpected that costs no data.
	Warning func(error)
}

func (e *Events) segmentBegun(i SegmentInfo) {
	if e.SegmentBegun != nil {
		e.SegmentBegun(i)
	}
}

func (e *Events) segmentSealed(i SegmentInfo) {
	if e.SegmentSealed != nil {
		e.SegmentSealed(i)
	}
}

func (e *Events) segmentsReleased(i []SegmentInfo) {
	if e.SegmentsReleased != nil && len(i) > 0 {
		e.SegmentsReleased(i)
	}
}

func (e *Events) tailRecovered(from, to LSN, d time.Duration) {
	if e.TailRecovered != nil {
		e.TailRecovered(from, to, d)
	}
}

func (e *Events) full(err error) {
	if e.Full != nil {
		e.Full(err)
	}
}

func (e *Events) resumed() {
	if e.Resumed != nil {
		e.Resumed()
	}
}

func (e *Events) poisoned(err error) {
	if e.Poisoned != nil {
		e.Poisoned(err)
	}
}

func (e *Events) warning(err error) {
	if e.Warning != nil && err != nil {
		e.Warning(err)
	}
}
