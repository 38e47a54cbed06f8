package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
)

// Disk space is reserved before a write gets its LSN, so that a full disk is a
// failed Prepare and not a write in doubt.
//
// A file is allocated larger than its segment's soft size counts:
//
//	| header | usable: a frame may start here | slack: the last frame's excess | footer |
//
// A small frame, not longer than the slack that every file has, fits wherever
// it may start. So small frames waste nothing, and space is one number:
//
//	avail + charges = usable bytes of the spare files + max(usable − used, 0) of seg
//
// While avail ≥ 0, a frame with a reservation finds room in seg, or a spare file
// to roll to: rolling happens at used ≥ usable, so then the spares hold at
// least what is charged.
//
// A large frame may find too little behind usable − used and slack; it then
// rolls early and wastes what is left, less than its own size. So it is charged
// twice its size, but no more than two segments. What a frame is charged and
// does not take is given back when it is appended. A frame longer than a file
// first has those extended that are empty. An empty segment is never rolled
// from: the next one would have its name.
//
// Users leave `floor` bytes, one segment, to the system.

// spare is an allocated file that waits to become a segment.
type spare struct {
	f      vfs.File
	name   string
	salt   uint64
	usable int64
	slack  int64 // changed under Log.mu
	size   int64 // changed under Log.mu
}

// room is the longest frame that the empty file can take.
func (sp *spare) room() int64 { return sp.usable + sp.slack }

// spaceState is the part of the books that Log.mu guards.
type spaceState struct {
	ready  []*spare
	usable int64 // of files made from now on

	large     int   // large frames between reserveSlow and Append or Cancel
	largeCap  int64 // while large > 0: no file is usable beyond
	wantRoom  int64 // what they need in an empty file
	wantAvail int64 // somebody waits until avail is this
	wantSpare bool  // somebody needs a spare whatever avail says

	busy     bool   // the allocator is at work
	attempts uint64 // times it finished
	err      error  // how the last attempt ended
	zeroed   bool   // fill new files with zeros: the log sees many syncs
	serial   uint32 // of temporary names
}

// slackFor returns the slack of a log's files. It is the same for all files of
// an open log, because a small frame may end up in any of them.
func slackFor(segmentSize int64) int64 {
	return min(max(segmentSize/16, 4096), 256<<10) &^ (segment.Align - 1)
}

// setSize sets the soft size of segment files.
func (s *spaceState) setSize(n, slack int64) {
	s.usable = max(n-segment.HeaderSize-segment.FooterSize-slack, n/2) &^ (segment.Align - 1)
}

func (s *spaceState) take() *spare {
	sp := s.ready[0]
	s.ready = append(s.ready[:0], s.ready[1:]...)
	return sp
}

// addLargeLocked counts a large frame and returns what it is charged.
func (l *Log) addLargeLocked(size int64) (charge int64) {
	s := &l.space
	if s.large == 0 {
		s.largeCap = max(s.usable, l.seg.usable)
		for _, sp := range s.ready {
			s.largeCap = max(s.largeCap, sp.usable)
		}
	}
	s.large++
	return 2 * min(size, s.largeCap)
}

func (s *spaceState) dropLarge() {
	if s.large--; s.large == 0 {
		s.wantRoom = 0
	}
}

// take reserves size bytes unless less than floor would be left.
func (l *Log) take(size, floor int64) (left int64, ok bool) {
	for {
		a := l.avail.Load()
		if a-size < floor {
			return a, false
		}
		if l.avail.CompareAndSwap(a, a-size) {
			return a - size, true
		}
	}
}

// reserve obtains the write's disk space.
func (l *Log) reserve(p *Prepared, system bool) error {
	floor := l.floor.Load()
	low := floor + floor/2
	if system {
		floor = 0
	}
	p.charge = p.size
	if p.size <= l.slack {
		if left, ok := l.take(p.size, floor); ok {
			if left < low {
				l.allocs.kick()
			}
			return nil
		}
	}
	return l.reserveSlow(p, floor)
}

// unreserve gives it back.
func (l *Log) unreserve(p *Prepared) {
	l.avail.Add(p.charge)
	if p.large {
		l.mu.Lock()
		l.space.dropLarge()
		l.mu.Unlock()
		p.large = false
	}
}

