package restart_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

// slack is what the index may grow by beyond the limit before the next value
// makes room.
const slack = 16 << 10

// limited is a store of 1 MiB.
func limited(t *testing.T) (*memfs.FS, *restart.Store, *restart.Region) {
	t.Helper()
	fsys := memfs.New()
	o := small(fsys)
	o.MemoryLimit, o.Compaction = 1<<20, restart.NoCompaction
	st := open(t, fsys, o)
	return fsys, st, region(t, st, "a")
}

// Values leave memory when it is full and come back when they are asked for;
// the counters tell. Nothing is written for it (G4).
func TestValuesLeaveMemory(t *testing.T) {
	fsys, st, r := limited(t)
	const n = 3000
	value := func(i int) string { return strings.Repeat(fmt.Sprintf("%04d", i), 250) }
	for i := range n {
		put(t, r, fmt.Sprintf("key-%04d", i), value(i))
		if used := st.Metrics().MemoryUsed; used > 1<<20+slack {
			t.Fatalf("%d bytes in memory after %d puts", used, i+1)
		}
	}
	m := st.Metrics()
	if m.Evictions < n/2 || m.FaultIns != 0 || m.Entries != n {
		t.Fatalf("%+v", m)
	}
	for i := range n {
		if ok, err := r.Has(fmt.Appendf(nil, "key-%04d", i)); err != nil || !ok {
			t.Fatalf("Has: %v, %v", ok, err)
		}
	}
	keys := 0
	for _, err := range r.Keys(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		keys++
	}
	if keys != n || st.Metrics().FaultIns != 0 {
		t.Errorf("%d keys, %d values read for them", keys, st.Metrics().FaultIns)
	}
	if err := st.Sync(); err != nil { // or the puts' last bytes count as the reads'
		t.Fatal(err)
	}
	written, before := st.Metrics().Written, m.Evictions
	for i := range n {
		wantValue(t, r, fmt.Sprintf("key-%04d", i), value(i))
	}
	m = st.Metrics()
	if m.FaultIns < n/2 || m.FaultIns > n || m.Hits < n || m.Evictions <= before || m.MemoryUsed > 1<<20+slack {
		t.Errorf("after reading all: %+v", m)
	}
	if m.Written-written > 64<<10 {
		t.Errorf("%d bytes written by reads", m.Written-written)
	}
	// A value that was just read is there for the next read.
	faults := m.FaultIns
	wantValue(t, r, fmt.Sprintf("key-%04d", n-1), value(n-1))
	if got := st.Metrics().FaultIns; got != faults {
		t.Errorf("%d values read again", got-faults)
	}
	// Updates, deletions and clears apply to what is not in memory.
	put(t, r, "key-0001", "new")
	if err := r.Delete([]byte("key-0002")); err != nil {
		t.Fatal(err)
	}
	wantValue(t, r, "key-0001", "new")
	wantValue(t, r, "key-0002", "-")
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	o := small(fsys)
	o.MemoryLimit = 1 << 20
	st = open(t, fsys, o)
	r = region(t, st, "a")
	wantValue(t, r, "key-0001", "new")
	wantValue(t, r, "key-0002", "-")
	wantValue(t, r, "key-0003", value(3))
	if got := r.Len(); got != n-1 {
		t.Errorf("Len %d, want %d", got, n-1)
	}
	if err := r.Clear(); err != nil {
		t.Fatal(err)
	}
	wantValue(t, r, "key-0004", "-")
}

