package inspect_test

import (
	"testing"

	"github.com/fastrestart/frs/internal/op"
)

// TestCut: frames beyond the point where a later epoch cut a segment are no
// part of the log, and no damage.
func TestCut(t *testing.T) {
	m := build(t)
	l := openLog(t, m)
	cut := l.Segments()[1].Base
	for f, err := range l.Frames(cut, l.End()) {
		if err != nil {
			t.Fatal(err)
		}
		if cut = f.End; cut > l.Segments()[1].Base+9000 {
			break
		}
	}
	if err := l.TruncateBack(cut); err != nil {
		t.Fatal(err)
	}
	appendRecord(t, l, op.AppendDelete(nil, 1, []byte("after the cut")))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	rep := verify(t, m)
	if len(rep.Damage) > 0 {
		t.Errorf("damage %+v", rep.Damage)
	}
	if rep.Counts.Deletes != 1 || rep.Counts.Puts >= 200 {
		t.Errorf("counts %+v", rep.Counts)
	}
}
