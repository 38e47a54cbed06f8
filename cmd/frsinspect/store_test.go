package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/restart"
)

// everyVerb is a valid call of each verb on a directory.
func everyVerb(dir string) [][]string {
	return [][]string{{"stat", dir}, {"stat", "--quick", dir}, {"stat", "--exact", dir}, {"verify", dir}, {"dump", dir}, {"get", dir, "ships", "tug"}, {"keys", dir, "ships"}}
}

// TestNoStore: what is no store cannot be looked at, and stays as it is.
func TestNoStore(t *testing.T) {
	empty, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("not a directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{empty, filepath.Join(empty, "missing"), file, ""} {
		for _, args := range everyVerb(dir) {
			for _, args := range [][]string{args, append(args, "--json")} {
				r := call(args...)
				if r.status != 2 || r.err == "" {
					t.Errorf("%q: %+v", args, r)
				}
				if json := strings.HasPrefix(r.out, `{"error":`); json != (args[len(args)-1] == "--json") {
					t.Errorf("%q printed %q", args, r.out)
				}
			}
		}
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestInUse(t *testing.T) {
	dir := newStore(t)
	st := openStore(t, dir)
	for _, args := range everyVerb(dir) {
		if r := call(args...); r.status != 2 || !strings.Contains(r.err, "in use") || !strings.Contains(r.err, fmt.Sprint(os.Getpid())) {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	reader, err := restart.Open(dir, restart.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range everyVerb(dir) {
		if r := call(args...); r.status != 0 {
			t.Errorf("beside a reader, %q: %+v", args, r)
		}
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
}

// segmentFile returns the store's only segment file.
func segmentFile(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "gen-*", "log", "*.seg"))
	if err != nil || len(names) != 1 {
		t.Fatalf("segments %v, %v", names, err)
	}
	return names[0]
}

func overwrite(t *testing.T, name string, off int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, off)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDamage: flipped bits in a record of a store that was closed. What does
// not read the record does not find it; verify reads everything.
func TestDamage(t *testing.T) {
	dir := newStore(t)
	name := segmentFile(t, dir)
	overwrite(t, name, recordAt(t, dir, "tug")+33, []byte{0xff, 0xff})
	before := tree(t, dir)
	vars := strings.NewReplacer("$S", dir)
	bad := regexp.QuoteMeta(name) + ` offset 4\d\d\d LSN 4\d\d\d to \d+ `
	for _, s := range []script{
		{"verify $S", 1, `.*DAMAGE ` + bad + `.*`, "the store is damaged: 1 places\n"},
		{"verify --json $S", 1, `{.*"damage":\[{"file":"[^"]*\.seg","offset":4\d\d\d,[^]}]*}\]}\n`, "damaged"},
		{"dump $S", 1, `.*DAMAGE ` + bad + `.*`, "damaged"},
		{"dump --json $S", 1, `.*{"damage":{"file":.*`, "damaged"},
		{"get $S ships tug", 1, "", `corrupt.*\.seg`},
		{"get --json $S ships tug", 1, `{"error":".*","status":1,"damage":{"file":.*}}\n`, "corrupt"},
		{"get $S ships ship-1", 0, "at 1", ""},
		{"stat $S", 0, `.*region ships .*`, ""},
	} {
		s.run(t, vars)
	}
	if tree(t, dir) != before {
		t.Error("looking changed the store")
	}
}

// recordAt returns where in the store's only segment file the record of a key
// of region ships is.
func recordAt(t *testing.T, dir, key string) int64 {
	t.Helper()
	var e struct{ LSN int64 }
	if r := call("get", "--json", dir, "ships", key); r.status != 0 || json.Unmarshal([]byte(r.out), &e) != nil {
		t.Fatalf("%+v", r)
	}
	return e.LSN // the first is 4096, and so is the header's size
}

// TestRefused: damage that keeps the store from opening.
func TestRefused(t *testing.T) {
	dir := newStore(t)
	name := segmentFile(t, dir)
	overwrite(t, name, 200, []byte{0xff})
	before := tree(t, dir)
	for _, args := range everyVerb(dir) {
		r := call(args...)
		if r.status != 1 || r.err == "" {
			t.Errorf("%q: %+v", args, r)
		}
		switch args[0] {
		case "stat", "verify", "dump":
			if !strings.Contains(r.out, "DAMAGE "+name+" offset ") {
				t.Errorf("%q does not say where: %s", args, r.out)
			}
		default:
			if !strings.Contains(r.err, name) {
				t.Errorf("%q does not say where: %s", args, r.err)
			}
		}
	}
	vars := strings.NewReplacer("$S", dir)
	for _, s := range []script{
		{"verify --json $S", 1, `{.*"refused":{"file":.*"damage":\[{"file":"[^"]*\.seg","offset":0,.*\]}\n`, "damaged"},
		{"stat --json $S", 1, `{.*"refused":{"file":.*}\n`, "damaged"},
		{"stat --exact $S", 1, `.*image [^\n]* does not fit: the log does not open\n.*DAMAGE .*`, "damaged"},
	} {
		s.run(t, vars)
	}
	if tree(t, dir) != before {
		t.Error("looking changed the store")
	}
}

// TestMissingFiles: the store's own files.
func TestMissingFiles(t *testing.T) {
	for name, want := range map[string]int{"LOCK": 2, "CURRENT": 1, "gen-*/log/*.seg": 1} {
		dir := newStore(t)
		files, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v, %v", name, files, err)
		}
		if err := os.Remove(files[0]); err != nil {
			t.Fatal(err)
		}
		for _, args := range everyVerb(dir) {
			if r := call(args...); r.status != want || r.err == "" {
				t.Errorf("%q without %s: %+v, want status %d", args, name, r, want)
			}
		}
	}
}

// TestDamagedCurrent: damage, but a later version of it is not.
func TestDamagedCurrent(t *testing.T) {
	for name, c := range map[string]struct {
		offset int64
		reseal bool
		want   int
	}{
		"generation":           {12, false, 1},
		"version":              {8, false, 1},
		"version of later use": {8, true, 2},
	} {
		dir := newStore(t)
		file := filepath.Join(dir, "CURRENT")
		overwrite(t, file, c.offset, []byte{77})
		if c.reseal {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sum := len(b) - 8
			overwrite(t, file, int64(sum), binary.LittleEndian.AppendUint64(nil, xxhash.Sum64(b[:sum])))
		}
		for _, args := range everyVerb(dir) {
			if r := call(args...); r.status != c.want || r.err == "" {
				t.Errorf("%q, %s of CURRENT changed: %+v, want status %d", args, name, r, c.want)
			}
		}
	}
}

// TestTorn: half a record behind the last sync of a store that was killed is
// shown and is fine.
func TestTorn(t *testing.T) {
	dir := newStore(t)
	st := openStore(t, dir)
	ships, err := st.Region("ships", restart.RegionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	lsn, err := ships.PutWith([]byte("last"), []byte("v"), restart.WriteOptions{Durability: restart.Sync})
	if err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(t.TempDir(), "killed")
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	newest, err := filepath.Glob(filepath.Join(killed, "gen-*", "log", fmt.Sprintf("*-%08x.seg", 2)))
	if err != nil || len(newest) != 1 {
		t.Fatalf("segments %v, %v", newest, err)
	}
	base, err := baseOf(newest[0])
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, newest[0], 4096+int64(lsn)-base+200, bytes.Repeat([]byte{0xee}, 100))
	before := tree(t, killed)
	for _, verb := range []string{"stat", "verify"} {
		if r := call(verb, killed); r.status != 0 || !strings.Contains(r.out, "torn tail: ") {
			t.Errorf("%s: %+v", verb, r)
		}
	}
	if r := call("get", killed, "ships", "last"); r.status != 0 || r.out != "v" {
		t.Errorf("get: %+v", r)
	}
	if tree(t, killed) != before {
		t.Error("looking changed the store")
	}
}

func baseOf(name string) (base int64, err error) {
	_, err = fmt.Sscanf(filepath.Base(name), "%016x-", &base)
	return base, err
}

// TestLogAlone: the directory of a log without a store.
func TestLogAlone(t *testing.T) {
	log := filepath.Dir(segmentFile(t, newStore(t)))
	for _, args := range everyVerb(log)[:5] {
		if r := call(args...); r.status != 0 || r.out == "" {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if r := call("get", log, "ships", "tug"); r.status != 2 {
		t.Errorf("get: %+v", r)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := newStore(t)
	for _, args := range [][]string{{"verify", dir}, {"dump", dir}, {"keys", dir, "ships"}} {
		var msg bytes.Buffer
		if status := run(ctx, args, streams{out: io.Discard, err: &msg}); status != 2 || !strings.Contains(msg.String(), "interrupted") {
			t.Errorf("%q: status %d, %s", args, status, &msg)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// TestOutputFails: a result that could not be written is no success.
func TestOutputFails(t *testing.T) {
	dir := newStore(t)
	for _, args := range everyVerb(dir) {
		var msg bytes.Buffer
		if status := run(context.Background(), args, streams{out: fullDisk{}, err: &msg}); status != 2 || !strings.Contains(msg.String(), "no space left") {
			t.Errorf("%q: status %d, %s", args, status, &msg)
		}
	}
}

// TestJSONLines: everything printed with --json is JSON, a value a line.
func TestJSONLines(t *testing.T) {
	dir := newStore(t)
	for _, args := range everyVerb(dir) {
		r := call(append(args, "--json")...)
		lines := strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
		for _, line := range lines {
			var v map[string]any
			if err := json.Unmarshal([]byte(line), &v); err != nil || len(v) == 0 {
				t.Errorf("%q: %v in %s", args, err, line)
			}
		}
		if many := args[0] == "dump" || args[0] == "keys"; many != (len(lines) > 1) {
			t.Errorf("%q printed %d lines", args, len(lines))
		}
	}
}

func TestBar(t *testing.T) {
	if got, want := drawBar(512<<20, 1<<30, 2*time.Second), "[###############...............]  50 %  512.0 MiB  256.0 MiB/s"; got != want {
		t.Errorf("bar %q, want %q", got, want)
	}
	if got := drawBar(0, 0, 0); !strings.Contains(got, "100 %") {
		t.Errorf("bar of nothing: %q", got)
	}
	var out bytes.Buffer
	b := bar{w: &out, what: "verify", start: time.Now().Add(-time.Second)}
	b.step(1, 2)
	b.step(2, 2) // too soon
	b.end()
	if n := strings.Count(out.String(), "verify ["); n != 1 || !strings.HasSuffix(out.String(), "\r\x1b[K") {
		t.Errorf("drawn %d times: %q", n, out.String())
	}
	out.Reset()
	b = bar{w: &out, start: time.Now()}
	b.step(1, 2)
	b.end()
	if out.Len() > 0 {
		t.Errorf("a bar for a moment: %q", out.String())
	}
}

// TestTerminal: progress goes to a terminal only, and never to the output.
func TestTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	if isTerminal(f) {
		t.Error("a file taken for a terminal")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var out, msg bytes.Buffer
	if status := run(context.Background(), []string{"verify", newStore(t)}, streams{out: &out, err: &msg, terminal: true}); status != 0 || strings.Contains(out.String(), "\r") {
		t.Errorf("status %d, %q", status, &out)
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 30: "5.0 GiB", 1<<63 - 1: "8192.0 PiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}
