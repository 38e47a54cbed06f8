package inspect

import (
	"context"
	"errors"
	"fmt"

	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/segment"
)

// Damage is one place that is not as it was written.
type Damage struct {
	File   string      `json:"file,omitempty"`
	Offset int64       `json:"offset"`         // in the file; -1: the file as a whole
	LSN    segment.LSN `json:"lsn,omitempty"`  // first that cannot be read
	Last   segment.LSN `json:"last,omitempty"` // end of what is known to have been there
	Reason string      `json:"reason"`
	// TimeOnly: what is damaged is an image of the index. No data is lost, the
	// next restart takes longer.
	TimeOnly bool `json:"time_only,omitempty"`
}

// Counts says what the records of a log are.
type Counts struct {
	Frames   int64 `json:"frames"`
	Payload  int64 `json:"payload_bytes"` // decompressed
	Puts     int64 `json:"puts"`          // in batches or not, as are deletes
	Deletes  int64 `json:"deletes"`
	Batches  int64 `json:"batches"`
	Clears   int64 `json:"clears"`
	Creates  int64 `json:"region_creates"`
	Alters   int64 `json:"region_alters"`
	Drops    int64 `json:"region_drops"`
	Internal int64 `json:"internal"` // marks and low-water records
}

// Report is what [Log.Verify] found.
type Report struct {
	Stat
	Images []Image  `json:"images,omitempty"` // of the store, the newest first
	Counts Counts   `json:"counts"`
	Damage []Damage `json:"damage"` // never nil
}

// Verify reads every byte of the log and checks every checksum, every record
// and every operation of every batch; then the same for the images of a store,
// and that what they say of the log is so. It takes 16 bytes of memory for each
// entry of an image. Damage is in the report; the error is for what could not be
// looked at: a failing disk, a later version, the context's end.
func (l *Log) Verify(ctx context.Context, progress Progress) (Report, error) {
	v := verifier{rep: Report{Stat: l.Stat(), Damage: []Damage{}}, defined: map[uint32]bool{}, used: map[uint32]segment.LSN{}}
	var err error
	read := int64(0)
	v.images, err = l.checkImages(ctx, func(n int64) {
		if read += n; progress != nil {
			progress(read, read+v.rep.Bytes)
		}
	})
	if err != nil {
		return v.rep, err
	}
	for f, err := range l.Frames(ctx, Range{}, progress.after(read)) {
		if err == nil {
			err = v.frame(f)
		}
		if err != nil && !v.damage(err) {
			return v.rep, err
		}
	}
	v.regions()
	damaged := len(v.rep.Damage) > 0
	for _, c := range v.images {
		c.finish(damaged)
		v.rep.Damage = append(v.rep.Damage, c.damage...)
		v.rep.Images = append(v.rep.Images, c.Image)
	}
	return v.rep, nil
}

// after returns a progress that goes on behind so many bytes.
func (p Progress) after(read int64) Progress {
	if p == nil {
		return nil
	}
	return func(done, total int64) { p(read+done, read+total) }
}

type verifier struct {
	rep     Report
	defined map[uint32]bool        // regions created or dropped
	used    map[uint32]segment.LSN // regions with other records, and the first
	images  []*imageCheck
}

// damage adds err to the report if it says that something is damaged.
func (v *verifier) damage(err error) bool {
	d := DamageOf(err)
	if d != nil {
		v.rep.Damage = append(v.rep.Damage, *d)
	}
	return d != nil
}

// frame checks one frame, whose own checksums held.
func (v *verifier) frame(f segment.Frame) error {
	v.rep.Counts.Frames++
	if f.Kind != segment.Data {
		v.rep.Counts.Internal++
		return nil
	}
	v.rep.Counts.Payload += int64(len(f.Payload))
	o, err := op.Decode(f.Payload)
	if err != nil {
		return recordError(f, err)
	}
	for _, c := range v.images {
		c.frame(f, o)
	}
	if o.Kind != op.KindBatch {
		v.record(f.LSN, o)
		return nil
	}
	v.rep.Counts.Batches++
	return v.batch(f, o.Batch)
}

// batch checks the operations of a batch: at most one for a region and key.
func (v *verifier) batch(f segment.Frame, b op.Batch) error {
	type place struct {
		region uint32
		key    string
	}
	seen := make(map[place]bool, b.Len())
	for o, err := range b.All() {
		if err != nil {
			return recordError(f, err)
		}
		p := place{o.Region, string(o.Key)}
		if seen[p] {
			return recordError(f, fmt.Errorf("%w: two operations for one key in a batch", op.ErrCorrupt))
		}
		seen[p] = true
		v.record(f.LSN, o)
	}
	return nil
}

func (v *verifier) record(at segment.LSN, o op.Op) {
	c := &v.rep.Counts
	switch o.Kind {
	case op.KindPut:
		c.Puts++
	case op.KindDelete:
		c.Deletes++
	case op.KindClear:
		c.Clears++
	case op.KindRegionCreate:
		c.Creates++
	case op.KindRegionAlter:
		c.Alters++
	case op.KindRegionDrop:
		c.Drops++
	}
	if o.Kind == op.KindRegionCreate || o.Kind == op.KindRegionDrop {
		v.defined[o.Region] = true
	} else if _, ok := v.used[o.Region]; !ok {
		v.used[o.Region] = at
	}
}

// regions reports records of regions that were neither created nor dropped. In
// a log with other damage their creation may be what is lost, so it says nothing
// then.
func (v *verifier) regions() {
	if len(v.rep.Damage) > 0 {
		return
	}
	for id, at := range v.used {
		if !v.defined[id] {
			v.rep.Damage = append(v.rep.Damage, Damage{Offset: -1, LSN: at,
				Reason: fmt.Sprintf("records of region %d, but its creation is not in the log", id)})
		}
	}
}

// recordError places an error of package op. One that says that a later version
// wrote the record is no damage.
func recordError(f segment.Frame, err error) error {
	if errors.Is(err, op.ErrUnsupported) {
		return fmt.Errorf("record at LSN %d: %w", f.LSN, err)
	}
	return &segment.CorruptionError{Offset: -1, LSN: f.LSN, Last: f.End, Reason: err.Error()}
}

// DamageOf returns the damage that err is about, or nil.
func DamageOf(err error) *Damage {
	var c *segment.CorruptionError
	if !errors.As(err, &c) {
		return nil
	}
	return &Damage{File: c.File, Offset: c.Offset, LSN: c.LSN, Last: c.Last, Reason: c.Reason}
}