// Values that were batched leave memory too, and are read back from the batch,
// compressed or not, also after the compactor took them apart.
func TestBatchedValuesLeaveMemory(t *testing.T) {
	for _, c := range []restart.Compression{restart.CompressNone, restart.CompressS2, restart.CompressZstd} {
		fsys := memfs.New()
		o := small(fsys)
		o.MemoryLimit, o.Compression, o.Compaction = 1<<20, c, restart.NoCompaction
		st := open(t, fsys, o)
		r := region(t, st, "a")
		want := contents{"a": {}}
		for i := range 30 {
			b := st.NewBatch()
			for j := range 40 {
				k, v := fmt.Sprintf("%d-%d", i, j), strings.Repeat(fmt.Sprint(i, j, " "), 300)
				b.Put(r, []byte(k), []byte(v))
				want["a"][k] = v
			}
			if _, err := st.Apply(b); err != nil {
				t.Fatal(err)
			}
		}
		for pass := range 3 {
			got, err := read(st)
			if err != nil || diff(got, want) != "" {
				t.Fatalf("%v, pass %d: %v %s", c, pass, err, diff(got, want))
			}
			if m := st.Metrics(); m.FaultIns == 0 || m.Evictions == 0 {
				t.Errorf("%v: nothing left memory: %+v", c, m)
			}
			if pass == 1 {
				if err := st.Compact(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// Keys stay in memory: when they alone are too many, writes fail and say so,
// nothing is written, and everything that was acknowledged is there.
func TestMemoryFull(t *testing.T) {
	fsys, st, r := limited(t)
	want := contents{"a": {}}
	var failed string
	for i := range 20_000 {
		k := fmt.Sprintf("%05d%s", i, strings.Repeat("k", 200))
		err := r.Put([]byte(k), []byte("v"))
		if err != nil {
			wantError(t, "put", err, restart.ErrMemoryFull, fmt.Sprint(1<<20))
			failed = k
			break
		}
		want["a"][k] = "v"
	}
	if failed == "" || len(want["a"]) < 2000 {
		t.Fatalf("%d keys in 1 MiB, failed: %q", len(want["a"]), failed)
	}
	end := st.Metrics().End
	wantValue(t, r, failed, "-")
	b := st.NewBatch()
	for i := range 100 {
		b.Put(r, fmt.Appendf(nil, "batch-%d%s", i, strings.Repeat("k", 200)), nil)
	}
	_, err := st.Apply(b)
	wantError(t, "batch", err, restart.ErrMemoryFull)
	wantValue(t, r, "batch-0"+strings.Repeat("k", 200), "-")
	if now := st.Metrics().End; now != end {
		t.Errorf("failed writes wrote %d bytes", now-end)
	}
	got, err := read(st)
	if err != nil || diff(got, want) != "" {
		t.Errorf("%v %s", err, diff(got, want))
	}
	for k := range want["a"] { // a deletion needs no room, and makes some
		if err := r.Delete([]byte(k)); err != nil {
			t.Fatalf("delete: %v", err)
		}
		delete(want["a"], k)
		if len(want["a"]) < 1000 {
			break
		}
	}
	if err := r.Put([]byte(failed), []byte("v")); err != nil {
		t.Errorf("put after deletions: %v", err)
	}
	want["a"][failed] = "v"
	if err := st.Close(); err != nil && !errors.Is(err, restart.ErrMemoryFull) {
		t.Fatal(err)
	}
	o := small(fsys)
	wantContents(t, fsys, o, want)
}

// A store of more keys than the limit allows still opens, reads and deletes.
func TestOpenWithLessMemory(t *testing.T) {
	fsys := memfs.New()
	st := open(t, fsys, small(fsys))
	r := region(t, st, "a")
	want := contents{"a": {}}
	for i := range 1000 {
		k := fmt.Sprintf("%05d%s", i, strings.Repeat("k", 2000))
		put(t, r, k, "v")
		want["a"][k] = "v"
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	for _, image := range []bool{true, false} {
		if !image {
			for _, name := range filesLike(t, fsys, "*.img") {
				remove(t, fsys, name)
			}
		}
		o := small(fsys)
		o.MemoryLimit = 1 << 20
		st = open(t, fsys, o)
		got, err := read(st)
		if err != nil || diff(got, want) != "" {
			t.Fatalf("image %v: %v %s", image, err, diff(got, want))
		}
		r = region(t, st, "a")
		wantError(t, "put", r.Put([]byte("k"), []byte("v")), restart.ErrMemoryFull)
		if err := r.Delete([]byte("00001" + strings.Repeat("k", 2000))); err != nil {
			t.Error(err)
		}
		delete(want["a"], "00001"+strings.Repeat("k", 2000))
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wantContents(t, fsys, small(nil), want)
}
