package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// TestImpossibleLowWater: a low-water frame whose checksums hold, with a mark
// that no writer writes.
func TestImpossibleLowWater(t *testing.T) {
	f := newFile(testHeader())
	f.add([]byte("before"), f.h.Base)
	at := f.end()
	for name, c := range map[string]struct {
		mark LSN
		fine bool
	}{
		"the durable mark":  {f.h.Base, true},
		"below":             {8, true},
		"none":              {0, false},
		"not aligned":       {f.h.Base - 4, false},
		"above the durable": {f.h.Base + 8, false},
		"its own place":     {at, false},
		"behind its frame":  {at + 40, false},
		"beyond every log":  {1 << 63, false},
	} {
		g := &file{h: f.h, b: bytes.Clone(f.b), stamp: f.stamp}
		g.frame(FrameHeader{Kind: LowWater, Raw: 8, Durable: f.h.Base}, binary.LittleEndian.AppendUint64(nil, uint64(c.mark)))
		g.add([]byte("behind"), f.h.Base)
		s := g.scanner(ScanOptions{Name: "f"})
		got, err := drain(s)
		var e *CorruptionError
		switch {
		case c.fine && (len(got) != 3 || s.Stop() != StopUnused):
			t.Errorf("%s: %d frames, %v", name, len(got), err)
		case !c.fine && (len(got) != 1 || s.Stop() != StopImpossible || !errors.As(err, &e) || e.File != "f" || e.LSN != at):
			t.Errorf("%s: %d frames, stop %d, %v", name, len(got), s.Stop(), err)
		}
	}
}
