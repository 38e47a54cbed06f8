package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fastrestart/frs/restart"
)

const (
	entryKeySize   = 16
	entryValueSize = 256
	maxEntries     = 1_000_000_000
	// fillBatch is how many entries become durable together while filling.
	fillBatch = 16 << 10
	// entryStride is a prime above maxEntries: steps of it visit every entry.
	entryStride = 2_654_435_761
)

// entries is what a store is filled with to measure how it restarts. Each has a
// version, 0 as filled. A child overwrites them one by one, version v going to
// entry v*entryStride mod n; it does not wait until they are durable. So what
// the store must hold after a kill is known but for one number: the last version
// that survived. If anything before it is missing, or an older version is
// there, the log has not kept its order.
type entries struct {
	n    int
	last atomic.Uint64 // version written last
}

func newEntries(n int) *entries { return &entries{n: n} }

// overwritten returns the version written last; 0 without entries.
func (e *entries) overwritten() uint64 {
	if e == nil {
		return 0
	}
	return e.last.Load()
}

// entryKey appends the key of entry i.
func entryKey(dst []byte, i int) []byte { return fmt.Appendf(dst, "e%0*d", entryKeySize-1, i) }

// entryValue appends the value of entry i in a version: the version, and then
// what both make, so that a value found is right in every byte or wrong.
func entryValue(dst []byte, i int, version uint64) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, version)
	x := uint64(i)<<32 ^ version*0x9e3779b97f4a7c15
	for range entryValueSize/8 - 1 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		x += 0x9e3779b97f4a7c15
		dst = binary.LittleEndian.AppendUint64(dst, x)
	}
	return dst
}

// at returns which entry a version goes to.
func (e *entries) at(version uint64) int {
	return int(version % uint64(e.n) * entryStride % uint64(e.n))
}

// overwrite writes one version after the other, until it fails.
func (e *entries) overwrite(r *restart.Region) error {
	var key, value []byte
	for v := e.last.Load() + 1; ; v++ {
		i := e.at(v)
		key, value = entryKey(key[:0], i), entryValue(value[:0], i, v)
		if _, err := r.PutWith(key, value, restart.WriteOptions{Durability: restart.Batched}); err != nil {
			return err
		}
		e.last.Store(v)
	}
}

// fillEntries creates the store and puts every entry into it.
func (r *runner) fillEntries(ctx context.Context) (err error) {
	start := time.Now()
	st, err := restart.Open(r.dir, options())
	if err != nil {
		return err
	}
	defer func() {
		closing := time.Now()
		err = errors.Join(err, st.Close())
		fmt.Fprintf(r.out, "filled %d entries, %.1f MB, in %.2f s, closed in %.2f s\n",
			r.entries.n, float64(r.result.Bytes)/1e6, closing.Sub(start).Seconds(), time.Since(closing).Seconds())
	}()
	rs, err := openRegions(st)
	if err != nil {
		return err
	}
	b := st.NewBatch()
	for i := range r.entries.n {
		b.Put(rs.entries, entryKey(nil, i), entryValue(nil, i, 0))
		if b.Len() < fillBatch && i < r.entries.n-1 {
			continue
		}
		if _, err := st.Apply(b); err != nil {
			return err
		}
		b.Reset()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// check reads every entry. The versions must be those of a prefix of what was
// written that goes at least to durable; the store goes on from there.
func (e *entries) check(r *restart.Region, f *findings, durable uint64) {
	found := make([]uint64, e.n)
	var last atomic.Uint64
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			top := e.look(r, f, found, e.n*w/workers, e.n*(w+1)/workers)
			for old := last.Load(); top > old && !last.CompareAndSwap(old, top); old = last.Load() {
			}
		})
	}
	wg.Wait()
	top := last.Load()
	if top < durable {
		f.lost("entries: version %d was on disk, %d is the last there", durable, top)
	}
	inverse := new(big.Int).ModInverse(big.NewInt(entryStride), big.NewInt(int64(e.n))).Uint64()
	for i, got := range found {
		if want := e.newest(uint64(i)*inverse%uint64(e.n), top); got < want {
			f.lost("entry %d: version %d is there, %d was written before version %d, which survived", i, got, want, top)
		} else if got != want && got != unread {
			f.wrong("entry %d: version %d is there, which was never written to it", i, got)
		}
	}
	if n := r.Len(); n != e.n {
		f.wrong("%d entries where there should be %d", n, e.n)
	}
	e.last.Store(top)
}

// newest returns the highest version up to top that is first modulo n; 0: none
// was written.
func (e *entries) newest(first, top uint64) uint64 {
	if first > top {
		return 0
	}
	return top - (top-first)%uint64(e.n)
}

// unread is the version of an entry that was found to be lost or wrong already.
const unread = 1<<64 - 1

// look reads the entries from one to another and returns the highest version.
func (e *entries) look(r *restart.Region, f *findings, found []uint64, from, to int) (top uint64) {
	var key, got, want []byte
	for i := from; i < to; i++ {
		key = entryKey(key[:0], i)
		var err error
		got, err = r.AppendGet(got[:0], key)
		found[i] = unread
		switch {
		case errors.Is(err, restart.ErrNotFound):
			f.lost("entry %d is not there", i)
			continue
		case err != nil:
			f.wrong("entry %d: %v", i, err)
			continue
		case len(got) != entryValueSize:
			f.wrong("entry %d: a value of %d bytes", i, len(got))
			continue
		}
		v := binary.LittleEndian.Uint64(got)
		if want = entryValue(want[:0], i, v); string(got) != string(want) {
			f.wrong("entry %d: the value is not that of version %d", i, v)
			continue
		}
		found[i] = v
		top = max(top, v)
	}
	return top
}
