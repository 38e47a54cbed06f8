package wal

import (
	"io"
	"sort"
	"sync/atomic"

	"github.com/fastrestart/frs/segment"
)

// SegmentInfo describes one segment of the log.
type SegmentInfo struct {
	Base   LSN    // first LSN
	End    LSN    // where its part of the log ends
	Epoch  uint32 // grows with every open that writes
	Salt   uint64 // random, so that it tells copies of a log apart
	Bytes  int64  // size of the file
	Sealed bool   // takes no more frames
	Name   string // base name of the file
}

// file is an open segment file. The list of files holds one reference, every
// reader one more; the handle is closed with the last. So a file can be removed
// under its readers, and it is never used for anything else afterwards.
type file struct {
	h    segment.Header // of a lateFile, what TAIL says of it
	name string
	f    readCloser
	refs atomic.Int32
	size atomic.Int64
}

// readCloser is what is left of a file that takes no more frames.
type readCloser interface {
	io.ReaderAt
	io.Closer
}

func newFile(h segment.Header, name string, f readCloser, size int64) *file {
	x := &file{h: h, name: name, f: f}
	x.refs.Store(1)
	x.size.Store(size)
	return x
}

// acquire takes a reference, unless the last one is gone.
func (f *file) acquire() bool {
	for {
		n := f.refs.Load()
		if n == 0 {
			return false
		}
		if f.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release drops a reference. What a Close could still report is nothing that
// anybody relies on: files are synced before.
func (f *file) release() error {
	if f.refs.Add(-1) == 0 {
		return f.f.Close()
	}
	return nil
}

// entry is a file's place in the log: it holds [h.Base, end).
type entry struct {
	*file
	end LSN // segment.MaxLSN for the newest
}

// fileList holds the published segments by base. It is immutable; changes
// install a new one under Log.mu.
type fileList []entry

// find returns the entry that holds l.
func (fl fileList) find(l LSN) (entry, bool) {
	i := sort.Search(len(fl), func(i int) bool { return fl[i].h.Base > l }) - 1
	if i < 0 || l >= fl[i].end {
		return entry{}, false
	}
	return fl[i], true
}

// with returns the list with f appended, ending everything at f's cut, and the
// files that have no part in the log any more.
func (fl fileList) with(f *file) (list fileList, dropped []*file) {
	for _, e := range fl {
		if e.h.Base >= f.h.Cut {
			dropped = append(dropped, e.file)
			continue
		}
		e.end = min(e.end, f.h.Cut)
		list = append(list, e)
	}
	return append(list, entry{f, segment.MaxLSN}), dropped
}

// below splits off the files that lie wholly below l. The newest never does.
func (fl fileList) below(l LSN) (gone, rest fileList) {
	i := 0
	for i < len(fl)-1 && fl[i].end <= l {
		i++
	}
	return fl[:i], fl[i:]
}

// acquire returns the file that holds l with a reference taken.
func (l *Log) acquire(at LSN) (entry, bool) {
	for {
		p := l.files.Load()
		if p == nil {
			return entry{}, false
		}
		e, ok := p.find(at)
		if !ok {
			return e, false
		}
		if e.acquire() {
			return e, true
		}
	}
}

// acquireAll returns the current list with a reference taken on each file.
func (l *Log) acquireAll() fileList {
	for {
		p := l.files.Load()
		if p == nil {
			return nil
		}
		n := 0
		for _, e := range *p {
			if !e.acquire() {
				break
			}
			n++
		}
		if n == len(*p) {
			return *p
		}
		(*p)[:n].release()
	}
}

func (fl fileList) release() {
	for _, e := range fl {
		_ = e.file.release() // read-only use: nothing can be lost
	}
}

// Segments returns the segments of the log that have a file, oldest first.
func (l *Log) Segments() []SegmentInfo {
	p := l.files.Load()
	if p == nil {
		return nil
	}
	infos := make([]SegmentInfo, 0, len(*p))
	for i, e := range *p {
		info := e.info()
		info.Sealed = i < len(*p)-1 || l.newestSealed.Load()
		if e.end == segment.MaxLSN {
			info.End = l.Written()
		}
		infos = append(infos, info)
	}
	return infos
}

func (e entry) info() SegmentInfo {
	return SegmentInfo{Base: e.h.Base, End: e.end, Epoch: e.h.Epoch, Salt: e.h.Salt, Bytes: e.size.Load(), Name: e.name}
}
