package restart_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
)

// Windows that are narrow: each test here goes into one of them on purpose, and
// finds a mutant of internal/mutants that the enumerations may miss.

// TestCheckpointIsDurable: when Checkpoint has returned, the next open needs no
// more than the image and the log behind it, whatever the power does.
func TestCheckpointIsDurable(t *testing.T) {
	fs := memfs.New()
	o := small(fs)
	o.Durability, o.Compaction = restart.Sync, restart.NoCompaction
	st := open(t, fs, o)
	r := region(t, st, "r")
	for i := range 200 {
		put(t, r, fmt.Sprint("key-", i), "value")
	}
	if err := st.Checkpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
	put(t, r, "behind", "value")
	after := open(t, fs.CrashClone(memfs.Nothing()), o)
	for i := range 200 {
		wantValue(t, region(t, after, "r"), fmt.Sprint("key-", i), "value")
	}
	if rep := after.Recovery(); rep.Rung != restart.RungImageTail || rep.DamagedParts != 0 {
		t.Errorf("opened by %v, %d damaged parts", rep, rep.DamagedParts)
	}
}

// TestAbsenceIsDurable: a synchronous deletion of a key that is not there makes
// the batched deletion durable that it saw the effect of.
func TestAbsenceIsDurable(t *testing.T) {
	fs := memfs.New()
	st := open(t, fs, small(fs))
	r := region(t, st, "r")
	put(t, r, "k", "v")
	if err := st.Sync(); err != nil {
		t.Fatal(err)
	}
	for _, d := range []restart.Durability{restart.Batched, restart.Sync} {
		if _, err := r.DeleteWith([]byte("k"), restart.WriteOptions{Durability: d}); err != nil {
			t.Fatal(err)
		}
	}
	after := open(t, fs.CrashClone(memfs.Nothing()), small(fs))
	wantValue(t, region(t, after, "r"), "k", "-")
}

// TestCompactionMeetsOverwrite: a value is overwritten while the compactor moves
// it: it has found it live and is compressing it, which takes long. The later
// value is the one that is there after a restart. When the overwriting comes is
// swept over the whole move; what it must lead to does not depend on it.
func TestCompactionMeetsOverwrite(t *testing.T) {
	fs := memfs.New()
	o := restart.Options{SegmentSize: 64 << 10, MemoryLimit: 64 << 20, Compaction: restart.NoCompaction, Compression: restart.CompressZstd}
	st := open(t, fs, o)
	r := region(t, st, "r")
	large := make([]byte, 3<<20)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range large {
		large[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[rnd.IntN(36)]
	}
	// On a slow machine more of it takes longer: until something was moved as well.
	for round := 0; round < 16 || round < 200 && st.Metrics().Moved == 0; round++ {
		put(t, r, "k", string(large))
		if err := st.Sync(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- st.Compact(context.Background()) }()
		<-time.After(time.Duration(round) * 3 * time.Millisecond)
		small := fmt.Sprint("value ", round)
		put(t, r, "k", small)
		if err := errors.Join(<-done, st.Sync()); err != nil {
			t.Fatal(err)
		}
		wantValue(t, r, "k", small)
		wantValue(t, region(t, open(t, fs.CrashClone(memfs.Nothing()), o), "r"), "k", small)
	}
	if m := st.Metrics(); m.Moved == 0 {
		t.Error("nothing was moved")
	}
}

// TestBatchIsSeenWhole: whoever reads one key of a batch finds the others as the
// batch left them, or later.
func TestBatchIsSeenWhole(t *testing.T) {
	st := open(t, memfs.New(), small(nil))
	regions := []*restart.Region{region(t, st, "r"), region(t, st, "s")}
	const keys, batches = 8, 4000
	read := func(k int) uint64 {
		v, err := regions[k%2].Get([]byte{byte(k)})
		if err != nil && !errors.Is(err, restart.ErrNotFound) {
			t.Error(err)
		}
		return binary.LittleEndian.Uint64(append(v, make([]byte, 8)...))
	}
	var done atomic.Bool
	var all sync.WaitGroup
	for reader := range 3 {
		all.Go(func() {
			for i := reader; !done.Load() && !t.Failed(); i++ {
				first, then := i%keys, (i*5+1)%keys
				if n, m := read(first), read(then); m < n {
					t.Errorf("key %d is of batch %d, and key %d later of batch %d", first, n, then, m)
				}
			}
		})
	}
	for n := range uint64(batches) {
		b := st.NewBatch()
		for k := range keys {
			b.Put(regions[k%2], []byte{byte(k)}, binary.LittleEndian.AppendUint64(nil, n+1))
		}
		if _, err := st.Apply(b); err != nil {
			t.Fatal(err)
		}
	}
	done.Store(true)
	all.Wait()
}
