package restart

import (
	"sync"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/offheap"
	"github.com/fastrestart/frs/wal"
)

// Put stores value under key with the region's durability. Both slices are
// borrowed for the call. Key 0 to 64 KiB, value up to 256 MiB.
//
// An error that is not ErrInDoubt means that nothing happened.
func (r *Region) Put(key, value []byte) error {
	_, err := r.PutWith(key, value, WriteOptions{})
	return err
}

// PutWith is Put with options, and returns the position of the write in the
// log, for [Store.WaitDurable].
func (r *Region) PutWith(key, value []byte, o WriteOptions) (LSN, error) {
	if o != (WriteOptions{}) {
		if err := o.validate(); err != nil {
			return 0, err
		}
	}
	if err := checkEntry(key, value); err != nil {
		return 0, err
	}
	st := r.st
	d := r.resolve(o.Durability)
	expiry := st.expiryOf(o.TTL)
	spec := index.CellSpec{Key: key, Value: value, Expiry: expiry}
	if err := st.makeRoom(spec.Size()); err != nil {
		return 0, err
	}
	scratch := getScratch()
	defer putScratch(scratch)
	*scratch = op.AppendPut((*scratch)[:0], op.Put{Region: r.id, Key: key, Value: value, Expiry: expiry})
	p, err := st.prepare(*scratch, d)
	if err != nil {
		return 0, err
	}
	end, lsn, err := r.applyPut(spec, &p)
	if err != nil {
		return 0, err
	}
	return lsn, st.logError(st.log.Wait(end, d))
}

// applyPut gives the prepared record its place and the entry its cell, under
// the shard lock from append to index update (rule 9). Everything that can
// fail comes before the append.
func (r *Region) applyPut(spec index.CellSpec, p *wal.Prepared) (end, lsn LSN, err error) {
	h := index.HashKey(spec.Key)
	sh, err := r.lock(h)
	if err != nil {
		r.st.log.Cancel(p)
		return 0, 0, err
	}
	defer sh.mu.Unlock()
	ref, old, err := r.place(sh, h, spec)
	if err != nil {
		r.st.log.Cancel(p)
		return 0, 0, err
	}
	lsn, end = r.st.log.Append(p)
	r.cell(ref).SetLSN(uint64(lsn))
	r.settle(sh, ref, old, r.shareOf(ref))
	return end, lsn, nil
}

// place allocates a cell for spec and puts it into the shard's table, in the
// place of the key's old cell if there is one, which it returns. The new cell
// has no position yet; nobody can see it while the shard lock is held. On an
// error nothing has changed.
// REQUIRES: sh.mu is held.
func (r *Region) place(sh *shard, h uint64, spec index.CellSpec) (ref, old offheap.Ref, err error) {
	ref, err = index.NewCell(r.arena, spec)
	if err != nil {
		return 0, 0, err
	}
	old, found := sh.hash.Find(h, spec.Key)
	if found {
		sh.hash.Replace(h, old, ref)
		return ref, old, nil
	}
	if err := sh.hash.Grow(h); err != nil {
		index.FreeCell(r.arena, ref)
		return 0, 0, err
	}
	sh.hash.Insert(h, ref)
	return ref, 0, nil
}

// unplace undoes place.
// REQUIRES: sh.mu is held since.
func (r *Region) unplace(sh *shard, h uint64, ref, old offheap.Ref) {
	if old != 0 {
		sh.hash.Replace(h, ref, old)
	} else {
		sh.hash.Remove(h, ref)
	}
	index.FreeCell(r.arena, ref)
}

// settle accounts for a placed cell that got its position, keeps the order,
// and frees the cell it replaced.
// REQUIRES: sh.mu is held.
func (r *Region) settle(sh *shard, ref, old offheap.Ref, s share) {
	sh.add(s)
	if old == 0 {
		r.order.insert(r, ref)
		return
	}
	sh.sub(r.shareOf(old))
	r.order.replace(r, old, ref) // frees old
}

// share is what one entry adds to the sums of its shard.
type share struct {
	live             int64
	content          contentSum
	expiring, absent int32 // 0 or 1
}

func (r *Region) shareOf(ref offheap.Ref) (s share) {
	c := r.cell(ref)
	s.fill(r.id, index.HashKey(c.Key()), c.ValueHash(), c.KeyLen(), c.ValueLen(), c.Expiry(), c.Resident())
	return s
}

// fill makes s the share of an entry of a region of which all this is known.
func (s *share) fill(region uint32, keyHash, valueHash uint64, keyLen, valueLen int, expiry int64, resident bool) {
	s.live = logSize(region, keyLen, valueLen, expiry != 0)
	s.content = contentOf(keyHash, valueHash, expiry)
	s.expiring, s.absent = 0, 0
	if expiry != 0 {
		s.expiring = 1
	}
	if !resident {
		s.absent = 1
	}
}

