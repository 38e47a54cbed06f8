package restart

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/wal"
)

// catalog is the set of a store's regions. Its lock is taken before any shard
// lock and held over the append of a catalogue record, so that the catalogue
// and the log agree on the order of its changes.
type catalog struct {
	mu     sync.Mutex
	byName map[string]*Region
	byID   map[uint32]*Region
	// nextID is above every id ever given: ids are never reused.
	nextID uint32
}

// Region returns the region of that name, created if it is not there yet, as
// durably as the store's default. At reopen a zero field of o means "as
// stored". Names have 1 to 128 characters of A-Z a-z 0-9 _ . - and are not "."
// or "..".
//
// ErrConflict: o contradicts the stored strategy, the store's durability or
// what another handle of this process asked for.
func (st *Store) Region(name string, o RegionOptions) (*Region, error) {
	if err := st.checkRegion(name, o); err != nil {
		return nil, err
	}
	r, end, err := st.openRegion(name, o)
	if err != nil {
		return nil, err
	}
	if end != 0 {
		if err := st.log.Wait(end, st.durability); err != nil {
			return nil, st.logError(err)
		}
	}
	if o.Ordered && !st.readOnly {
		return r, r.order.ensure(r)
	}
	return r, nil
}

func (st *Store) checkRegion(name string, o RegionOptions) error {
	var errs []error
	if err := op.CheckName(name); err != nil {
		errs = append(errs, invalidf("region name: %v", err))
	}
	if o.Strategy > Distributed {
		errs = append(errs, invalidf("Strategy %v", o.Strategy))
	}
	if o.Durability > Never {
		errs = append(errs, invalidf("Durability %v", o.Durability))
	}
	if s := st.opts.Durability; s != Inherit && o.Durability != Inherit && s != o.Durability {
		errs = append(errs, fmt.Errorf("%w: region %q asks for durability %v, its store for %v", ErrConflict, name, o.Durability, s))
	}
	return errors.Join(errs...)
}

// openRegion finds, alters or creates the region. end is where the log must be
// durable for that, zero if nothing was logged.
func (st *Store) openRegion(name string, o RegionOptions) (r *Region, end LSN, err error) {
	st.catalog.mu.Lock()
	defer st.catalog.mu.Unlock()
	if st.closed {
		return nil, 0, ErrClosed
	}
	if r := st.catalog.byName[name]; r != nil {
		end, err := st.reopenRegion(r, o)
		return r, end, err
	}
	switch {
	case st.readOnly:
		return nil, 0, fmt.Errorf("%w: %q", ErrNoRegion, name)
	case o.Strategy > LocalRestartable:
		return nil, 0, fmt.Errorf("%w: region %q, strategy %v", ErrUnsupported, name, o.Strategy)
	}
	o.Strategy = LocalRestartable
	r = newRegion(st, st.catalog.nextID)
	r.name, r.opts, r.pinned = name, o, o.Durability
	r.durability.Store(uint32(o.Durability))
	payload := op.AppendRegionCreate(nil, op.Region{ID: r.id, Name: name, Options: encodeOptions(o)})
	r.position, end, err = st.appendCatalog(payload)
	if err != nil {
		return nil, 0, err
	}
	st.catalog.nextID++
	st.catalog.byName[name], st.catalog.byID[r.id] = r, r
	return r, end, nil
}

// reopenRegion reconciles the options asked for with those stored.
// REQUIRES: st.catalog.mu is held.
func (st *Store) reopenRegion(r *Region, o RegionOptions) (end LSN, err error) {
	was := r.opts
	if o.Strategy != StrategyDefault && o.Strategy != was.Strategy {
		return 0, fmt.Errorf("%w: region %q has strategy %v, asked for %v", ErrConflict, r.name, was.Strategy, o.Strategy)
	}
	now := was
	if o.Durability != Inherit && o.Durability != was.Durability {
		if r.pinned != Inherit && r.pinned != o.Durability {
			return 0, fmt.Errorf("%w: region %q is open with durability %v, asked for %v", ErrConflict, r.name, r.pinned, o.Durability)
		}
		now.Durability = o.Durability
	}
	now.Ordered = was.Ordered || o.Ordered
	if now != was && !st.readOnly {
		payload := op.AppendRegionCreate(nil, op.Region{ID: r.id, Name: r.name, Options: encodeOptions(now)})
		if r.position, end, err = st.appendCatalog(payload); err != nil {
			return 0, err
		}
	}
	r.opts = now
	if o.Durability != Inherit {
		r.pinned = o.Durability
	}
	r.durability.Store(uint32(now.Durability))
	return end, nil
}