// reserveSlow waits for the allocator until there is room, or the allocator
// has failed once since the call.
func (l *Log) reserveSlow(p *Prepared, floor int64) error {
	l.mu.Lock()
	first := l.space.attempts
	if l.space.busy {
		first++ // that attempt may have begun before there was room
	}
	if p.size > l.slack {
		p.large = true
		p.charge = l.addLargeLocked(p.size)
	}
	l.mu.Unlock()
	for {
		changed := l.progress.wait()
		if l.closed.Load() || l.poison.Err() != nil {
			l.forgetLarge(p)
			return l.refusal()
		}
		l.mu.Lock()
		if p.large {
			l.space.wantRoom = max(l.space.wantRoom, p.size)
		}
		l.space.wantAvail = max(l.space.wantAvail, p.charge+floor)
		fits := !p.large || l.seg.spare != nil && l.crampedLocked(p.size) == nil
		failed, err := l.space.attempts > first, l.space.err
		l.mu.Unlock()
		if fits {
			if _, ok := l.take(p.charge, floor); ok {
				return nil
			}
		}
		if failed && err != nil {
			l.forgetLarge(p)
			return err
		}
		l.allocs.kick()
		<-changed
	}
}

func (l *Log) forgetLarge(p *Prepared) {
	if p.large {
		l.mu.Lock()
		l.space.dropLarge()
		l.mu.Unlock()
		p.large = false
	}
}

// crampedLocked returns a file that the next frame may be the first of and that
// has not the room for it, nil if there is none.
func (l *Log) crampedLocked(size int64) *spare {
	if l.seg.used == 0 && l.seg.spare != nil && l.seg.spare.room() < size {
		return l.seg.spare
	}
	for _, sp := range l.space.ready {
		if sp.room() < size {
			return sp
		}
	}
	return nil
}

// claimSpare waits until there is a spare file that no reservation counts on,
// takes the rest of the current segment out of the books and calls begin under
// the lock: how a segment is ended before it is full. begin may decline.
func (l *Log) claimSpare(begin func() bool) error {
	l.mu.Lock()
	first := l.space.attempts
	if l.space.busy {
		first++
	}
	l.mu.Unlock()
	for {
		changed := l.progress.wait()
		if l.closed.Load() || l.poison.Err() != nil { // nobody prepares files any more
			return l.refusal()
		}
		l.mu.Lock()
		if len(l.space.ready) > 0 && l.seg.spare != nil {
			rest := max(l.seg.usable-l.seg.used, 0)
			if _, ok := l.take(rest, 0); ok {
				if !begin() {
					l.avail.Add(rest)
				}
				l.mu.Unlock()
				return nil
			}
		}
		l.space.wantSpare = true
		failed, err := l.space.attempts > first, l.space.err
		l.mu.Unlock()
		if failed && err != nil {
			return err
		}
		l.allocs.kick()
		<-changed
	}
}

// allocator prepares files in the background.
type allocator struct {
	wake chan struct{}
	quit chan struct{}
	done sync.WaitGroup
}

func (a *allocator) kick() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *allocator) stop() {
	close(a.quit)
	a.done.Wait()
}

// retryAfter is how long a full disk is left alone.
const retryAfter = 100 * time.Millisecond

// allocate is the allocator's goroutine.
func (l *Log) allocate() {
	defer l.allocs.done.Done()
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		select {
		case <-l.allocs.quit:
			return
		case <-l.allocs.wake:
		case <-retry.C:
		}
		if err := l.makeRoom(); err != nil {
			retry.Reset(retryAfter)
		}
	}
}

// makeRoom makes and extends files until nobody can want more.
func (l *Log) makeRoom() error {
	l.mu.Lock()
	l.space.busy = true
	l.mu.Unlock()
	var err error
	for err == nil && l.poison.Err() == nil && !l.allocs.quitting() {
		var step func() error
		if step = l.nextStep(); step == nil {
			break
		}
		if err = step(); err == nil {
			l.progress.broadcast()
		}
	}
	err = preparing(err)
	l.mu.Lock()
	was := l.space.err
	l.space.busy, l.space.err = false, err
	l.space.attempts++
	l.mu.Unlock()
	l.progress.broadcast()
	l.tellFull(was, err)
	return err
}

// preparing says what an error of making a file means to those who need it.
func preparing(err error) error {
	switch {
	case err == nil || errors.Is(err, ErrFull) || errors.Is(err, ErrClosed):
		return err
	case noSpace(err):
		return fmt.Errorf("%w: %w", ErrFull, err)
	default:
		return fmt.Errorf("%w: %w", ErrNoFile, err)
	}
}

func (a *allocator) quitting() bool {
	select {
	case <-a.quit:
		return true
	default:
		return false
	}
}

// tellFull sends the events of a disk that became full or has room again.
func (l *Log) tellFull(was, is error) {
	switch {
	case was == nil && is != nil:
		l.o.Events.full(is)
	case was != nil && is == nil:
		l.o.Events.resumed()
	}
}

