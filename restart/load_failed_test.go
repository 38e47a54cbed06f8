package restart_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// TestDamageThatOpenDoesNotSee: a clean store opens without a look at its older
// segments. What is wrong with one is told soon after, with its name, to who
// reads it, and to who has everything loaded within Open; the rest can be used.
func TestDamageThatOpenDoesNotSee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := small(fs)
		o.Compaction = restart.NoCompaction
		st := open(t, fs, o)
		r := region(t, st, "r")
		for i := range 40 {
			put(t, r, fmt.Sprint("key-", i), strings.Repeat("v", 8000))
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		files := segmentFiles(t, fs)
		if len(files) < 4 {
			t.Fatalf("%d segments", len(files))
		}
		first := files[0]
		frame := dataFrames(t, fs, first)[1] // of key-0, behind the region's creation
		for what, damage := range map[string]func(fs *memfs.FS){
			"header":  func(fs *memfs.FS) { flip(t, fs, first, 100, 1) },
			"payload": func(fs *memfs.FS) { flip(t, fs, first, frame.off+segment.FrameHeaderSize+500, 1) },
			"cut":     func(fs *memfs.FS) { cut(t, fs, first, frame.off) },
		} {
			damaged := fs.KillClone()
			damage(damaged)
			before := damaged.Fingerprint()
			var told []error
			o := o
			o.FS, o.ReadOnly = damaged, true
			o.Events.LoadFailed = func(err error) { told = append(told, err) }
			o.Load = restart.Eager
			if _, err := restart.Open(dir, o); !errors.Is(err, segment.ErrCorrupt) {
				t.Errorf("%s: eager open: %v", what, err)
			}
			if o.Load = restart.Lazy; what == "header" { // seen without any value being read
				o.Load = restart.KeysOnly
			}
			st, err := restart.Open(dir, o)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			r := region(t, st, "r")
			if len(told) != 0 {
				t.Errorf("%s: told within Open: %v", what, told)
			}
			if _, err := r.Get([]byte("key-0")); !errors.Is(err, segment.ErrCorrupt) || !strings.Contains(err.Error(), filepath.Base(first)) {
				t.Errorf("%s: get: %v", what, err)
			}
			if d := st.Recovery().FirstRead; d != 0 {
				t.Errorf("%s: a read that failed counts as the first, after %v", what, d)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			wantValue(t, r, "key-39", strings.Repeat("v", 8000))
			if st.Recovery().FirstRead == 0 {
				t.Errorf("%s: no first read", what)
			}
			if len(told) != 1 || !errors.Is(told[0], segment.ErrCorrupt) || !strings.Contains(told[0].Error(), filepath.Base(first)) {
				t.Errorf("%s: told %v", what, told)
			}
			if rep := st.Recovery(); rep.LoadFailed == "" || !strings.Contains(rep.String(), rep.LoadFailed) || rep.Loaded != 0 && what != "header" {
				t.Errorf("%s: report %+v", what, rep)
			}
			if err := st.Close(); err != nil {
				t.Error(err)
			}
			if damaged.Fingerprint() != before {
				t.Errorf("%s: files were changed", what)
			}
		}
	})
}

// TestCloseIsNoFailure: a store is closed while it loads. Nothing has failed.
func TestCloseIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		st := open(t, fs, small(fs))
		for n := range 10 {
			r := region(t, st, fmt.Sprint("region-", n))
			for i := range 200 {
				put(t, r, fmt.Sprint("key-", i), "value")
			}
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		for after := range 12 { // parts
			e := errfs.Wrap(fs.KillClone())
			e.Inject(errfs.Rule{Kinds: errfs.Read, Name: "*.img", Times: errfs.Forever, Before: func(errfs.Op) {
				time.Sleep(time.Millisecond)
			}})
			o := small(e)
			o.Events.LoadFailed = func(err error) { t.Errorf("closed %d ms after the loading began: %v", after, err) }
			st, err := restart.Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(20*time.Millisecond + time.Duration(after)*time.Millisecond)
			if err := st.Close(); err != nil {
				t.Error(err)
			}
			if why := st.Recovery().LoadFailed; why != "" {
				t.Error(why)
			}
		}
	})
}
