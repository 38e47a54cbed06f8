package restart_test

import (
	"path/filepath"
	"testing"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// TestCurrentMissing: a store that lost its CURRENT file is damaged for whoever
// opens it, and not a new one, nor one whose creation was interrupted.
func TestCurrentMissing(t *testing.T) {
	fs := memfs.New()
	st := open(t, fs, small(fs))
	put(t, region(t, st, "r"), "k", "v")
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	remove(t, fs, filepath.Join(dir, "CURRENT"))
	for name, change := range map[string]func(*restart.Options){
		"opened":            func(*restart.Options) {},
		"that must exist":   func(o *restart.Options) { o.MustExist = true },
		"opened to be read": func(o *restart.Options) { o.ReadOnly = true },
	} {
		t.Run(name, func(t *testing.T) {
			o := small(nil)
			change(&o)
			if c := wantRefused(t, fs.KillClone(), o); filepath.Base(c.File) != "CURRENT" {
				t.Errorf("refused for %v", c)
			}
		})
	}
}

// TestCreationInterruptedAfterMark: the process that created the store died
// before CURRENT was there. Its log says how far it is durable, and no more; so
// the next process finishes the creation.
func TestCreationInterruptedAfterMark(t *testing.T) {
	fs := memfs.New()
	l, err := wal.Open(filepath.Join(dir, "gen-000001", "log"), wal.Options{FS: fs, SegmentSize: wal.MinSegmentSize})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l.End() == l.First() {
		t.Fatal("the log has no mark")
	}
	st := open(t, fs, small(fs))
	put(t, region(t, st, "r"), "k", "v")
	wantValue(t, region(t, st, "r"), "k", "v")
}
