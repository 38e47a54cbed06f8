package wal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
)

// A log of many segments opens in the time of one: TAIL lists what the headers
// of the older segments say, and with Options.TrustTail their files are opened
// when something of them is first read.

// outline is what TAIL says of a segment: of its header what is needed without
// the file, and how long the file is at least.
type outline struct {
	h    segment.Header // without LowWater, HighTime and Allocated
	size int64
}

func (f *file) outline(size int64) outline {
	o := outline{f.h, size}
	o.h.LowWater, o.h.HighTime, o.h.Allocated = 0, 0, 0
	return o
}

func (o *outline) name() name { return name{o.h.Base, o.h.Epoch} }

// outlines returns those of the segments below base, oldest first; of more than
// limit the newest. REQUIRES: base is that of the newest segment. Each is as long
// as its part of the log: only that much of a file is durable for certain.
func (l *Log) outlines(base LSN, limit int) (list []outline) {
	for _, e := range *l.files.Load() {
		if e.h.Base < base {
			list = append(list, e.outline(max(e.h.Offset(e.end), segment.HeaderSize)))
		}
	}
	return list[max(0, len(list)-limit):]
}

// lateFile is the file of a segment that TAIL lists. It is opened, and its
// header compared with the list, with the first read.
type lateFile struct {
	l    *Log
	of   *file // the log's, that this one is behind
	said outline

	mu sync.Mutex // held while it is opened
	f  atomic.Pointer[file]
}

// late returns a segment that is not opened yet.
func (l *Log) late(o outline) *file {
	late := &lateFile{l: l, said: o}
	late.of = newFile(o.h, o.name().String(), late, o.size)
	return late.of
}

// ReadAt implements io.ReaderAt.
func (f *lateFile) ReadAt(p []byte, off int64) (int, error) {
	o, err := f.open()
	if err != nil {
		return 0, err
	}
	return o.f.ReadAt(p, off)
}

// Prefetch implements vfs.Prefetcher.
func (f *lateFile) Prefetch(off, n int64) {
	o, err := f.open()
	if err != nil {
		return // whoever reads is told
	}
	if p, ok := o.f.(vfs.Prefetcher); ok {
		p.Prefetch(off, n)
	}
}

// Close implements io.Closer. Nobody reads any more.
func (f *lateFile) Close() error {
	if o := f.f.Load(); o != nil {
		return o.release()
	}
	return nil
}

func (f *lateFile) open() (*file, error) {
	if o := f.f.Load(); o != nil {
		return o, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := f.f.Load(); o != nil {
		return o, nil
	}
	o, err := f.l.openSegment(f.said.name())
	if err != nil {
		return nil, err
	}
	if err := f.check(o); err != nil {
		_ = o.release() // it was only read
		return nil, err
	}
	f.of.size.Store(o.size.Load())
	f.f.Store(o)
	return o, nil
}

// check compares the file with what TAIL said.
func (f *lateFile) check(o *file) error {
	is, path := o.outline(o.size.Load()), f.l.path(o.name)
	switch {
	case is.h.Store != f.said.h.Store:
		return fmt.Errorf("%w: %s has store id %x, want %x", ErrForeign, path, is.h.Store, f.said.h.Store)
	case is.h != f.said.h:
		return &segment.CorruptionError{File: path, LSN: is.h.Base, Reason: "its header is not the one that TAIL lists"}
	case is.size < f.said.size:
		return &segment.CorruptionError{
			File: path, Offset: is.size, LSN: is.h.LSNAt(max(is.size, segment.HeaderSize)),
			Reason: fmt.Sprintf("file has %d bytes, TAIL says %d", is.size, f.said.size),
		}
	}
	return nil
}

// settle opens a file that is to lose its name, so that whoever has a reference
// can go on, and returns an error if it is another store's.
func (f *file) settle() error {
	if late, ok := f.f.(*lateFile); ok {
		if _, err := late.open(); errors.Is(err, ErrForeign) {
			return err
		}
	}
	return nil
}

// CheckHeaders opens the segments that Open believed TAIL about, and returns
// an error for the first of them whose header is damaged or not as listed, which
// is too short, missing, or another store's. It does nothing unless
// Options.TrustTail is set.
func (l *Log) CheckHeaders(ctx context.Context) error {
	list := l.acquireAll()
	if list == nil {
		return ErrClosed
	}
	defer list.release()
	return checkHeaders(ctx, list)
}

func checkHeaders(ctx context.Context, list fileList) error {
	return together(len(list), func(i int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if late, ok := list[i].f.(*lateFile); ok {
			_, err := late.open()
			return err
		}
		return nil
	})
}

// openAtOnce is how many files are opened together: one whose name and header
// are not in the page cache costs several reads of the disk, each as long as
// thousands of frames.
const openAtOnce = 32

// together runs f for 0 to n-1, many at a time, and returns the error of the
// lowest.
func together(n int, f func(i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(openAtOnce, n) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = f(i)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
