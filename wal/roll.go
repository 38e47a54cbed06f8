package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/segment"
)

// A roll from segment N to N+1, by the leader, in this order. "Lost" means: in
// memory or in the page cache only, when the power fails.
//
//	1 write the rest of N and its footer
//	2 sync N                    crash before: N has a torn tail, N+1 no name
//	3 truncate N to its size    crash before: zeros follow the footer. Never before 2:
//	                            so a file shorter than its allocation is sealed or damaged
//	4 write N+1's header, to its temporary name; after Open also the recovered tail
//	5 sync N+1                  crash before: a leftover temporary file
//	6 rename N+1                crash before 7: N+1 is there, empty, or is not; N ends clean either way
//	7 sync the directory        from here on N+1 may take frames and N is not the newest
//	8 publish TAIL              crash before: TAIL names N, which is true still
//	9 write N+1's first frame
//
// An error in 2, 5, 6 (but for want of space) and 7 poisons.

// seal ends the physical segment: steps 1 to 3.
func (l *Log) seal(s *pending) error {
	l.mu.Lock()
	footer := s.footerLocked()
	l.mu.Unlock()
	if err := l.writeFooter(s, footer); err != nil {
		return err
	}
	if err := l.syncPhys(); err != nil {
		return err
	}
	if s.cut == 0 {
		l.setDurable(s.h.Base + LSN(s.sealedLen))
	}
	return l.trim(s)
}

// footerLocked returns the footer of a segment that would end now, but for the
// hash. REQUIRES: Log.mu.
func (s *pending) footerLocked() segment.Footer {
	return segment.Footer{Frames: s.frames, End: s.end(), Durable: s.high, Salt: s.h.Salt}
}

// writeFooter writes the footer behind the last frame. REQUIRES: all frames
// below f.End are written and no others.
func (l *Log) writeFooter(s *pending, f segment.Footer) error {
	s.sealedLen = int64(f.End - s.h.Base)
	f.Hash = s.hash.Sum64()
	if _, err := s.spare.f.WriteAt(f.Append(nil), s.h.Offset(f.End)); err != nil {
		return l.failed("write footer", err)
	}
	return nil
}

// trim gives back what the segment did not use. The size need not be durable.
func (l *Log) trim(s *pending) error {
	size := segment.HeaderSize + s.sealedLen + segment.FooterSize
	if err := s.spare.f.Truncate(size); err != nil {
		return l.failed("truncate "+s.file.name, err)
	}
	s.file.size.Store(size)
	s.sealed = true
	l.mu.Lock()
	l.space.zeroed = s.syncs >= manySyncs
	l.mu.Unlock()
	l.lead.sealed.Add(1)
	info := entry{s.file, s.h.Base + LSN(s.sealedLen)}.info()
	info.Sealed = true
	l.o.Events.segmentSealed(info)
	return nil
}

// manySyncs in one segment make it worth while to fill the next one with zeros:
// syncs into written blocks are 1.4 to 1.8 times faster.
const manySyncs = 256

// publish gives a segment its file and its name: steps 4 to 7. After a failure
// for want of space it can be called again.
func (l *Log) publish(s *pending) error {
	if err := l.awaitSpare(s); err != nil {
		return err
	}
	start := time.Now()
	if !s.named {
		if err := l.keepTorn(s); err != nil {
			return err
		}
		if err := l.fillFile(s); err != nil {
			return err
		}
		name := segment.FileName(s.h.Base, s.h.Epoch)
		if err := l.fs.Rename(l.path(s.spare.name), l.path(name)); err != nil {
			return l.failed("rename to "+name, err)
		}
		s.named = true
		s.file = newFile(s.h, name, s.spare.f, s.spare.size)
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return l.die(fmt.Errorf("wal: sync directory: %w", err))
	}
	l.install(s, start)
	return nil
}

