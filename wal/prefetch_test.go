package wal_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// askedFS notes what is to be prefetched of which file.
type askedFS struct {
	*memfs.FS
	mu    sync.Mutex
	asked []string
}

type askedFile struct {
	vfs.File
	fs *askedFS
}

func (fs *askedFS) Open(name string) (vfs.File, error) {
	f, err := fs.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return askedFile{f, fs}, nil
}

func (f askedFile) Prefetch(off, n int64) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.fs.asked = append(f.fs.asked, fmt.Sprintf("%s %d+%d", filepath.Base(f.Name()), off, n))
}

// TestPrefetch: what is asked for is the part of the segment that the range
// begins in, whether its file is open yet or not, and nothing where there is no
// log.
func TestPrefetch(t *testing.T) {
	for _, trust := range []bool{false, true} {
		fs := &askedFS{FS: threeSegments(t)}
		l := mustOpen(t, wal.Options{FS: fs, ReadOnly: true, TrustTail: trust})
		infos := l.Segments()
		first, last := infos[0], infos[len(infos)-1]
		for name, c := range map[string]struct {
			from, to wal.LSN
			want     []string
		}{
			"a segment":          {first.Base, first.End, []string{fmt.Sprintf("%s %d+%d", first.Name, segment.HeaderSize, first.End-first.Base)}},
			"the middle":         {first.Base + 80, first.Base + 480, []string{fmt.Sprintf("%s %d+400", first.Name, segment.HeaderSize+80)}},
			"beyond the segment": {first.Base + 80, last.End, []string{fmt.Sprintf("%s %d+%d", first.Name, segment.HeaderSize+80, first.End-first.Base-80)}},
			"below the log":      {1, first.End, nil},
			"above the log":      {last.End, last.End + 4096, nil},
		} {
			fs.asked = nil
			if l.Prefetch(c.from, c.to); !slices.Equal(fs.asked, c.want) {
				t.Errorf("trust %v, %s: asked for %q, want %q", trust, name, fs.asked, c.want)
			}
		}
		fs.asked = nil
		if trust {
			remove(t, fs, infos[1].Name)
			if l.Prefetch(infos[1].Base, infos[1].End); fs.asked != nil {
				t.Errorf("asked for %q of a file that is missing", fs.asked)
			}
		}
		mustClose(t, l)
		if l.Prefetch(first.Base, first.End); fs.asked != nil {
			t.Errorf("asked for %q of a closed log", fs.asked)
		}
	}
}
