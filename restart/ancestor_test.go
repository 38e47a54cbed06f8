package restart_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// The ways in which the Java ancestor of this store loses data silently, each
// found by altering the files of a store whose process was killed, and opening
// it again. Here each is refused, with a place and nothing touched, or nothing
// is lost. Rows that have no counterpart here (a transaction over several
// records, a hint table) are tried with what comes nearest: a batch.

// killed is a store that was killed: everything in want was acknowledged as
// durable, in several segments, with no image.
type killed struct {
	fs   *memfs.FS
	want contents
}

// killStore makes such a store. Values of 1 KiB fill segments of 64 KiB. In the
// bubble no time passes between the last put and the kill, so nothing in the
// log speaks of that put yet.
func killStore(t *testing.T, entries int) killed {
	t.Helper()
	k := killed{want: contents{"map": {}}}
	synctest.Test(t, func(t *testing.T) {
		fsys := memfs.New()
		o := small(fsys)
		o.Durability, o.Compaction = restart.Sync, restart.NoCompaction
		st := open(t, fsys, o)
		r := region(t, st, "map")
		for i := range entries {
			key, value := fmt.Sprintf("key-%04d", i), strings.Repeat(fmt.Sprintf("%04d.", i), 200)
			put(t, r, key, value)
			k.want["map"][key] = value
		}
		k.fs = fsys.KillClone()
	})
	return k
}

func (k killed) clone() *memfs.FS { return k.fs.KillClone() }

func (k killed) newest(t *testing.T) string {
	files := segmentFiles(t, k.fs)
	return files[len(files)-1]
}

func TestAncestorNothingAltered(t *testing.T) {
	k := killStore(t, 200)
	if n := len(segmentFiles(t, k.fs)); n < 3 {
		t.Fatalf("%d segments, the tests want at least 3", n)
	}
	rep := wantContents(t, k.fs, small(k.fs), k.want)
	if rep.TornBytes != 0 {
		t.Errorf("%d bytes cut from a log that was synced: %v", rep.TornBytes, rep)
	}
}

// (1) It opened with the first half of the file, and wrote over the rest.
func TestAncestorFrameHeaderFlippedInTailFile(t *testing.T) {
	k := killStore(t, 200)
	name := k.newest(t)
	frames := dataFrames(t, k.fs, name)
	if len(frames) < 10 {
		t.Fatalf("only %d frames in the newest segment", len(frames))
	}
	for _, n := range []int{0, 1, len(frames) / 2, len(frames) - 2} {
		for _, at := range []int64{0, 4, 8, 12, 16, 24} { // checksum, kind, lengths, mark, hash
			fsys := k.clone()
			flip(t, fsys, name, frames[n].off+at, 0x40)
			c := wantRefused(t, fsys, small(fsys))
			if c.File != name || c.Offset != frames[n].off || c.LSN != frames[n].lsn || c.Last <= c.LSN {
				t.Errorf("frame %d: %v, want %s at %d, LSN %d", n, c, name, frames[n].off, frames[n].lsn)
			}
		}
	}
}

// (2) It opened empty and deleted the file.
func TestAncestorFirstFrameOfOnlyFile(t *testing.T) {
	k := killStore(t, 20)
	files := segmentFiles(t, k.fs)
	if len(files) != 1 {
		t.Fatalf("%d segments, want 1", len(files))
	}
	flip(t, k.fs, files[0], framesOf(t, k.fs, files[0])[0].off+4, 1)
	c := wantRefused(t, k.fs, small(k.fs))
	if c.Offset != segment.HeaderSize || c.LSN != segment.FirstLSN {
		t.Errorf("%v, want offset %d, LSN %d", c, segment.HeaderSize, segment.FirstLSN)
	}
}

// (3) It opened with the entries above the changed value.
func TestAncestorLowWaterRaised(t *testing.T) {
	k := killStore(t, 200)
	const lowWaterAt = 80 // in the header of a segment
	for _, name := range segmentFiles(t, k.fs) {
		for i := range int64(8) {
			fsys := k.clone()
			flip(t, fsys, name, lowWaterAt+i, 0x08)
			if c := wantRefused(t, fsys, small(fsys)); c.File != name {
				t.Errorf("low-water byte %d of %s: %v", i, name, c)
			}
		}
	}
}

