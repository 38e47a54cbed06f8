package restart_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

// everyOperation returns the error of each operation of a store.
func everyOperation(st *restart.Store, r *restart.Region) map[string]error {
	errs := map[string]error{
		"put":        r.Put([]byte("k"), []byte("v")),
		"delete":     r.Delete([]byte("k")),
		"clear":      r.Clear(),
		"scan":       iterError(r.All()),
		"ascend":     iterError(r.Ascend(nil, nil)),
		"drop":       st.DropRegion("a"),
		"checkpoint": st.Checkpoint(context.Background()),
		"compact":    st.Compact(context.Background()),
	}
	_, errs["get"] = r.Get([]byte("k"))
	_, errs["has"] = r.Has([]byte("k"))
	_, errs["entry"] = r.Entry([]byte("k"))
	_, errs["content hash"] = r.ContentHash()
	_, errs["region"] = st.Region("a", restart.RegionOptions{})
	_, errs["new region"] = st.Region("b", restart.RegionOptions{})
	_, errs["put with Sync"] = r.PutWith([]byte("k"), nil, restart.WriteOptions{Durability: restart.Sync})
	b := st.NewBatch()
	b.Put(r, []byte("k"), []byte("v"))
	_, errs["batch"] = st.Apply(b)
	return errs
}

func TestClosedStore(t *testing.T) {
	fsys := memfs.New()
	st := open(t, fsys, small(fsys))
	r := region(t, st, "a")
	put(t, r, "k", "v")
	for range 2 {
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	before := fsys.Fingerprint()
	for what, err := range everyOperation(st, r) {
		wantError(t, what, err, restart.ErrClosed)
	}
	// These have no error to return, and must not fall over.
	st.Metrics()
	st.Regions()
	st.DurableLSN()
	if err := st.Sync(); err != nil { // all that returned is durable
		t.Errorf("sync: %v", err)
	}
	if rep := st.Recovery(); rep.Rung == "" || r.Len() != 0 || r.Name() != "a" || r.Store() != st {
		t.Errorf("%v", rep)
	}
	if fsys.Fingerprint() != before {
		t.Error("a closed store changed its files")
	}
	wantContents(t, fsys, small(nil), contents{"a": {"k": "v"}})
}

func TestReadOnlyStore(t *testing.T) {
	fsys := memfs.New()
	st := open(t, fsys, small(fsys))
	put(t, region(t, st, "a"), "k", "v")
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	before := fsys.Fingerprint()
	st = open(t, fsys, restart.Options{ReadOnly: true})
	r := region(t, st, "a")
	reads := map[string]bool{"get": true, "has": true, "entry": true, "scan": true, "ascend": true, "content hash": true, "region": true}
	for what, err := range everyOperation(st, r) {
		switch {
		case reads[what]:
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		case what == "new region":
			wantError(t, what, err, restart.ErrNoRegion, `"b"`)
		default:
			wantError(t, what, err, restart.ErrReadOnly)
		}
	}
	wantValue(t, r, "k", "v")
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if fsys.Fingerprint() != before {
		t.Error("a read-only store changed its files")
	}
}

// AppendGet with room allocates nothing, and leaves what was there.
func TestAppendGetAllocates(t *testing.T) {
	fsys := memfs.New()
	st := open(t, fsys, small(fsys))
	r := region(t, st, "a")
	put(t, r, "k", strings.Repeat("v", 500))
	key, buf := []byte("k"), make([]byte, 0, 1000)
	if n := testing.AllocsPerRun(100, func() {
		var err error
		if buf, err = r.AppendGet(buf[:0], key); err != nil {
			t.Fatal(err)
		}
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations a read", n)
	}
	got, err := r.AppendGet([]byte("before "), key)
	if err != nil || string(got) != "before "+strings.Repeat("v", 500) {
		t.Errorf("%.20q, %v", got, err)
	}
	got, err = r.AppendGet([]byte("before "), []byte("absent"))
	wantError(t, "absent", err, restart.ErrNotFound)
	if string(got) != "before " {
		t.Errorf("dst became %q", got)
	}
	a, _ := r.Get(key)
	a[0] = 'x'
	wantValue(t, r, "k", strings.Repeat("v", 500))
}

func TestMetrics(t *testing.T) {
	fsys := memfs.New()
	o := small(fsys)
	o.Compaction = restart.NoCompaction
	st := open(t, fsys, o)
	a, b := region(t, st, "a"), region(t, st, "b")
	for i := range 100 {
		put(t, a, fmt.Sprint(i), strings.Repeat("v", 1000))
	}
	put(t, b, "k", "v")
	for i := range 10 {
		wantValue(t, a, fmt.Sprint(i), strings.Repeat("v", 1000))
		wantValue(t, a, fmt.Sprint("absent ", i), "-")
	}
	if err := st.Sync(); err != nil {
		t.Fatal(err)
	}
	m := st.Metrics()
	if m.Regions != 2 || m.Entries != 101 || m.Hits != 10 || m.Misses != 10 || m.FaultIns != 0 || m.Evictions != 0 {
		t.Errorf("%+v", m)
	}
	if m.Appends < 103 || m.Written < 100_000 || m.Syncs == 0 || m.End != m.Durable || m.Segments < 2 {
		t.Errorf("log: %+v", m)
	}
	if m.LiveBytes < 100_000 || m.LiveBytes > m.LogBytes || m.LogBytes > m.DiskBytes || m.MemoryUsed < 100_000 || m.MemoryUsed > m.MemoryMapped || m.MemoryLimit != 8<<20 {
		t.Errorf("bytes: %+v", m)
	}
	live := m.LiveBytes
	for i := range 100 {
		put(t, a, fmt.Sprint(i), strings.Repeat("w", 1000))
	}
	if got := st.Metrics().LiveBytes; got != live {
		t.Errorf("live bytes %d after overwriting, were %d", got, live)
	}
	before := st.Metrics().LogBytes
	if err := st.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m = st.Metrics(); m.Compacted == 0 || m.Moved == 0 || m.MovedSize == 0 || m.LogBytes >= before || m.LiveBytes < live {
		t.Errorf("after compaction of %d bytes: %+v", before, m)
	}
	if err := a.Clear(); err != nil {
		t.Fatal(err)
	}
	if m = st.Metrics(); m.Entries != 1 || m.LiveBytes > 200 {
		t.Errorf("after a clear: %+v", m)
	}
	checkpoint(t, st)
	checkpoint(t, st) // nothing changed
	if m = st.Metrics(); m.Checkpoints != 1 || m.PredictedRestart <= 0 {
		t.Errorf("after a checkpoint: %+v", m)
	}
}
