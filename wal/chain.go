package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/fastrestart/frs/segment"
)

// controlValue returns the number in a control frame.
func controlValue(f *segment.Frame) uint64 {
	if f.Kind == segment.Data || len(f.Payload) != 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(f.Payload)
}

// ahead are segment files that were opened before the chain came to them.
type ahead map[name]openedFile

type openedFile struct {
	f   *file
	err error
}

// openAhead opens the segments before the newest, many at a time, but for those
// that TAIL is trusted about.
func (l *Log) openAhead(d *directory) ahead {
	older := d.segments[:len(d.segments)-1]
	a := make(ahead, len(older))
	if l.o.TrustTail && d.tail != nil {
		for _, o := range d.tail.older {
			if _, found := slices.BinarySearchFunc(older, o.name(), name.compare); found {
				a[o.name()] = openedFile{f: l.late(o)}
			}
		}
	}
	older = slices.DeleteFunc(slices.Clone(older), func(n name) bool { _, ok := a[n]; return ok })
	files := make([]openedFile, len(older))
	_ = together(len(older), func(i int) error { // each error counts when the chain comes to its file
		files[i].f, files[i].err = l.openSegment(older[i])
		return nil
	})
	for i, n := range older {
		a[n] = files[i]
	}
	return a
}

// take returns a segment's file, which is the caller's then.
func (a ahead) take(l *Log, n name) (*file, error) {
	o, ok := a[n]
	if !ok {
		return l.openSegment(n)
	}
	delete(a, n)
	return o.f, o.err
}

// close closes the files that nobody took.
func (a ahead) close() {
	for _, o := range a {
		if o.f != nil {
			_ = o.f.release() // it was only read
		}
	}
}

// chain follows the predecessors from the newest segment to the low-water mark,
// and accounts for every other file:
//
//	epoch 1   | A | B | C |
//	epoch 2         | D | E          D cut B; C is a leftover: E's chain covers it
//	          ^ low-water in A       older files than A are leftovers
//
// A file that nothing explains is damage: whatever it is, it was not left by a
// crash.
func (l *Log) chain(d *directory, s *newestScan) error {
	opened := l.openAhead(d)
	defer opened.close()
	list := *l.files.Load()
	for {
		oldest := list[0]
		if oldest.h.Cut <= s.lowWater && !oldest.gapTo(d) {
			break // what precedes was released
		}
		if oldest.h.PredEpoch == 0 {
			return l.missing(oldest.file, s.lowWater, "the log begins above its low-water mark")
		}
		f, err := opened.take(l, name{oldest.h.PredBase, oldest.h.PredEpoch})
		if err != nil {
			return withLast(err, oldest.h.Cut)
		}
		list = slices.Insert(list, 0, entry{f, oldest.h.Cut})
		l.files.Store(&list)
		if err := l.checkLink(f, oldest.file); err != nil {
			return err
		}
	}
	if len(list) < len(d.segments) {
		// The others are leftovers by the word of the headers, which are looked
		// at now, before anything is removed because of them.
		if err := checkHeaders(context.Background(), list); err != nil {
			return err
		}
	}
	return l.explain(d, list, s)
}

// gapTo reports whether a gap lies between the file and its predecessor, and
// that is still there. Only a new lineage leaves a gap, so the link is to be
// looked at even if the predecessor was released: it may not have been, and the
// gap be a lie.
func (f *file) gapTo(d *directory) bool {
	return f.h.Cut != f.h.Base && slices.Contains(d.segments, name{f.h.PredBase, f.h.PredEpoch})
}

func (l *Log) missing(f *file, from LSN, why string) error {
	return &segment.CorruptionError{File: l.path(f.name), Offset: -1, LSN: from, Last: f.h.Cut, Reason: why}
}

// withLast adds how far the loss reaches.
func withLast(err error, last LSN) error {
	var c *segment.CorruptionError
	if errors.As(err, &c) && c.Last == 0 {
		c.Last = last
	}
	return err
}

