package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/restart"
)

// images returns the store's images, the oldest first.
func images(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "gen-*", "checkpoint", "*.img"))
	if err != nil || len(names) == 0 {
		t.Fatalf("images %v, %v", names, err)
	}
	return names
}

// change opens the store, changes it, and closes it.
func change(t *testing.T, dir string, f func(st *restart.Store, ships *restart.Region)) {
	t.Helper()
	st := openStore(t, dir)
	ships, err := st.Region("ships", restart.RegionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f(st, ships)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

// kill returns a copy of the store as it is while a change is under way.
func kill(t *testing.T, dir string, f func(st *restart.Store, ships *restart.Region)) string {
	t.Helper()
	killed := filepath.Join(t.TempDir(), "killed")
	change(t, dir, func(st *restart.Store, ships *restart.Region) {
		f(st, ships)
		if err := errors.Join(st.Sync(), os.CopyFS(killed, os.DirFS(dir))); err != nil {
			t.Fatal(err)
		}
	})
	return killed
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

// TestPrediction: what stat predicts is what the next open does, whatever
// happened to the images.
func TestPrediction(t *testing.T) {
	more := func(_ *restart.Store, ships *restart.Region) { put(t, ships, "more", "and more") }
	tests := []struct {
		name   string
		rung   restart.Rung
		reason string
		exact  bool // the regions' numbers of entries are those of the store
		make   func(t *testing.T) string
	}{
		{"clean", restart.RungCleanImage, "", true, newStore},
		{"opened and closed", restart.RungCleanImage, "", true, func(t *testing.T) string {
			dir := newStore(t)
			change(t, dir, func(*restart.Store, *restart.Region) {})
			return dir
		}},
		{"killed", restart.RungImageTail, "", false, func(t *testing.T) string { return kill(t, newStore(t), more) }},
		{"newest image cut", restart.RungOlderImage, "damaged image", false, func(t *testing.T) string {
			dir := newStore(t)
			change(t, dir, more)
			names := images(t, dir)
			if err := os.Truncate(names[len(names)-1], 5000); err != nil {
				t.Fatal(err)
			}
			return dir
		}},
		{"newest image lost", restart.RungImageTail, "", false, func(t *testing.T) string {
			dir := newStore(t)
			change(t, dir, more)
			names := images(t, dir)
			remove(t, names[len(names)-1])
			return dir
		}},
		{"all images lost", restart.RungFullScan, "the store has no image", true, func(t *testing.T) string {
			dir := newStore(t)
			for _, name := range images(t, dir) {
				remove(t, name)
			}
			return dir
		}},
		{"image of another store", restart.RungOlderImage, "of another store", true, func(t *testing.T) string {
			dir := newStore(t)
			b, err := os.ReadFile(images(t, newStore(t))[0])
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(filepath.Dir(images(t, dir)[0]), "ffffffffffff0000-00000001.img")
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return dir
		}},
		{"image that knows more than the log", restart.RungFullScan, "it reaches to LSN", true, func(t *testing.T) string {
			dir := newStore(t)
			older := filepath.Join(t.TempDir(), "older")
			if err := os.CopyFS(older, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			remove(t, images(t, older)[0])
			change(t, dir, more)
			names := images(t, dir)
			newest := names[len(names)-1]
			b, err := os.ReadFile(newest)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(older, strings.TrimPrefix(newest, dir)), b, 0o600); err != nil {
				t.Fatal(err)
			}
			return older
		}},
		{"all of it left the log", restart.RungFullScan, "all of it left the log", true, func(t *testing.T) string {
			dir := newStore(t)
			return kill(t, dir, func(st *restart.Store, ships *restart.Region) {
				for range 20 { // records of a full segment, then all that is live moves on
					put(t, ships, "large", strings.Repeat("x", 60<<10))
				}
				for range 3 {
					if err := st.Compact(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			})
		}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			dir := c.make(t)
			before := tree(t, dir)
			var s struct {
				Restart  prediction
				Regions  []regionStat
				Recovery *restart.RecoveryReport
			}
			r := call("stat", "--json", dir)
			if err := json.Unmarshal([]byte(r.out), &s); err != nil || r.status != 0 {
				t.Fatalf("%+v, %v", r, err)
			}
			st, err := restart.Open(dir, restart.Options{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			rep := st.Recovery()
			p := s.Restart
			if p.Rung != rep.Rung || p.Image != rep.Image || p.Reason != rep.Reason || p.Replay != rep.Bytes {
				t.Errorf("predicted %+v, open: %+v", p, rep)
			}
			if p.Rung != c.rung || !strings.Contains(p.Reason, c.reason) || p.PredictedMS <= p.OpenedMS || p.OpenedMS <= 0 {
				t.Errorf("predicted %+v", p)
			}
			if (s.Recovery != nil) != (p.Image == "") {
				t.Errorf("opened: %+v", s.Recovery)
			}
			compareRegions(t, st, s.Regions, c.exact)
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			if tree(t, dir) != before {
				t.Error("looking changed the store")
			}
			if r := call("stat", dir); r.status != 0 || !strings.Contains(r.out, "next restart: "+string(c.rung)) || strings.Contains(r.out, " in the image") == c.exact {
				t.Errorf("%+v", r)
			}
		})
	}
}

// compareRegions compares the regions listed with those of the open store,
// and the numbers of entries where they are said to be exact.
func compareRegions(t *testing.T, st *restart.Store, list []regionStat, exact bool) {
	t.Helper()
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
		r, err := st.Region(s.Name, restart.RegionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		o := r.Options()
		if s.Exact != exact || exact && s.Entries != int64(r.Len()) ||
			s.Ordered != o.Ordered || s.Durability != o.Durability.String() || s.Strategy != o.Strategy.String() {
			t.Errorf("region %+v, in the store %d entries, %+v", s, r.Len(), o)
		}
	}
	if !slices.Equal(names, st.Regions()) {
		t.Errorf("regions %q, in the store %q", names, st.Regions())
	}
}

// TestDamagedImage: verify finds it and says that it costs time only; nothing
// else minds.
func TestDamagedImage(t *testing.T) {
	dir := newStore(t)
	name := images(t, dir)[0]
	vars := strings.NewReplacer("$S", dir)
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	parts, fits := int64(4096), "fits, damaged in 1 places"
	for off, what := range map[int64]string{100: "header checksum", int64(len(good) - 1): "meta checksum", parts + 30: "checksum of the part"} {
		state := "does not fit: index: damaged image: " + what
		if off == parts+30 {
			state = fits
		}
		overwrite(t, name, off, []byte{good[off] ^ 1})
		for _, s := range []script{
			{"verify $S", 1, `.*image ` + filepath.Base(name) + ` .*` + state + `\nDAMAGE ` + name + ` offset \d+ .*` + what + `.*; costs time only: .*`, "only in images of the index: nothing is lost"},
			{"verify --json $S", 1, `{.*"damage":\[{"file":"[^"]*\.img","offset":\d+,"reason":".*` + what + `.*","time_only":true}\]}\n`, "damaged"},
			{"stat $S", 0, `.*next restart: .*region ships .*`, ""},
			{"get $S ships ship-4", 0, "moved", ""},
		} {
			s.run(t, vars)
		}
		overwrite(t, name, off, []byte{good[off]})
	}
	script{"verify $S", 0, `.*  fits\nok\n`, ""}.run(t, vars)
}

// TestLaterImage: an image of a later version is no damage, and a store that
// has one is not for this program.
func TestLaterImage(t *testing.T) {
	dir := newStore(t)
	name := images(t, dir)[0]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[8] = 2
	overwrite(t, name, 8, []byte{2})
	overwrite(t, name, 4088, binary.LittleEndian.AppendUint64(nil, xxhash.Sum64(b[:4088])))
	vars := strings.NewReplacer("$S", dir)
	for _, s := range []script{
		{"verify $S", 2, "", "unsupported image version: 2"},
		{"stat $S", 0, `.*image .* does not fit: index: unsupported image version: 2.*`, ""},
		{"get $S ships tug", 2, "", "unsupported"},
	} {
		s.run(t, vars)
	}
}

// TestLostTail: the log ends before what the image says was durable.
func TestLostTail(t *testing.T) {
	dir := kill(t, newStore(t), func(st *restart.Store, ships *restart.Region) {
		put(t, ships, "one more", strings.Repeat("x", 9000))
		if err := st.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	names, err := filepath.Glob(filepath.Join(dir, "gen-*", "log", "*-00000002.seg"))
	if err != nil || len(names) != 1 {
		t.Fatalf("segments %v, %v", names, err)
	}
	overwrite(t, names[0], 4096+4000, make([]byte, 6000))
	if _, err := restart.Open(dir, restart.Options{ReadOnly: true}); !errors.Is(err, restart.ErrCorrupt) {
		t.Fatalf("open: %v", err)
	}
	for _, args := range everyVerb(dir) {
		if r := call(args...); r.status != 1 {
			t.Errorf("%q: %+v", args, r)
		}
	}
}
