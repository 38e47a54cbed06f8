package restart_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs/memfs"
)

// TestCompactionPausesAfterFailure: a segment that is damaged stays, and the
// store goes on. The compactor says what is wrong, and does not read the segment
// over and over; when the damage is undone, it cleans it.
func TestCompactionPausesAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := small(fs)
		o.Compaction = restart.NoCompaction
		st := open(t, fs, o)
		r := region(t, st, "r")
		for i := range 400 { // nine of ten are garbage
			put(t, r, fmt.Sprint("key-", i%40), strings.Repeat("v", 8000))
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		first := segmentFiles(t, fs)[0]
		frame := dataFrames(t, fs, first)[1]
		bad := frame.off + segment.FrameHeaderSize + 500
		flip(t, fs, first, bad, 1)

		var mu sync.Mutex
		var failed, cleaned []time.Duration
		start := time.Now()
		o.Compaction = restart.SizeBased
		o.Events.CompactionEnd = func(i restart.CompactionInfo) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case i.Err == nil:
				cleaned = append(cleaned, time.Since(start))
			case errors.Is(i.Err, segment.ErrCorrupt) && strings.Contains(i.Err.Error(), filepath.Base(first)):
				failed = append(failed, time.Since(start))
			default:
				t.Errorf("compaction failed otherwise: %v", i.Err)
			}
		}
		st = open(t, fs, o)
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		if n := len(failed); n < 8 || n > 14 || len(cleaned) != 0 {
			t.Fatalf("in a minute %d failures at %v, cleaned at %v", n, failed, cleaned)
		}
		if gap := failed[1] - failed[0]; gap > time.Second {
			t.Errorf("second try after %v", gap)
		}
		mu.Unlock()
		r = region(t, st, "r")
		put(t, r, "key-1", "still writable")
		wantValue(t, r, "key-39", strings.Repeat("v", 8000))

		flip(t, fs, first, bad, 1)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		mu.Lock()
		if len(cleaned) == 0 {
			t.Error("not cleaned when the damage was undone")
		}
		mu.Unlock()
		wantValue(t, r, "key-1", "still writable")
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
}
