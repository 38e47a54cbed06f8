package wal

import (
	"fmt"

	"github.com/fastrestart/frs/segment"
)

// verdict is what the end of the newest segment is.
type verdict uint8

const (
	clean verdict = iota // sealed, or followed by nothing
	torn                 // followed by bytes that nobody was promised
)

// testimony is everything that is known about the end of the newest segment.
//
//	base       valid frames        x      whatever follows          allocated
//	  |----------------------------|~~~~~~~~~~~~~~~~~~~~~~~~~~|000000000|
//	        marks promise ≤ x            headers promise > x ?
type testimony struct {
	file   string
	offset int64 // of x
	x      LSN   // end of the last valid frame
	reason error // why what follows is no frame
	stop   segment.Stop

	size      int64 // of the file
	allocated int64 // it was at least that long when it got its name

	behind  segment.Evidence // what follows x
	marks   LSN              // highest durable mark of the valid frames
	closed  LSN              // TAIL, if it speaks of this epoch
	outside LSN              // Options.KnownDurable
}

// judge decides whether a log ends cleanly, in a torn tail, or in damage. This
// is the only place that decides it.
//
// Nothing is ever lost silently: bytes are given up only if no evidence says
// that they were durable. The evidence is, in order: what frame headers and
// footers behind x promise; TAIL; the caller; the file's size, since a file is
// cut below its allocation only after it was sealed and synced; a frame at x
// that is whole, so not torn, and says what cannot be. Valid frames
// behind x are no evidence by themselves: the disk writes unsynced bytes in any
// order.
func judge(t *testimony) (verdict, error) {
	promised := max(t.behind.Durable, t.marks, t.closed, t.outside)
	switch {
	case promised > t.x:
		return 0, t.damage(max(promised, t.behind.Last), "a promise says that the log was durable to %d", promised)
	case t.size < t.allocated && t.stop != segment.StopFooter:
		return 0, t.damage(t.behind.Last, "file has %d bytes, was %d, and is not sealed", t.size, t.allocated)
	case t.stop == segment.StopImpossible:
		return 0, t.damage(t.behind.Last, "a frame is whole and says what no writer writes")
	case t.stop == segment.StopFooter, t.behind.Used == 0:
		return clean, nil
	default:
		return torn, nil
	}
}

func (t *testimony) damage(last LSN, format string, args ...any) error {
	why := fmt.Sprintf(format, args...)
	if t.reason != nil {
		why += "; " + t.reason.Error()
	}
	return &segment.CorruptionError{File: t.file, Offset: t.offset, LSN: t.x, Last: last, Reason: why}
}
