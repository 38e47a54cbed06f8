package restart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/internal/images"
	"github.com/fastrestart/frs/offheap"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/wal"
)

// Store is an open store: a set of regions over one log. All methods may be
// called concurrently. Close it when done.
type Store struct {
	dir        string
	opts       Options
	fs         vfs.FS
	readOnly   bool
	durability Durability // what a write gets when nobody says anything

	lock       io.Closer
	current    current
	log        *wal.Log
	pool       *offheap.Pool
	catalog    catalog
	clock      clock
	evictor    evictor
	compact    compactor
	images     images.Set
	checkpoint checkpointer
	metrics    counters
	report     reportBox
	begun      time.Time // the open
	wasRead    atomic.Bool
	// recoveredEnd is where the log ended when it was recovered.
	recoveredEnd LSN
	// keysLoaded: no part is left in the image.
	keysLoaded atomic.Bool
	loader     atomic.Pointer[loading] // while values are loaded

	segmentSize atomic.Int64 // soft size in force when it follows the data

	closed     bool // under catalog.mu
	stop       context.CancelFunc
	background sync.WaitGroup
	closeOnce  sync.Once
	closeErr   error
}

// Open opens the store in dir, creating directory and store where there are
// none (unless Options.MustExist or ReadOnly). The directory is used by one
// store at a time: a second opener, in this process or another, gets ErrInUse.
//
// Damage that would lose acknowledged data fails the open with an error that
// wraps a *segment.CorruptionError, and changes nothing, wherever Open looks: see
// Options.Load and Events.LoadFailed.
func Open(dir string, o Options) (*Store, error) {
	return OpenContext(context.Background(), dir, o)
}

// OpenContext is Open with a context that can end a long recovery.
func OpenContext(ctx context.Context, dir string, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if dir == "" {
		return nil, invalidf("directory is empty: a store needs one of its own")
	}
	st := &Store{dir: dir, opts: o, fs: o.FS, readOnly: o.ReadOnly, durability: o.Durability, begun: time.Now()}
	if st.durability == Inherit {
		st.durability = Batched
	}
	st.catalog.byName = make(map[string]*Region)
	st.catalog.byID = make(map[uint32]*Region)
	st.catalog.nextID = 1
	if err := st.open(ctx); err != nil {
		return nil, errors.Join(err, st.release())
	}
	took := time.Since(st.begun)
	st.report.change(func(r *RecoveryReport) { r.OpenTook = took })
	return st, nil
}

func (st *Store) open(ctx context.Context) error {
	if err := st.takeLock(); err != nil {
		return err
	}
	st.pool = offheap.NewPool(offheap.PoolOptions{Limit: st.opts.MemoryLimit})
	if err := st.openLog(); err != nil {
		return err
	}
	st.clock.start(st.log.Tail().HighTime)
	if err := st.recover(ctx); err != nil {
		return err
	}
	st.opts.Events.recovered(st.Recovery())
	if st.opts.Load == Eager {
		if err := st.load(ctx); err != nil {
			return err
		}
	}
	// Only now is the log known to be whole: until here nothing was changed.
	if err := st.log.Start(); err != nil {
		return st.logError(err)
	}
	bg, stop := context.WithCancel(context.Background())
	st.stop = stop
	if st.opts.Load != Eager {
		// What cannot be loaded stays where it is: whoever looks at it gets the
		// error.
		st.background.Go(func() {
			if err := st.load(bg); bg.Err() == nil {
				st.loadFailed(err)
			}
		})
	}
	if !st.readOnly {
		st.every(bg, 100*time.Millisecond, st.compactInBackground)
		st.every(bg, 100*time.Millisecond, st.pace)
		st.every(bg, time.Second, st.sweep)
	}
	return nil
}

// every calls f again and again in the background, until the store closes.
func (st *Store) every(ctx context.Context, interval time.Duration, f func(context.Context)) {
	st.background.Go(func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				f(ctx)
			}
		}
	})
}