// nextStep returns what the allocator should do next, nil if all is well.
func (l *Log) nextStep() func() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.space
	if l.seg.spare == nil {
		return func() error { return l.addSpare(true) }
	}
	if sp := l.crampedLocked(s.wantRoom); sp != nil {
		return func() error { return l.extend(sp) }
	}
	if s.wantSpare && len(s.ready) > 0 && l.avail.Load() >= max(l.seg.usable-l.seg.used, 0) {
		s.wantSpare = false
	}
	if s.wantSpare || l.avail.Load() < max(s.usable+s.usable/2, s.wantAvail) {
		return func() error { return l.addSpare(false) }
	}
	s.wantAvail = 0
	return nil
}

// extend gives a spare file more slack.
func (l *Log) extend(sp *spare) error {
	l.mu.Lock()
	room := max(l.space.wantRoom, sp.room())
	l.mu.Unlock()
	size := segment.HeaderSize + room + segment.FooterSize
	if err := sp.f.Allocate(size); err != nil {
		return fmt.Errorf("wal: allocate %d bytes: %w", size, err)
	}
	l.mu.Lock()
	sp.slack, sp.size = room-sp.usable, size
	l.mu.Unlock()
	return nil
}

// addSpare makes one more file; for the current segment if that has none yet.
func (l *Log) addSpare(forSeg bool) error {
	l.mu.Lock()
	sp := &spare{usable: l.space.usable, salt: l.o.random()}
	if forSeg {
		sp.usable, sp.salt = max(sp.usable, l.seg.used), l.seg.h.Salt
	} else if l.space.large > 0 {
		sp.usable = min(sp.usable, l.space.largeCap)
	}
	sp.slack = max(l.slack, l.space.wantRoom-sp.usable)
	if l.end.Load()+uint64(sp.room()+l.avail.Load()) >= uint64(segment.MaxLSN) {
		l.mu.Unlock()
		return fmt.Errorf("%w: the log's address space is used up", ErrFull)
	}
	zeroed := l.space.zeroed && !forSeg
	l.mu.Unlock()
	if err := l.makeSpare(sp, zeroed); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if forSeg {
		l.seg.spare, l.seg.usable = sp, sp.usable
		l.avail.Add(sp.usable - l.seg.used)
		return nil
	}
	l.space.ready = append(l.space.ready, sp)
	l.avail.Add(sp.usable)
	return nil
}

// makeSpare creates and allocates a file under a temporary name. It needs no
// sync of its name: if we crash, it was never used.
func (l *Log) makeSpare(sp *spare, zeroed bool) error {
	sp.size = segment.HeaderSize + sp.usable + sp.slack + segment.FooterSize
	for {
		l.mu.Lock()
		l.space.serial++
		sp.name = segment.TempName(l.space.serial)
		l.mu.Unlock()
		var err error
		if sp.f, err = l.fs.Create(l.path(sp.name)); err == nil {
			break
		} else if !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("wal: prepare segment: %w", err)
		}
		if err := l.fs.Remove(l.path(sp.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("wal: remove leftover: %w", err)
		}
	}
	fill := sp.f.Allocate
	if zeroed {
		fill = func(size int64) error { return l.zeroFill(sp.f, size) }
	}
	if err := fill(sp.size); err != nil {
		return errors.Join(fmt.Errorf("wal: allocate %d bytes: %w", sp.size, err), l.dropSpare(sp))
	}
	return nil
}

// zeroFill writes zeros, so that later syncs need not convert extents, in steps
// that do not hold up the syncs of the log for long. An error, of a sync too,
// concerns no byte of the log: the file is thrown away.
func (l *Log) zeroFill(f vfs.File, size int64) error {
	if err := f.Allocate(size); err != nil {
		return err
	}
	zeros := make([]byte, chunkSize)
	for off := int64(0); off < size; off += chunkSize {
		if l.allocs.quitting() {
			return ErrClosed
		}
		if _, err := f.WriteAt(zeros[:min(chunkSize, size-off)], off); err != nil {
			return err
		}
		if err := f.SyncData(); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) dropSpare(sp *spare) error {
	return errors.Join(sp.f.Close(), l.fs.Remove(l.path(sp.name)))
}

// dropSpares removes the files that were prepared for nothing, at Close. They
// stay in the books: an Append that Close did not wait for may still roll.
func (l *Log) dropSpares() error {
	l.mu.Lock()
	list := slices.Clone(l.space.ready)
	var errs []error
	for _, s := range l.queue {
		switch {
		case s.installed || s.spare == nil:
		case s.named: // the directory sync failed
			errs = append(errs, s.spare.f.Close())
		default:
			list = append(list, s.spare)
		}
	}
	l.mu.Unlock()
	for _, sp := range list {
		errs = append(errs, l.dropSpare(sp))
	}
	if l.poison.Err() != nil {
		return nil // what went wrong is known; leftovers are removed at open
	}
	return errors.Join(errs...)
}
