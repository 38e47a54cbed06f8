package restart_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// TestMemoryOfLoadedValues: values that the loader has read and not given to
// their entries fill memory that keys nearly fill. A put has them given away,
// though the loader waits for the disk, and succeeds.
func TestMemoryOfLoadedValues(t *testing.T) {
	fsys := memfs.New()
	o := small(fsys)
	o.SegmentSize, o.Compaction = 8<<20, restart.NoCompaction
	st := open(t, fsys, o)
	r := region(t, st, "r")
	key := func(i int) string { return fmt.Sprintf("%0990d", i) }
	const keys = 3000
	for i := range keys {
		put(t, r, key(i), strings.Repeat("v", 200))
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	o.Load = restart.KeysOnly
	st = open(t, fsys, o)
	region(t, st, "r").Len()
	used := st.Metrics().MemoryUsed
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}

	synctest.Test(t, func(t *testing.T) {
		var armed atomic.Bool
		gate := make(chan struct{})
		o.Load, o.MemoryLimit = restart.Lazy, used+used/8
		o.FS = errfs.Wrap(fsys, errfs.Rule{
			Kinds: errfs.Read, Name: "*.seg", Skip: 1, Times: errfs.Forever,
			Match: func(op errfs.Op) bool { return armed.Load() && op.Length > 1<<16 }, Before: func(errfs.Op) { <-gate },
		})
		st, err := restart.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		r := region(t, st, "r")
		r.Len()
		armed.Store(true)
		time.Sleep(time.Second) // the loader is at its second read
		if now := st.Metrics().MemoryUsed; now < used+used/16 {
			t.Errorf("%d bytes in memory, %d of them keys: the test shows nothing", now, used)
		}
		if err := r.Put([]byte("one more"), make([]byte, used/8-8<<10)); err != nil {
			t.Error(err)
		}
		close(gate)
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
}