// takeLock makes the directory where that is allowed, and locks it.
func (st *Store) takeLock() error {
	mode := vfs.Exclusive
	if st.readOnly {
		mode = vfs.Shared
	}
	if st.readOnly || st.opts.MustExist {
		if err := st.mustExist(); err != nil {
			return err
		}
	} else if err := st.fs.MkdirAll(st.dir); err != nil {
		return err
	}
	name := filepath.Join(st.dir, lockName)
	lock, err := st.fs.Lock(name, mode)
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return fmt.Errorf("%w: %s, %s", ErrInUse, st.dir, lockHolder(st.fs, name))
	case errors.Is(err, fs.ErrNotExist) && st.readOnly:
		return fmt.Errorf("%w: %s has no %s file", ErrNoStore, st.dir, lockName)
	case err != nil:
		return err
	}
	st.lock = lock
	if w, ok := lock.(io.WriterAt); ok && !st.readOnly {
		host, _ := os.Hostname()
		// Only for the reader of the message above; a failure costs nothing.
		_, _ = fmt.Fprintf(io.NewOffsetWriter(w, 0), "process %-10d on %-64.64s\n", os.Getpid(), host)
	}
	return nil
}

// mustExist refuses a directory without a store before anything is created in
// it. What else is wrong with it is found later.
func (st *Store) mustExist() error {
	_, found, err := readCurrent(st.fs, st.dir)
	if err != nil || found {
		return nil
	}
	dir := logDir(st.dir, 1)
	if err := st.logExists(dir); err != nil {
		return fmt.Errorf("%w: %s", ErrNoStore, st.dir)
	}
	log, err := wal.Open(dir, wal.Options{FS: st.fs, ReadOnly: true})
	if err != nil {
		return err
	}
	defer log.Close()
	if err := st.withoutCurrent(log); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s, its creation was interrupted", ErrNoStore, st.dir)
}

// withoutCurrent refuses a log with data whose CURRENT file is gone. Without
// data it is the rest of a creation that was interrupted, though it may hold
// marks.
func (st *Store) withoutCurrent(log *wal.Log) error {
	for f, err := range log.Frames(log.First(), log.End()) {
		if err != nil {
			return err
		}
		if f.Kind == segment.Data {
			return &segment.CorruptionError{
				File: filepath.Join(st.dir, currentName), Offset: -1, Reason: "the file is missing, but the log has data",
			}
		}
	}
	return nil
}

// lockHolder reads who holds the lock, for an error message.
func lockHolder(fsys vfs.FS, name string) string {
	b, err := fsync.ReadFile(fsys, name, 4096)
	if err != nil || len(b) == 0 {
		return "by an unknown holder"
	}
	return fmt.Sprintf("last written by %s", trimSpaces(b))
}

// openLog opens the log of the current generation, or creates generation 1.
//
// Crash windows of a creation: until CURRENT is published nothing was
// acknowledged, so a log without CURRENT is finished if it holds no data.
func (st *Store) openLog() error {
	cur, found, err := readCurrent(st.fs, st.dir)
	if err != nil {
		return err
	}
	if !found {
		// The log chooses its identities, or has those of the interrupted creation.
		cur = current{generation: 1, lineages: make([]lineage, 1)}
	}
	dir := logDir(st.dir, cur.generation)
	var promised LSN
	if found {
		if err := st.logExists(dir); err != nil {
			return err
		}
		st.images = st.imageSet(cur)
		promised = st.images.Promised(dir)
	}
	st.log, err = wal.Open(dir, wal.Options{
		FS:           st.fs,
		SegmentSize:  st.firstSegmentSize(),
		Policy:       fsync.Policy{Durability: st.durability, MaxDelay: st.opts.MaxDelay, HardBound: fsync.DefaultHardBound},
		Compression:  st.opts.Compression,
		StoreID:      cur.storeID,
		Lineage:      cur.lineage().id,
		KnownDurable: promised,
		ReadOnly:     st.readOnly,
		Held:         true,
		TrustTail:    st.opts.Load != Eager,
		Time:         st.now,
		Events:       st.opts.Events.Log,
	})
	st.current = cur
	if err == nil && found && !st.readOnly {
		// CURRENT may be there only because the kernel remembers it, when whoever
		// published it was killed before the sync. The directories above are
		// durable: the log saw to it when it was created.
		err = st.fs.SyncDir(st.dir)
	}
	if err != nil || found {
		return st.logError(err)
	}
	return st.finishCreation(dir)
}