// appendCatalog appends a catalogue record.
// REQUIRES: st.catalog.mu is held.
func (st *Store) appendCatalog(payload []byte) (lsn, end LSN, err error) {
	p, err := st.prepare(payload, st.durability)
	if err != nil {
		return 0, 0, err
	}
	lsn, end = st.log.Append(&p)
	return lsn, end, nil
}

// Regions returns the names of the store's regions, sorted.
func (st *Store) Regions() []string {
	st.catalog.mu.Lock()
	defer st.catalog.mu.Unlock()
	names := make([]string, 0, len(st.catalog.byName))
	for name := range st.catalog.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// DropRegion removes a region with everything in it. Handles of it fail with
// ErrDropped from then on; a region of the same name may be created anew.
func (st *Store) DropRegion(name string) error {
	r, end, err := st.dropRegion(name)
	if err != nil {
		return err
	}
	return st.logError(st.log.Wait(end, r.resolve(Inherit)))
}

func (st *Store) dropRegion(name string) (r *Region, end LSN, err error) {
	st.catalog.mu.Lock()
	defer st.catalog.mu.Unlock()
	if st.closed {
		return nil, 0, ErrClosed
	}
	if r = st.catalog.byName[name]; r == nil {
		return nil, 0, fmt.Errorf("%w: %q", ErrNoRegion, name)
	}
	p, err := st.prepare(op.AppendRegionDrop(nil, r.id), st.durability)
	if err != nil {
		return nil, 0, err
	}
	r.lockAll()
	_, end = st.log.Append(&p)
	r.state.Store(regionDropped)
	st.discard(r, r.detachAll())
	r.unlockAll()
	delete(st.catalog.byName, name)
	delete(st.catalog.byID, r.id)
	return r, end, nil
}

// all returns the regions, in the order of their ids, which is the order in
// which shard locks are taken.
func (c *catalog) all() []*Region {
	c.mu.Lock()
	defer c.mu.Unlock()
	rs := make([]*Region, 0, len(c.byID))
	for _, r := range c.byID {
		rs = append(rs, r)
	}
	slices.SortFunc(rs, func(a, b *Region) int { return int(a.id) - int(b.id) })
	return rs
}

func (c *catalog) find(id uint32) *Region {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id]
}

// moveCatalog re-appends a region's catalogue record if the one at lsn is the
// one in force, for the compactor.
func (st *Store) moveCatalog(id uint32, lsn LSN, version uint64) error {
	st.catalog.mu.Lock()
	defer st.catalog.mu.Unlock()
	r := st.catalog.byID[id]
	if r == nil || r.position != lsn {
		return nil
	}
	payload := op.AppendRegionCreate(nil, op.Region{ID: id, Name: r.name, Options: encodeOptions(r.opts), Version: version})
	p, err := st.log.Prepare(payload, wal.WriteOptions{System: true, Durability: Batched})
	if err != nil {
		return err
	}
	r.position, _ = st.log.Append(&p)
	return nil
}

func encodeOptions(o RegionOptions) op.RegionOptions {
	return op.RegionOptions{Strategy: uint8(o.Strategy), Durability: uint8(o.Durability), Ordered: o.Ordered}
}

// decodeOptions refuses what this version cannot honour.
func decodeOptions(name string, o op.RegionOptions) (RegionOptions, error) {
	if Strategy(o.Strategy) != LocalRestartable || Durability(o.Durability) > Never {
		return RegionOptions{}, fmt.Errorf("%w: region %q has strategy %v, durability %v",
			ErrUnsupported, name, Strategy(o.Strategy), Durability(o.Durability))
	}
	return RegionOptions{Strategy: Strategy(o.Strategy), Durability: Durability(o.Durability), Ordered: o.Ordered}, nil
}