// (4) It opened without the file and said nothing.
func TestAncestorLastFileLost(t *testing.T) {
	k := killStore(t, 200)
	name := k.newest(t)
	for what, lose := range map[string]func(fsys *memfs.FS){
		"missing":                   func(fsys *memfs.FS) { remove(t, fsys, name) },
		"empty":                     func(fsys *memfs.FS) { cut(t, fsys, name, 0) },
		"cut inside its header":     func(fsys *memfs.FS) { cut(t, fsys, name, 100) },
		"cut behind its header":     func(fsys *memfs.FS) { cut(t, fsys, name, segment.HeaderSize) },
		"cut inside its last frame": func(fsys *memfs.FS) { f := framesOf(t, fsys, name); cut(t, fsys, name, f[len(f)-1].end-9) },
		"header zeroed":             func(fsys *memfs.FS) { blank(t, fsys, name, 0, segment.HeaderSize) },
		"all zeros": func(fsys *memfs.FS) {
			edit(t, fsys, name, func(f vfs.File) error {
				size, err := f.Size()
				if err == nil {
					_, err = f.WriteAt(make([]byte, size), 0)
				}
				return err
			})
		},
	} {
		t.Run(what, func(t *testing.T) {
			fsys := k.clone()
			lose(fsys)
			if c := wantRefused(t, fsys, small(fsys)); c.File != name {
				t.Errorf("%v, want it to name %s", c, name)
			}
		})
	}
}

// (5) It opened with a hole. Here that is seen without reading the file.
func TestAncestorMiddleFile(t *testing.T) {
	k := killStore(t, 200)
	files := segmentFiles(t, k.fs)
	middle := files[len(files)/2]
	frames := framesOf(t, k.fs, middle)
	half := frames[len(frames)/2].off
	type refused = func(*testing.T, *memfs.FS, restart.Options) *segment.CorruptionError
	for _, c := range []struct {
		what string
		lose func(fsys *memfs.FS)
		want refused
	}{
		{"truncated in a frame", func(fsys *memfs.FS) { cut(t, fsys, middle, half+17) }, wantRefused},
		{"truncated between two", func(fsys *memfs.FS) { cut(t, fsys, middle, half) }, wantRefused},
		{"truncated to its header", func(fsys *memfs.FS) { cut(t, fsys, middle, segment.HeaderSize) }, wantRefused},
		{"empty", func(fsys *memfs.FS) { cut(t, fsys, middle, 0) }, wantRefused},
		{"missing", func(fsys *memfs.FS) { remove(t, fsys, middle) }, wantRefused},
		{"payload flipped", func(fsys *memfs.FS) { flip(t, fsys, middle, half+40, 1) }, wantRefused},
		{"page of zeros", func(fsys *memfs.FS) { blank(t, fsys, middle, 8192, 12288) }, wantRefused},
	} {
		t.Run(c.what, func(t *testing.T) {
			fsys := k.clone()
			c.lose(fsys)
			if err := c.want(t, fsys, small(fsys)); err.File != middle {
				t.Errorf("%v, want it to name %s", err, middle)
			}
		})
	}
}

// It failed here too, "files may be missing"; ours says which.
func TestAncestorFirstFile(t *testing.T) {
	k := killStore(t, 200)
	first := segmentFiles(t, k.fs)[0]
	for what, lose := range map[string]func(fsys *memfs.FS){
		"missing": func(fsys *memfs.FS) { remove(t, fsys, first) },
		"empty":   func(fsys *memfs.FS) { cut(t, fsys, first, 0) },
		"renamed": func(fsys *memfs.FS) {
			if err := fsys.Rename(first, strings.Replace(first, "00000001.seg", "00000002.seg", 1)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			fsys := k.clone()
			lose(fsys)
			wantRefused(t, fsys, small(fsys))
		})
	}
}

// A payload byte of the last group, or a page of zeros there, is what a power
// failure leaves: the ancestor would not open any more, ever. Here the last
// group, which no later frame speaks of, is cut, kept and reported.
func TestAncestorLastGroupTorn(t *testing.T) {
	k := killStore(t, 200)
	name := k.newest(t)
	frames := dataFrames(t, k.fs, name)
	last := frames[len(frames)-1]
	want := k.want.Clone()
	delete(want["map"], "key-0199")
	for what, tear := range map[string]func(fsys *memfs.FS){
		"payload flipped": func(fsys *memfs.FS) { flip(t, fsys, name, last.off+100, 1) },
		"header flipped":  func(fsys *memfs.FS) { flip(t, fsys, name, last.off+4, 1) },
		"end zeroed":      func(fsys *memfs.FS) { blank(t, fsys, name, last.off+64, last.end) },
	} {
		t.Run(what, func(t *testing.T) {
			fsys := k.clone()
			tear(fsys)
			kept := string(readAll(t, fsys, name)[last.off : last.off+64])
			rep := wantContents(t, fsys, small(fsys), want)
			if rep.TornBytes == 0 || rep.TornFile == "" || rep.End != last.lsn {
				t.Fatalf("report %v: end %d, want it to say what was cut at %d", rep, rep.End, last.lsn)
			}
			torn := filesLike(t, fsys, "*.torn")
			if len(torn) != 1 || string(readAll(t, fsys, torn[0])[:64]) != kept {
				t.Errorf("the bytes that were cut are not in %v", torn)
			}
			wantContents(t, fsys, small(fsys), want)
		})
	}
}