// fillFile writes the header, and the recovered tail after an open, and syncs
// them.
func (l *Log) fillFile(s *pending) error {
	l.mu.Lock()
	s.h.Allocated = s.spare.size
	l.mu.Unlock()
	s.h.HighTime = l.now()
	s.hash = xxhash.New()
	head := s.h.Append(nil)
	if _, err := s.spare.f.WriteAt(head, 0); err != nil {
		return l.failed("write header", err)
	}
	_, _ = s.hash.Write(head) // never fails
	if s.old != nil {
		if err := l.copyTail(s); err != nil {
			return err
		}
	}
	if err := s.spare.f.Sync(); err != nil {
		return l.die(fmt.Errorf("wal: sync new segment: %w", err))
	}
	return nil
}

// install makes a segment whose name is durable part of the log.
func (l *Log) install(s *pending, start time.Time) {
	l.mu.Lock()
	var list fileList
	if p := l.files.Load(); p != nil {
		list = *p
	}
	list, dropped := list.with(s.file)
	l.files.Store(&list)
	s.installed = true
	if s.old != nil {
		s.frames += s.old.frames
	}
	l.mu.Unlock()
	if old := s.old; old != nil {
		old.done.Store(true)
		l.setDurable(old.to)
		if old.from < old.to {
			l.o.Events.tailRecovered(old.from, old.to, time.Since(start))
		}
	}
	l.o.Events.segmentBegun(entry{s.file, segment.MaxLSN}.info())
	l.dropFiles(dropped)
}

// dropFiles removes files that the newest segment put out of the log, newest
// first. If we crash, or this fails, the next Open does it again.
func (l *Log) dropFiles(files []*file) {
	var infos []SegmentInfo
	for i := len(files) - 1; i >= 0; i-- {
		f := files[i]
		infos = append(infos, entry{f, f.h.Base}.info())
		l.o.Events.warning(l.unlink(f))
	}
	l.o.Events.segmentsReleased(infos)
}

// unlink removes a file's name and drops the list's reference.
func (l *Log) unlink(f *file) error {
	if err := f.settle(); err != nil {
		return errors.Join(err, f.release())
	}
	err := l.fs.Remove(l.path(f.name))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, f.release())
}

// awaitSpare waits until the allocator has a file for the segment that Open
// began. All others have theirs from the start.
func (l *Log) awaitSpare(s *pending) error {
	l.mu.Lock()
	first := l.space.attempts
	if l.space.busy {
		first++
	}
	l.mu.Unlock()
	for {
		changed := l.progress.wait()
		l.mu.Lock()
		have, failed, err := s.spare != nil, l.space.attempts > first, l.space.err
		l.mu.Unlock()
		if have {
			return nil
		}
		if failed && err != nil {
			return err
		}
		if err := l.poison.Err(); err != nil {
			return err
		}
		l.allocs.kick()
		<-changed
	}
}

// Roll ends the current segment: when it has returned, every frame appended
// before the call is in a sealed, durable segment. Without frames since the
// last roll it only syncs.
func (l *Log) Roll() error {
	if l.closed.Load() || l.o.ReadOnly {
		return l.refusal()
	}
	if err := l.Sync(); err != nil { // the segment that Open began has its file then
		return err
	}
	if err := l.materialize(); err != nil {
		return err
	}
	err := l.claimSpare(func() bool {
		if l.seg.used == 0 {
			return false
		}
		l.rollLocked()
		return true
	})
	if err != nil {
		return err
	}
	return l.force()
}

// force flushes with a sync even if nothing seems to need it, so that every
// segment begun has its file.
func (l *Log) force() error {
	return l.group.Exclusive(func() error {
		if err := l.poison.Err(); err != nil {
			return err
		}
		l.lead.force = true
		defer func() { l.lead.force = false }()
		return l.flush(fsync.Request{Sync: true})
	})
}

// materialize sees to it that the segment that Open began has a file.
func (l *Log) materialize() error {
	l.mu.Lock()
	have := l.seg.spare != nil
	l.mu.Unlock()
	if have {
		return nil
	}
	return l.force()
}
