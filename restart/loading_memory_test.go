package restart_test

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// TestMemoryOfWaitingRecords: after an open, the records behind the image fill
// memory and wait for their part, which is not loaded yet. They are in no
// table, so nothing can leave memory; a put waits for the part and succeeds.
func TestMemoryOfWaitingRecords(t *testing.T) {
	fs := memfs.New()
	o := small(fs)
	o.MemoryLimit, o.Compaction = 1<<20, restart.NoCompaction
	st := open(t, fs, o)
	r := region(t, st, "r")
	key, value := []byte("key"), bytes.Repeat([]byte("v"), 30<<10)
	put(t, r, "key", "in the image")
	if err := st.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := r.Put(key, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Sync(); err != nil {
		t.Fatal(err)
	}

	killed := fs.KillClone()
	im := decodeImage(t, readAll(t, killed, filesLike(t, killed, "*.img")[0]))
	part := im.Regions[0].Parts[index.Part(index.HashKey(key), im.Regions[0].PartBits)]
	loading, gate := make(chan struct{}), make(chan struct{})
	o.FS = errfs.Wrap(killed, errfs.Rule{
		Kinds: errfs.Read, Name: "*.img", Match: func(op errfs.Op) bool { return op.Offset == part.Offset },
		Before: func(errfs.Op) { close(loading); <-gate },
	})
	again, err := restart.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	<-loading
	if used := again.Metrics().MemoryUsed; used < o.MemoryLimit-2*int64(len(value)) {
		t.Errorf("%d bytes in memory: the test shows nothing", used)
	}
	done := make(chan error)
	r = region(t, again, "r")
	go func() { done <- r.Put([]byte("other"), value) }()
	for range 50_000 { // time enough to fail
		runtime.Gosched()
	}
	close(gate)
	if err := <-done; err != nil {
		t.Errorf("put while the part is loaded: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
