package restart_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

// What the manual promises of each call, at the edges.

func wantError(t *testing.T, what string, err, want error, words ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q does not say %q", what, err, w)
		}
	}
}

func TestKeyAndValueLimits(t *testing.T) {
	fsys := memfs.New()
	o := small(fsys)
	o.MemoryLimit = 64 << 20
	st := open(t, fsys, o)
	r := region(t, st, "a")
	want := contents{"a": {}}
	for _, n := range []int{0, 1, 7, 8, 255, 256, 4095, 65535, 65536} {
		k := strings.Repeat("k", n)
		put(t, r, k, fmt.Sprint("under ", n))
		want["a"][k] = fmt.Sprint("under ", n)
	}
	for _, n := range []int{0, 1, 1 << 10, 64 << 10, 1 << 20, 5 << 20} {
		k := fmt.Sprint("value of ", n)
		put(t, r, k, strings.Repeat("v", n))
		want["a"][k] = strings.Repeat("v", n)
	}
	_, err := r.PutWith(make([]byte, 65537), nil, restart.WriteOptions{})
	wantError(t, "long key", err, restart.ErrInvalid, "65537", "65536")
	wantError(t, "long key deleted", r.Delete(make([]byte, 65537)), restart.ErrInvalid, "65537")
	wantError(t, "long value", r.Put([]byte("k"), make([]byte, 256<<20+1)), restart.ErrInvalid, fmt.Sprint(256<<20+1))
	if _, err := r.Get(make([]byte, 70000)); !errors.Is(err, restart.ErrNotFound) {
		t.Errorf("get of a key that cannot be: %v", err)
	}
	got, err := read(st)
	if err != nil || diff(got, want) != "" {
		t.Errorf("%v %s", err, diff(got, want))
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	wantContents(t, fsys, o, want)
	for _, name := range filesLike(t, fsys, "*.img") {
		remove(t, fsys, name)
	}
	wantContents(t, fsys, o, want)
}

// Every problem is named at once.
func TestInvalidOptions(t *testing.T) {
	fsys := memfs.New()
	_, err := restart.Open(dir, restart.Options{
		FS: fsys, Durability: 9, MaxDelay: time.Minute, MemoryLimit: 5, SegmentSize: 10, Compression: 77,
		Compaction: 8, RestartBudget: -1, Load: 6,
	})
	wantError(t, "options", err, restart.ErrInvalid,
		"Durability", "MaxDelay", "MemoryLimit", "SegmentSize", "Compression", "Compaction", "RestartBudget", "Load")
	if names, err := fsys.List("/"); err != nil || len(names) != 0 {
		t.Errorf("invalid options made %v, %v", names, err)
	}
	_, err = restart.Open("", restart.Options{FS: fsys})
	wantError(t, "no directory", err, restart.ErrInvalid, "directory")

	st := open(t, fsys, small(fsys))
	for _, name := range []string{"", ".", "..", "a/b", "a b", "ä", "a\x00", strings.Repeat("n", 129)} {
		_, err := st.Region(name, restart.RegionOptions{})
		wantError(t, fmt.Sprintf("name %q", name), err, restart.ErrInvalid, "name")
	}
	for _, name := range []string{"a", "...", "A-z_0.9", strings.Repeat("n", 128)} {
		region(t, st, name)
	}
	_, err = st.Region("/", restart.RegionOptions{Strategy: 99, Durability: 12})
	wantError(t, "region options", err, restart.ErrInvalid, "name", "Strategy", "Durability")
	r := region(t, st, "a")
	_, err = r.PutWith([]byte("k"), nil, restart.WriteOptions{TTL: -1})
	wantError(t, "negative TTL", err, restart.ErrInvalid, "TTL")
	_, err = r.PutWith([]byte("k"), nil, restart.WriteOptions{Durability: 7})
	wantError(t, "durability", err, restart.ErrInvalid, "Durability")
	_, err = r.DeleteWith([]byte("k"), restart.WriteOptions{TTL: 1})
	wantError(t, "TTL of a deletion", err, restart.ErrInvalid, "TTL")
}

// Strategies of later versions are refused by name.
func TestUnsupportedStrategies(t *testing.T) {
	fsys := memfs.New()
	st := open(t, fsys, small(fsys))
	for _, s := range []restart.Strategy{restart.LocalTempSwap, restart.None, restart.Distributed} {
		_, err := st.Region("a", restart.RegionOptions{Strategy: s})
		wantError(t, s.String(), err, restart.ErrUnsupported, s.String())
	}
	if names := st.Regions(); len(names) != 0 {
		t.Errorf("regions %v", names)
	}
}

func TestReopenedRegion(t *testing.T) {
	fsys := memfs.New()
	st := open(t, fsys, small(fsys))
	r, err := st.Region("a", restart.RegionOptions{Durability: restart.Sync, Ordered: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Region("a", restart.RegionOptions{Strategy: restart.None})
	wantError(t, "other strategy", err, restart.ErrConflict, "LocalRestartable", "None")
	_, err = st.Region("a", restart.RegionOptions{Durability: restart.Never})
	wantError(t, "other durability", err, restart.ErrConflict, `"a"`)
	again := region(t, st, "a")
	if again != r {
		t.Error("two handles of a region differ")
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}

	st = open(t, fsys, small(fsys))
	want := restart.RegionOptions{Strategy: restart.LocalRestartable, Durability: restart.Sync, Ordered: true}
	if got := region(t, st, "a").Options(); got != want {
		t.Errorf("stored options %+v, want %+v", got, want)
	}
	r, err = st.Region("a", restart.RegionOptions{Durability: restart.Never}) // may change at reopen
	if err != nil || r.Options().Durability != restart.Never {
		t.Errorf("durability changed at reopen: %v, %+v", err, r.Options())
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st = open(t, fsys, small(fsys))
	want.Durability = restart.Never
	if got := region(t, st, "a").Options(); got != want {
		t.Errorf("changed options %+v, want %+v", got, want)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	o := small(fsys)
	o.Durability = restart.Batched
	st = open(t, fsys, o)
	_, err = st.Region("new", restart.RegionOptions{Durability: restart.Sync})
	wantError(t, "store and region disagree", err, restart.ErrConflict, "sync", "batched")
}

// A durability comes from the write, else the region, else the store, else it
// is Batched.
func TestDurabilityResolution(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // nobody waits for the syncer
		const none = restart.Inherit
		for _, c := range []struct{ store, region, write, want restart.Durability }{
			{none, none, none, restart.Batched},
			{restart.Sync, none, none, restart.Sync},
			{none, restart.Sync, none, restart.Sync},
			{restart.Sync, restart.Sync, none, restart.Sync},
			{restart.Never, none, restart.Sync, restart.Sync},
			{none, restart.Never, restart.Sync, restart.Sync},
			{restart.Sync, none, restart.Batched, restart.Batched},
			{none, restart.Sync, restart.Never, restart.Never},
		} {
			fsys := memfs.New()
			o := small(fsys)
			o.Durability = c.store
			st := open(t, fsys, o)
			r, err := st.Region("a", restart.RegionOptions{Durability: c.region})
			if err != nil {
				t.Fatal(err)
			}
			if err := st.Sync(); err != nil {
				t.Fatal(err)
			}
			lsn, err := r.PutWith([]byte("k"), []byte("v"), restart.WriteOptions{Durability: c.write})
			if err != nil {
				t.Fatal(err)
			}
			if got := st.DurableLSN() > lsn; got != (c.want == restart.Sync) {
				t.Errorf("%+v: durable on return: %v", c, got)
			}
			ctx, cancel := context.WithCancel(t.Context())
			if c.want == restart.Never {
				cancel()
				wantError(t, "WaitDurable with a dead context", st.WaitDurable(ctx, lsn), context.Canceled)
			} else if err := st.WaitDurable(ctx, lsn); err != nil {
				t.Errorf("%+v: WaitDurable: %v", c, err)
			}
			cancel()
		}
	})
}

func TestLenHasClearDrop(t *testing.T) {
	fsys := memfs.New()
	st := open(t, fsys, small(fsys))
	r := region(t, st, "a")
	wantLen := func(n int) {
		t.Helper()
		if got := r.Len(); got != n {
			t.Errorf("Len %d, want %d", got, n)
		}
	}
	wantHas := func(k string, want bool) {
		t.Helper()
		if got, err := r.Has([]byte(k)); got != want || err != nil {
			t.Errorf("Has %q = %v, %v, want %v", k, got, err, want)
		}
	}
	wantLen(0)
	for i := range 100 {
		put(t, r, fmt.Sprint(i%50), "v")
	}
	wantLen(50)
	wantHas("7", true)
	end := st.Metrics().End
	for range 2 {
		if err := r.Delete([]byte("7")); err != nil {
			t.Error(err)
		}
	}
	if grown := st.Metrics().End - end; grown > 64 {
		t.Errorf("a deletion of an absent key wrote %d bytes", grown)
	}
	wantHas("7", false)
	wantLen(49)
	if err := r.Clear(); err != nil {
		t.Error(err)
	}
	wantLen(0)
	wantHas("8", false)
	put(t, r, "8", "again")
	wantLen(1)
	wantError(t, "drop of no region", st.DropRegion("b"), restart.ErrNoRegion, `"b"`)
	if err := st.DropRegion("a"); err != nil {
		t.Fatal(err)
	}
	_, err := r.Get([]byte("8"))
	for what, err := range map[string]error{
		"get": err, "put": r.Put(nil, nil), "delete": r.Delete(nil), "clear": r.Clear(), "drop": iterError(r.All()),
		"ordered scan": iterError(r.Ascend(nil, nil)),
	} {
		wantError(t, what+" of a dropped region", err, restart.ErrDropped, `"a"`)
	}
	b := st.NewBatch()
	b.Put(r, []byte("k"), nil)
	_, err = st.Apply(b)
	wantError(t, "batch with a dropped region", err, restart.ErrDropped)
	r = region(t, st, "a")
	wantLen(0)
	if names := st.Regions(); len(names) != 1 || names[0] != "a" {
		t.Errorf("regions %v", names)
	}
}

func iterError(seq iter.Seq2[restart.Entry, error]) error {
	for _, err := range seq {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestBatches(t *testing.T) {
	fsys := memfs.New()
	st := open(t, fsys, small(fsys))
	r, other := region(t, st, "a"), region(t, st, "b")
	put(t, r, "gone", "v")
	b := st.NewBatch()
	for i := range 10 {
		b.Put(r, []byte("last wins"), fmt.Append(nil, i))
	}
	b.Delete(r, []byte("deleted"))
	b.Put(r, []byte("deleted"), []byte("and put"))
	b.Put(r, []byte("gone"), []byte("put"))
	b.Delete(r, []byte("gone"))
	b.Put(other, []byte("last wins"), []byte("elsewhere"))
	if b.Len() != 4 {
		t.Errorf("%d operations, want 4: one a key", b.Len())
	}
	before := st.Metrics().Appends
	for range 2 { // may be applied again
		if _, err := st.Apply(b); err != nil {
			t.Fatal(err)
		}
	}
	if n := st.Metrics().Appends - before; n != 2 {
		t.Errorf("two batches were %d records", n)
	}
	wantValue(t, r, "last wins", "9")
	wantValue(t, r, "deleted", "and put")
	wantValue(t, r, "gone", "-")
	wantValue(t, other, "last wins", "elsewhere")

	b.Reset()
	before = st.Metrics().Appends
	if _, err := st.Apply(b); err != nil || b.Len() != 0 || st.Metrics().Appends != before {
		t.Errorf("an empty batch: %v", err)
	}
	key, value := []byte("copied"), []byte("value")
	b.Put(r, key, value)
	copy(key, "xxxxxx")
	copy(value, "yyyyy")
	if _, err := st.Apply(b); err != nil {
		t.Fatal(err)
	}
	wantValue(t, r, "copied", "value")

	elsewhere := memfs.New()
	st2 := open(t, elsewhere, small(elsewhere))
	for what, add := range map[string]func(b *restart.Batch){
		"another store":  func(b *restart.Batch) { b.Put(region(t, st2, "a"), []byte("k"), nil) },
		"no region":      func(b *restart.Batch) { b.Delete(nil, []byte("k")) },
		"key of 65537":   func(b *restart.Batch) { b.Put(r, make([]byte, 65537), nil) },
		"TTL":            func(b *restart.Batch) { b.PutWith(r, []byte("k"), nil, restart.WriteOptions{TTL: -1}) },
		"durability syn": func(b *restart.Batch) { b.PutWith(r, []byte("k"), nil, restart.WriteOptions{Durability: restart.Sync}) },
	} {
		b := st.NewBatch()
		b.Put(r, []byte("innocent"), []byte("v"))
		add(b)
		_, err := st.Apply(b)
		wantError(t, what, err, restart.ErrInvalid)
	}
	wantValue(t, r, "innocent", "-")
	_, err := st2.Apply(b)
	wantError(t, "batch of another store", err, restart.ErrInvalid, "another store")
	_, err = st.ApplyWith(b, 9)
	wantError(t, "durability of a batch", err, restart.ErrInvalid, "Durability")
	lsn, err := st.ApplyWith(b, restart.Sync)
	if err != nil || st.DurableLSN() <= lsn {
		t.Errorf("a batch with Sync: %v, LSN %d, durable to %d", err, lsn, st.DurableLSN())
	}
}

// A scan may stop anywhere, and nothing stays locked or open.
func TestScansThatStop(t *testing.T) {
	fsys := memfs.New()
	st := open(t, fsys, small(fsys))
	r := region(t, st, "a")
	for i := range 2000 {
		put(t, r, fmt.Sprintf("%04d", i), "v")
	}
	for _, after := range []int{1, 2, 511, 512, 513, 1999} {
		for name, seq := range map[string]iter.Seq2[restart.Entry, error]{
			"All": r.All(), "Ascend": r.Ascend(nil, nil), "Descend": r.Descend(nil, nil), "Prefix": r.Prefix(nil),
		} {
			n := 0
			for e, err := range seq {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == after {
					put(t, r, string(e.Key), "seen by "+name) // no lock is held
					break
				}
			}
			if n != after {
				t.Errorf("%s stopped after %d of %d", name, n, after)
			}
		}
	}
	for _, c := range []struct {
		from, to string
		want     int
	}{{"0100", "0200", 100}, {"0100", "0100", 0}, {"0200", "0100", 0}, {"9", "", 0}, {"", "0001", 1}, {"1999", "", 1}} {
		var to []byte
		if c.to != "" {
			to = []byte(c.to)
		}
		for name, seq := range map[string]iter.Seq2[restart.Entry, error]{
			"Ascend": r.Ascend([]byte(c.from), to), "Descend": r.Descend([]byte(c.from), to),
		} {
			n := 0
			for e, err := range seq {
				if err != nil || bytes.Compare(e.Key, []byte(c.from)) < 0 || to != nil && bytes.Compare(e.Key, to) >= 0 {
					t.Errorf("%s [%q, %q): %q, %v", name, c.from, c.to, e.Key, err)
				}
				n++
			}
			if n != c.want {
				t.Errorf("%s [%q, %q): %d entries, want %d", name, c.from, c.to, n, c.want)
			}
		}
	}
	put(t, r, "\xff\xff", "high")
	put(t, r, "\xff\xffz", "higher")
	if n := countEntries(r.Prefix([]byte("\xff\xff"))); n != 2 {
		t.Errorf("prefix of the highest bytes: %d entries, want 2", n)
	}
}

func countEntries(seq iter.Seq2[restart.Entry, error]) (n int) {
	for range seq {
		n++
	}
	return n
}
