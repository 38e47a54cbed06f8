package inspect

import (
	"time"

	"github.com/fastrestart/frs/segment"
)

// Stat describes a log by its files, without reading the records that an open
// does not read.
type Stat struct {
	Dir      string      `json:"dir"`
	Segments []Segment   `json:"segments"`
	Bytes    int64       `json:"bytes"`     // of all files
	First    segment.LSN `json:"first_lsn"` // where the log starts
	End      segment.LSN `json:"end_lsn"`   // where it goes on
	// ProvenDurable is how far the log itself says that it was durable.
	ProvenDurable segment.LSN `json:"proven_durable_lsn"`
	LowWater      segment.LSN `json:"low_water_lsn"`
	HighTime      time.Time   `json:"high_time,omitzero"` // latest store time seen

	// TornBytes behind the end are no part of the log: an unfinished write, or
	// the last group before a crash, possibly acknowledged. A torn tail is no
	// damage. Nothing was cut by looking.
	TornBytes int64    `json:"torn_bytes"`
	Warnings  []string `json:"warnings,omitempty"`
	// Refused says why the log does not open, if it does not; all fields
	// between Bytes and Warnings are zero then.
	Refused *Damage `json:"refused,omitempty"`
}

// Stat describes the log.
func (l *Log) Stat() Stat {
	s := Stat{Dir: l.dir, Segments: l.segs}
	for _, seg := range l.segs {
		s.Bytes += seg.Bytes
	}
	if l.refused != nil {
		s.Refused = DamageOf(l.refused)
		return s
	}
	s.First, s.End, s.ProvenDurable, s.LowWater = l.tail.First, l.tail.End, l.tail.ProvenDurable, l.tail.LowWater
	s.TornBytes, s.Warnings = l.tail.TornBytes, l.tail.Warnings
	if l.tail.HighTime != 0 {
		s.HighTime = time.Unix(0, l.tail.HighTime).UTC()
	}
	return s
}