// checkLink checks that segment f can be what its successor continues.
func (l *Log) checkLink(f, next *file) error {
	switch {
	case f.h.Store != next.h.Store:
		return fmt.Errorf("%w: %s has store id %x, %s has %x", ErrForeign, l.path(f.name), f.h.Store, next.name, next.h.Store)
	case next.h.Cut != next.h.Base && f.h.Lineage == next.h.Lineage:
		return l.missing(next, next.h.Cut, "a gap within one lineage")
	case f.h.Base >= next.h.Cut && f.h.Base >= next.h.Base:
		return l.missing(next, f.h.Base, "its predecessor does not begin below it")
	case f.size.Load() < f.h.Offset(next.h.Cut):
		return &segment.CorruptionError{
			File: l.path(f.name), Offset: f.size.Load(), LSN: f.h.LSNAt(max(f.size.Load(), segment.HeaderSize)), Last: next.h.Cut,
			Reason: fmt.Sprintf("file has %d bytes, its frames need %d", f.size.Load(), f.h.Offset(next.h.Cut)),
		}
	}
	return nil
}

// explain accounts for the files that are not in the chain. REQUIRES: list is
// complete.
func (l *Log) explain(d *directory, list fileList, s *newestScan) error {
	for _, n := range d.segments {
		if slices.ContainsFunc(list, func(e entry) bool { return e.h.Base == n.base && e.h.Epoch == n.epoch }) {
			continue
		}
		if released(n, list) || truncated(n, list) {
			continue
		}
		return &segment.CorruptionError{
			File: l.path(n.String()), Offset: -1, LSN: n.base, Reason: "the file is not part of the log, and nothing explains it",
		}
	}
	return nil
}

// released reports whether a file lies below the oldest segment. Nothing lies in
// a gap.
func released(n name, list fileList) bool {
	return n.base < list[0].h.Cut && n.epoch <= list[0].h.Epoch
}

// truncated reports whether a younger segment put the file out of the log.
func truncated(n name, list fileList) bool {
	return slices.ContainsFunc(list, func(e entry) bool { return e.h.Epoch > n.epoch && e.h.Cut <= n.base })
}

// tidy removes leftovers of a crash, and publishes TAIL if it was of no use.
//
// First the directory is synced, unless TAIL names the newest segment and so
// says that its name is durable. Whoever gave it its name may have died before
// the sync; a power failure could then take it back, and with it the truncation
// that it made, which is seen from now on, or that explains a leftover that is
// removed here.
func (l *Log) tidy(d *directory, s *newestScan) error {
	list := *l.files.Load()
	var gone []name
	for _, n := range slices.Backward(d.segments) {
		inLog := slices.ContainsFunc(list, func(e entry) bool { return e.h.Base == n.base && e.h.Epoch == n.epoch })
		// A released file stays while the low-water mark may not be durable.
		if !inLog && (truncated(n, list) || released(n, list) && list[0].h.Cut <= s.lowProof) {
			gone = append(gone, n)
		}
	}
	if len(gone) == 0 && len(d.temps) == 0 && d.tail != nil && d.tail.names(s.file) {
		return nil
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("wal: sync directory: %w", err)
	}
	for _, n := range gone {
		if err := l.removeLeftover(n); err != nil {
			return err
		}
	}
	l.removeTemps(d)
	if d.tail == nil {
		l.writeTail(tailFile{
			store: l.store, base: s.file.h.Base, epoch: s.file.h.Epoch,
			durable: s.proven, lowWater: s.lowProof, highTime: s.highTime,
			older: l.outlines(s.file.h.Base, maxOutlines),
		})
	}
	l.tail.Warnings = d.warnings
	return l.poison.Err()
}

// removeLeftover removes a segment file that is not part of the log, unless it
// belongs to another store. One whose header cannot be read holds nothing.
func (l *Log) removeLeftover(n name) error {
	path := l.path(n.String())
	f, err := l.fs.Open(path)
	if err == nil {
		h, herr := segment.ReadFileHeader(f)
		if cerr := f.Close(); cerr != nil {
			return fmt.Errorf("wal: %w", cerr)
		}
		if herr == nil && h.Store != l.store {
			return fmt.Errorf("%w: %s has store id %x, want %x", ErrForeign, path, h.Store, l.store)
		}
	}
	if err := l.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("wal: remove leftover: %w", err)
	}
	return nil
}