// finishCreation publishes CURRENT for a log that holds no data.
func (st *Store) finishCreation(dir string) error {
	if err := st.withoutCurrent(st.log); err != nil {
		return err
	}
	// The segment may have its name only because the kernel remembers it, when
	// whoever made it was killed before the sync: a CURRENT that is durable before
	// it says that a log is missing.
	if err := st.fs.SyncDir(dir); err != nil {
		return err
	}
	st.current.storeID = st.log.StoreID()
	st.current.lineages[0] = lineage{id: st.log.Lineage(), first: st.log.First()}
	st.images = st.imageSet(st.current)
	return writeCurrent(st.fs, st.dir, st.current)
}

// logExists makes sure that a log that was there is not taken for a new one.
func (st *Store) logExists(dir string) error {
	names, err := st.fs.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range names {
		if _, _, ok := segment.ParseFileName(name); ok {
			return nil
		}
	}
	return &segment.CorruptionError{File: dir, Offset: -1, Reason: "the log of this store is missing: no segment file"}
}

// Dir returns the store's directory.
func (st *Store) Dir() string { return st.dir }

// Sync makes everything durable that returned before the call.
func (st *Store) Sync() error { return st.logError(st.log.Sync()) }

// DurableLSN returns the position up to which the log is durable.
func (st *Store) DurableLSN() LSN { return st.log.Durable() }

// WaitDurable returns once the write at lsn, as PutWith returned it, is
// durable.
func (st *Store) WaitDurable(ctx context.Context, lsn LSN) error {
	return st.logError(st.log.WaitDurable(ctx, lsn+1))
}

// Recovery says what the open found and did, and how far loading came.
func (st *Store) Recovery() RecoveryReport { return st.report.get() }

// Close makes everything durable, writes an image of the index if something
// changed since the last one, so that the next open is quick, and releases
// files, memory and the lock. Operations under way finish or fail with
// ErrClosed. A second Close returns what the first did.
func (st *Store) Close() error {
	st.closeOnce.Do(func() {
		if st.readOnly {
			st.closeErr = st.release()
			return
		}
		// A store that cannot write an image is none the worse: the log has it
		// all, and an event says why.
		_ = st.Checkpoint(context.Background())
		st.closeErr = st.release()
	})
	return st.closeErr
}

// release undoes open, however far that came.
func (st *Store) release() error {
	st.catalog.mu.Lock()
	st.closed = true
	st.catalog.mu.Unlock()
	if st.stop != nil {
		st.stop() // first: what the background does not finish now is no failure
	}
	for _, r := range st.catalog.all() {
		r.lockAll()
		r.state.Store(regionClosed)
		r.detachAll()
		r.unlockAll()
		r.order.quiesce()
	}
	st.background.Wait()
	// What a caller still has under way ends before the lock is given up: it
	// meets closed regions. What comes later sees that the store is closed.
	for _, cycle := range []*sync.Mutex{&st.checkpoint.cycle, &st.compact.cycle} {
		cycle.Lock()
		defer cycle.Unlock()
	}
	var errs []error
	if st.log != nil {
		errs = append(errs, st.log.Close())
	}
	if st.pool != nil {
		errs = append(errs, st.pool.Close())
	}
	if st.lock != nil {
		errs = append(errs, st.lock.Close())
	}
	return errors.Join(errs...)
}

// isClosed says whether the store is closed, or about to be.
func (st *Store) isClosed() bool {
	st.catalog.mu.Lock()
	defer st.catalog.mu.Unlock()
	return st.closed
}

// partDamaged counts a part of an image that has to be rebuilt, and has the
// next checkpoint write a whole one though nothing was written since.
func (st *Store) partDamaged() {
	st.report.change(func(r *RecoveryReport) { r.DamagedParts++ })
	st.checkpoint.mu.Lock()
	st.checkpoint.last.records = -1
	st.checkpoint.mu.Unlock()
}

// logError adds what a user of the store needs to an error of the log.
func (st *Store) logError(err error) error {
	if errors.Is(err, wal.ErrClosed) {
		return fmt.Errorf("%w (%w)", ErrClosed, err)
	}
	if errors.Is(err, wal.ErrReadOnly) {
		return ErrReadOnly
	}
	return err
}

// counters of a store; see Metrics.
type counters struct {
	faultIns    atomic.Int64
	evictions   atomic.Int64
	expired     atomic.Int64
	compactions atomic.Int64
	checkpoints atomic.Int64
	moved       atomic.Int64
	movedBytes  atomic.Int64
	released    atomic.Int64
}