// (6) An uncommitted removal of a map was applied; (7) uncommitted puts came
// back with the compactor. What is uncommitted here is a record that is not
// whole: a torn clear, drop or batch does nothing, then or later.
func TestAncestorTornRecordIsNotApplied(t *testing.T) {
	for what, write := range map[string]func(st *restart.Store, r *restart.Region) error{
		"clear": func(_ *restart.Store, r *restart.Region) error { return r.Clear() },
		"drop":  func(st *restart.Store, r *restart.Region) error { return st.DropRegion(r.Name()) },
		"batch": func(st *restart.Store, r *restart.Region) error {
			b := st.NewBatch()
			for i := range 50 {
				b.Delete(r, fmt.Appendf(nil, "key-%04d", i))
				b.Put(r, fmt.Appendf(nil, "new-%04d", i), []byte("uncommitted"))
			}
			_, err := st.Apply(b)
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			k := killStore(t, 100)
			o := small(k.fs)
			o.Durability = restart.Sync
			st := open(t, k.fs, o)
			put(t, region(t, st, "map"), "last", "good")
			k.want["map"]["last"] = "good"
			if err := write(st, region(t, st, "map")); err != nil {
				t.Fatal(err)
			}
			after := k.fs.KillClone()
			files := segmentFiles(t, after)
			name := files[len(files)-1]
			frames := dataFrames(t, after, name)
			last := frames[len(frames)-1]
			for at := last.off; at < last.end; at += 8 + (at-last.off)/8&^7 {
				fsys := after.KillClone()
				blank(t, fsys, name, at, last.end)
				st := open(t, fsys, small(fsys))
				if err := st.Compact(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := st.Close(); err != nil {
					t.Fatal(err)
				}
				rep := wantContents(t, fsys, small(fsys), k.want)
				if t.Failed() {
					t.Fatalf("cut at byte %d of the record: %v", at-last.off, rep)
				}
			}
		})
	}
}

// fillDisk puts values until the disk is full, and returns what was
// acknowledged and the key that was not.
func fillDisk(t *testing.T, r *restart.Region) (want map[string]string, failed string) {
	t.Helper()
	want = make(map[string]string)
	for i := range 10_000 {
		k, v := fmt.Sprintf("key-%05d", i), strings.Repeat("v", 1000)
		switch err := r.Put([]byte(k), []byte(v)); {
		case err == nil:
			want[k] = v
		case errors.Is(err, restart.ErrFull) && errors.Is(err, syscall.ENOSPC) && !errors.Is(err, restart.ErrInDoubt):
			return want, k
		default:
			t.Fatalf("put on a full disk: %v, want ErrFull", err)
		}
	}
	t.Fatal("the disk never got full")
	return nil, ""
}

// (8) Acknowledged puts were in memory and never in the log. (9) A failed put
// stayed visible. In both modes: what was acknowledged survives a power
// failure after a sync, what failed was never there, and the store goes on by
// itself when there is room.
func TestAncestorDiskFull(t *testing.T) {
	for _, d := range []restart.Durability{restart.Batched, restart.Sync} {
		t.Run(d.String(), func(t *testing.T) {
			fsys := memfs.New()
			o := small(fsys)
			o.Durability = d
			st := open(t, fsys, o)
			r := region(t, st, "map")
			fsys.SetCapacity(1 << 20)
			acked, failed := fillDisk(t, r)
			want := contents{"map": acked}
			wantValue(t, r, failed, "-")
			if d == restart.Batched {
				if err := st.Sync(); err != nil {
					t.Fatalf("sync on a full disk: %v", err)
				}
			}
			crashed := fsys.CrashClone(memfs.Nothing())
			wantContents(t, crashed, small(crashed), want) // opens while the disk is full
			reads, err := read(st)
			if err != nil || diff(reads, want) != "" {
				t.Errorf("reads while the disk is full: %v %s", err, diff(reads, want))
			}

			fsys.SetCapacity(0)
			if err := r.Put([]byte(failed), []byte("now")); err != nil {
				t.Fatalf("put after room was made: %v", err)
			}
			acked[failed] = "now"
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			wantContents(t, fsys, small(fsys), want)
		})
	}
}

// (10) What was put on an idle store was synced after up to 300 s.
func TestAncestorIdleStoreIsSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := memfs.New()
		st := open(t, fsys, small(fsys))
		r := region(t, st, "map")
		time.Sleep(time.Hour) // idle before
		want := contents{"map": {}}
		for i := range 3 {
			k := fmt.Sprint("key-", i)
			lsn, err := r.PutWith([]byte(k), []byte("v"), restart.WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if st.DurableLSN() > lsn {
				t.Errorf("put %d was synced at once: the test shows nothing", i)
			}
			time.Sleep(2 * time.Second) // MaxDelay; idle since
			if st.DurableLSN() <= lsn {
				t.Errorf("put %d is not durable after 2 s: LSN %d, durable to %d", i, lsn, st.DurableLSN())
			}
			want["map"][k] = "v"
			crashed := fsys.CrashClone(memfs.Nothing())
			wantContents(t, crashed, small(crashed), want)
		}
	})
}