func (sh *shard) add(s share) {
	sh.live += s.live
	sh.expiring += int64(s.expiring)
	sh.absent += int64(s.absent)
	sh.content.add(s.content)
}

func (sh *shard) sub(s share) {
	sh.live -= s.live
	sh.expiring -= int64(s.expiring)
	sh.absent -= int64(s.absent)
	sh.content.sub(s.content)
}

// Delete removes key. Deleting a key that is not there is not an error and
// writes nothing; with durability Sync it returns once the absence it saw is
// durable.
func (r *Region) Delete(key []byte) error {
	_, err := r.DeleteWith(key, WriteOptions{})
	return err
}

// DeleteWith is Delete with options, and returns the position up to which the
// log must be durable for the deletion to be. TTL must be zero.
func (r *Region) DeleteWith(key []byte, o WriteOptions) (LSN, error) {
	if err := o.validate(); err != nil {
		return 0, err
	}
	if o.TTL != 0 {
		return 0, invalidf("a deletion has no TTL")
	}
	if err := checkEntry(key, nil); err != nil {
		return 0, err
	}
	st := r.st
	d := r.resolve(o.Durability)
	scratch := getScratch()
	defer putScratch(scratch)
	*scratch = op.AppendDelete((*scratch)[:0], r.id, key)
	p, err := st.prepare(*scratch, d)
	if err != nil {
		return 0, err
	}
	end, lsn, err := r.applyDelete(key, &p)
	if err != nil {
		return 0, err
	}
	return lsn, st.logError(st.log.Wait(end, d))
}

func (r *Region) applyDelete(key []byte, p *wal.Prepared) (end, lsn LSN, err error) {
	h := index.HashKey(key)
	sh, err := r.lock(h)
	if err != nil {
		r.st.log.Cancel(p)
		return 0, 0, err
	}
	defer sh.mu.Unlock()
	ref, found := sh.hash.Find(h, key)
	if !found {
		// What was seen may be a deletion that is not durable yet: wait for all
		// that the log held at the time of looking.
		r.st.log.Cancel(p)
		end = r.st.log.End()
		return end, end, nil
	}
	lsn, end = r.st.log.Append(p)
	r.forget(sh, h, ref)
	return end, lsn, nil
}

// forget takes an entry out of memory.
// REQUIRES: sh.mu is held.
func (r *Region) forget(sh *shard, h uint64, ref offheap.Ref) {
	sh.hash.Remove(h, ref)
	sh.hash.Shrink(h)
	sh.sub(r.shareOf(ref))
	r.order.remove(r, ref) // frees ref
}

// Clear removes every entry of the region, atomically: what is concurrent is
// wholly before or wholly after it.
func (r *Region) Clear() error {
	st := r.st
	d := r.resolve(Inherit)
	p, err := st.prepare(op.AppendClear(nil, r.id), d)
	if err != nil {
		return err
	}
	r.lockAll()
	if err := r.usable(); err != nil {
		r.unlockAll()
		st.log.Cancel(&p)
		return err
	}
	lsn, end := st.log.Append(&p)
	r.floor = lsn
	st.discard(r, r.detachAll())
	r.unlockAll()
	return st.logError(st.log.Wait(end, d))
}

// detachAll gives every shard an empty table and returns the old ones, whose
// cells nobody can reach any more.
// REQUIRES: every shard lock is held.
func (r *Region) detachAll() []*index.Hash {
	waste := make([]*index.Hash, 0, len(r.shards))
	for i := range r.shards {
		sh := &r.shards[i]
		waste = append(waste, sh.hash)
		sh.hash = index.NewHash(r.arena)
		sh.live, sh.expiring, sh.absent, sh.content = 0, 0, 0, contentSum{}
	}
	r.abandonParts()
	r.order.reset()
	return waste
}

func checkEntry(key, value []byte) error {
	if len(key) > op.MaxKeySize {
		return invalidf("key of %d bytes, at most %d", len(key), op.MaxKeySize)
	}
	if len(value) > op.MaxValueSize {
		return invalidf("value of %d bytes, at most %d", len(value), op.MaxValueSize)
	}
	return nil
}

// prepare asks the log for room; the payload is borrowed until the append.
func (st *Store) prepare(payload []byte, d Durability) (wal.Prepared, error) {
	if st.readOnly {
		return wal.Prepared{}, ErrReadOnly
	}
	p, err := st.log.Prepare(payload, wal.WriteOptions{Durability: d})
	if err != nil {
		return p, st.logError(err)
	}
	return p, nil
}

// Encoding buffers, returned unless a large value made them grow.
var scratchPool = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

const maxScratch = 64 << 10

func getScratch() *[]byte { return scratchPool.Get().(*[]byte) }

func putScratch(b *[]byte) {
	if cap(*b) <= maxScratch {
		scratchPool.Put(b)
	}
}
