package restart

import (
	"cmp"
	"slices"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/offheap"
	"github.com/fastrestart/frs/wal"
)

// Batch collects puts and deletes in any of a store's regions, for
// [Store.Apply] to carry out as one: after a crash all of it is there or
// nothing. A later operation on a key replaces an earlier one. A Batch copies
// what it is given; it is for one goroutine, and can be applied again or Reset.
type Batch struct {
	st    *Store
	ops   []batchOp
	at    map[batchKey]int // the operation on a key, in ops
	bytes int64            // encoded size of the operations
	err   error            // the first argument error
}

type batchKey struct {
	region uint32
	key    string
}

type batchOp struct {
	r          *Region
	delete     bool
	key, value []byte
	expiry     int64
	hash       uint64

	ref, old offheap.Ref // while it is applied
}

// NewBatch returns an empty batch.
func (st *Store) NewBatch() *Batch { return &Batch{st: st, at: make(map[batchKey]int)} }

// Len returns the number of operations: at most one per region and key.
func (b *Batch) Len() int { return len(b.ops) }

// Reset empties the batch for another use.
func (b *Batch) Reset() {
	clear(b.at)
	clear(b.ops)
	b.ops, b.bytes, b.err = b.ops[:0], 0, nil
}

// Put adds a put. Errors are reported by Apply.
func (b *Batch) Put(r *Region, key, value []byte) { b.PutWith(r, key, value, WriteOptions{}) }

// PutWith adds a put with a time to live, which starts now. The durability of
// a batch is Apply's: o.Durability must be zero.
func (b *Batch) PutWith(r *Region, key, value []byte, o WriteOptions) {
	err := o.validate()
	if err == nil && o.Durability != Inherit {
		err = invalidf("durability %v of one operation in a batch", o.Durability)
	}
	if err == nil {
		err = checkEntry(key, value)
	}
	b.add(batchOp{r: r, key: key, value: value, expiry: b.st.expiryOf(o.TTL)}, err)
}

// Delete adds a delete.
func (b *Batch) Delete(r *Region, key []byte) {
	b.add(batchOp{r: r, key: key, delete: true}, checkEntry(key, nil))
}

func (b *Batch) add(o batchOp, err error) {
	if err == nil && (o.r == nil || o.r.st != b.st) {
		err = invalidf("region of another store in a batch")
	}
	if err != nil {
		if b.err == nil {
			b.err = err
		}
		return
	}
	k := batchKey{o.r.id, string(o.key)}
	o.key, o.value = []byte(k.key), slices.Clone(o.value)
	o.hash = index.HashKey(o.key)
	if i, ok := b.at[k]; ok {
		b.bytes += o.size() - b.ops[i].size()
		b.ops[i] = o
		return
	}
	b.at[k] = len(b.ops)
	b.bytes += o.size()
	b.ops = append(b.ops, o)
}

func (o *batchOp) size() int64 {
	if o.delete {
		return int64(op.DeleteSize(o.r.id, len(o.key)))
	}
	return int64(op.PutSize(o.r.id, len(o.key), len(o.value), o.expiry != 0, false))
}

// Apply carries out a batch atomically, with the store's durability or, if
// every region in it says the same, theirs. It returns the position of the
// batch's record. An empty batch does nothing.
func (st *Store) Apply(b *Batch) (LSN, error) { return st.ApplyWith(b, Inherit) }

// ApplyWith is Apply with a durability of its own.
func (st *Store) ApplyWith(b *Batch, d Durability) (LSN, error) {
	switch {
	case b.err != nil:
		return 0, b.err
	case b.st != st:
		return 0, invalidf("batch of another store")
	case d > Never:
		return 0, invalidf("Durability %v", d)
	case len(b.ops) == 0:
		return st.log.End(), nil
	}
	d = b.resolve(d)
	payload, err := b.encode()
	if err != nil {
		return 0, err
	}
	if err := st.makeRoom(b.memory()); err != nil {
		return 0, err
	}
	p, err := st.prepare(payload, d)
	if err != nil {
		return 0, err
	}
	lsn, end, err := b.apply(&p)
	if err != nil {
		st.log.Cancel(&p)
		return 0, err
	}
	return lsn, st.logError(st.log.Wait(end, d))
}

// resolve returns the strictest durability of the regions involved.
func (b *Batch) resolve(d Durability) Durability {
	if d != Inherit {
		return d
	}
	d = Never
	for i := range b.ops {
		d = min(d, b.ops[i].r.resolve(Inherit)) // Sync < Batched < Never
	}
	return d
}

func (b *Batch) encode() ([]byte, error) {
	size := op.BatchSize(len(b.ops), b.bytes)
	if size > op.MaxBatchSize {
		return nil, invalidf("batch of %d bytes, at most %d", size, op.MaxBatchSize)
	}
	e := op.BeginBatch(make([]byte, 0, size), len(b.ops))
	for i := range b.ops {
		o := &b.ops[i]
		if o.delete {
			e.Delete(o.r.id, o.key)
		} else {
			e.Put(op.Put{Region: o.r.id, Key: o.key, Value: o.value, Expiry: o.expiry})
		}
	}
	return e.Finish()
}

// memory returns the bytes that the batch's cells take.
func (b *Batch) memory() (n int) {
	for i := range b.ops {
		if o := &b.ops[i]; !o.delete {
			spec := o.spec(0)
			n += spec.Size()
		}
	}
	return n
}

// apply holds every shard lock involved from before the append to after the
// last index update, so that nobody sees half of it. On an error nothing has
// changed.
func (b *Batch) apply(p *wal.Prepared) (lsn, end LSN, err error) {
	if err := b.load(); err != nil {
		return 0, 0, err
	}
	locked := b.lockShards()
	defer func() {
		for _, sh := range locked {
			sh.mu.Unlock()
		}
	}()
	for i := range b.ops {
		if err := b.place(&b.ops[i], uint32(i)); err != nil {
			for ; i > 0; i-- {
				b.ops[i-1].unplace()
			}
			return 0, 0, err
		}
	}
	lsn, end = b.st.log.Append(p)
	for i := range b.ops {
		b.ops[i].settle(lsn)
	}
	return lsn, end, nil
}

// load loads the parts that the batch touches. They stay loaded.
func (b *Batch) load() error {
	for i := range b.ops {
		sh, err := b.ops[i].r.rlock(b.ops[i].hash)
		if err != nil {
			return err
		}
		sh.mu.RUnlock()
	}
	return nil
}

// lockShards takes the batch's shard locks by region, then number.
func (b *Batch) lockShards() []*shard {
	type slot struct {
		r *Region
		n int
	}
	slots := make([]slot, len(b.ops))
	for i := range b.ops {
		slots[i] = slot{b.ops[i].r, shardOf(b.ops[i].hash)}
	}
	slices.SortFunc(slots, func(x, y slot) int {
		return cmp.Or(cmp.Compare(x.r.id, y.r.id), cmp.Compare(x.n, y.n))
	})
	slots = slices.Compact(slots)
	locked := make([]*shard, len(slots))
	for i, s := range slots {
		locked[i] = &s.r.shards[s.n]
		locked[i].mu.Lock()
	}
	return locked
}

// place puts operation number n into its table, without a position yet.
func (b *Batch) place(o *batchOp, n uint32) error {
	if err := o.r.usable(); err != nil {
		return err
	}
	sh := &o.r.shards[shardOf(o.hash)]
	if o.delete {
		o.old, _ = sh.hash.Find(o.hash, o.key)
		return nil
	}
	var err error
	o.ref, o.old, err = o.r.place(sh, o.hash, o.spec(n))
	return err
}

// spec is the cell of a put that is operation n of its batch.
func (o *batchOp) spec(n uint32) index.CellSpec {
	return index.CellSpec{Key: o.key, Value: o.value, Expiry: o.expiry, InBatch: true, Op: n}
}

func (o *batchOp) unplace() {
	if !o.delete {
		o.r.unplace(&o.r.shards[shardOf(o.hash)], o.hash, o.ref, o.old)
	}
}

func (o *batchOp) settle(lsn LSN) {
	sh := &o.r.shards[shardOf(o.hash)]
	switch {
	case !o.delete:
		c := o.r.cell(o.ref)
		n, _ := c.Op()
		c.SetBatchLSN(uint64(lsn), n)
		o.r.settle(sh, o.ref, o.old, o.r.shareOf(o.ref))
	case o.old != 0:
		o.r.forget(sh, o.hash, o.old)
	}
	o.ref, o.old = 0, 0
}
