package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fastrestart/frs/restart"
)

// TestMain lets the test binary be the child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == writerCommand {
		os.Exit(writerMain(os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// smallTree writes some files and returns their directory.
func smallTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 40 {
		name := filepath.Join(dir, fmt.Sprintf("d%d", i%5), fmt.Sprintf("f%d", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, bytes.Repeat([]byte{byte(i)}, i*i*40), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestKillsLoseNothing(t *testing.T) {
	dir := t.TempDir()
	var out, errs bytes.Buffer
	status := runMain(t.Context(), []string{
		"--source", smallTree(t), "--dir", dir, "--kills", "3", "--acks", "300", "--seed", "7", "--json",
	}, &out, &errs)
	t.Logf("%s%s", &out, &errs)
	if status != 0 {
		t.Fatalf("status %d", status)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var r result
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("last line: %v", err)
	}
	switch {
	case r.Files != 40 || r.Bytes == 0 || r.Seed != 7:
		t.Errorf("loaded %d files, %d bytes, seed %d", r.Files, r.Bytes, r.Seed)
	case r.Kills < 3 || r.Acked < 300 || r.InFlight == 0 || r.Issued < r.Acked:
		t.Errorf("%d kills, %d issued, %d acknowledged, %d in flight", r.Kills, r.Issued, r.Acked, r.InFlight)
	case r.Lost+r.Wrong+r.Damaged != 0:
		t.Errorf("lost %d, wrong %d, damaged %d", r.Lost, r.Wrong, r.Damaged)
	case r.LoadedMS < r.CleanFirstReadMS || r.CleanFirstReadMS <= 0 || r.Rungs[restart.RungCleanImage] < 5 || r.PredictedMS <= 0:
		t.Errorf("first read %v ms, loaded %v ms, predicted %v ms, rungs %v", r.CleanFirstReadMS, r.LoadedMS, r.PredictedMS, r.Rungs)
	case r.OpenMS <= 0 || r.FirstReadMS < r.OpenMS || r.Recovery.Rung == "" || r.Recovery.Entries < 40:
		t.Errorf("open %v ms, first read %v ms, recovery %v", r.OpenMS, r.FirstReadMS, r.Recovery)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestEntries: made-up input, overwritten at full speed while killing.
func TestEntries(t *testing.T) {
	var out, errs bytes.Buffer
	status := runMain(t.Context(), []string{
		"--entries", "3000", "--rounds", "2", "--acks", "100", "--load", "50ms", "--dir", t.TempDir(), "--json",
	}, &out, &errs)
	t.Logf("%s%s", &out, &errs)
	if status != 0 {
		t.Fatalf("status %d", status)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var r result
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("last line: %v", err)
	}
	switch {
	case r.Entries != 3000 || r.Files != 0 || r.Kills != 2 || r.Acked < 100 || r.Recovery.Entries < 3000:
		t.Errorf("%d entries, %d files, %d kills, %d acknowledged, recovery %v", r.Entries, r.Files, r.Kills, r.Acked, r.Recovery)
	case r.Lost+r.Wrong+r.Damaged != 0:
		t.Errorf("lost %d, wrong %d, damaged %d", r.Lost, r.Wrong, r.Damaged)
	case r.CleanFirstReadMS <= 0 || r.KillFirstReadMS <= 0 || r.LoadedMS < r.CleanFirstReadMS || r.KillLoadedMS < r.KillFirstReadMS:
		t.Errorf("first reads %v and %v ms, loaded %v and %v ms", r.CleanFirstReadMS, r.KillFirstReadMS, r.LoadedMS, r.KillLoadedMS)
	case r.PredictedMS <= 0 || r.Rungs[restart.RungCleanImage] != 2:
		t.Errorf("predicted %v ms, rungs %v", r.PredictedMS, r.Rungs)
	}
}

// TestEntriesCheck spoils overwritten entries in every way the check looks for.
func TestEntriesCheck(t *testing.T) {
	for _, n := range []int{1, 2, 7, 100} {
		st, err := restart.Open(t.TempDir(), restart.Options{})
		if err != nil {
			t.Fatal(err)
		}
		rs, err := openRegions(st)
		if err != nil {
			t.Fatal(err)
		}
		put := func(i int, version uint64, value []byte) {
			t.Helper()
			if value == nil {
				value = entryValue(nil, i, version)
			}
			if err := rs.entries.Put(entryKey(nil, i), value); err != nil {
				t.Fatal(err)
			}
		}
		e := newEntries(n)
		for i := range n {
			put(i, 0, nil)
		}
		last := uint64(n + n/2)
		for v := uint64(1); v <= last; v++ {
			put(e.at(v), v, nil)
		}
		check := func(lost, wrong int, durable uint64) {
			t.Helper()
			f := &findings{out: t.Output()}
			if e.check(rs.entries, f, durable); f.nLost != lost || f.nWrong != wrong || e.overwritten() < last {
				t.Errorf("%d entries: lost %d, wrong %d, want %d, %d; went on to %d", n, f.nLost, f.nWrong, lost, wrong, e.overwritten())
			}
		}
		check(0, 0, 0)
		check(0, 0, last)
		check(1, 0, last+1) // what was on disk is gone
		if n > 2 {
			older := last - 1
			put(e.at(older), older-uint64(min(n, int(older))), nil)
			check(1, 0, last)
			put(e.at(older), older+1, nil)
			check(0, 1, last)
			put(e.at(older), 0, make([]byte, 3))
			check(0, 1, last)
			put(e.at(older), 0, make([]byte, entryValueSize))
			check(0, 1, last)
			if err := rs.entries.Delete(entryKey(nil, e.at(older))); err != nil {
				t.Fatal(err)
			}
			check(1, 1, last) // and fewer than there should be
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestJudge is the table of what a key may be found as.
func TestJudge(t *testing.T) {
	put := func(v uint64) write { return write{key: "w1/1", version: v} }
	del := func(v uint64) write { return write{key: "w1/1", version: v, del: true} }
	absent := write{key: "w1/1", del: true}
	tests := []struct {
		name        string
		is          write
		inDoubt     []write
		found       write
		lost, wrong int
	}{
		{"never written, absent", absent, nil, absent, 0, 0},
		{"never acknowledged, absent", absent, []write{put(5)}, absent, 0, 0},
		{"never acknowledged, there", absent, []write{put(5)}, put(5), 0, 0},
		{"acknowledged, there", put(5), nil, put(5), 0, 0},
		{"acknowledged, absent", put(5), nil, absent, 1, 0},
		{"acknowledged, older", put(5), nil, put(4), 1, 0},
		{"overwrite in doubt, new", put(5), []write{put(6)}, put(6), 0, 0},
		{"overwrite in doubt, old", put(5), []write{put(6)}, put(5), 0, 0},
		{"overwrite in doubt, neither", put(5), []write{put(6)}, absent, 1, 0},
		{"newer than was issued", put(5), []write{put(6)}, put(7), 0, 1},
		{"delete in doubt, absent", put(5), []write{del(6)}, absent, 0, 0},
		{"delete in doubt, there", put(5), []write{del(6)}, put(5), 0, 0},
		{"delete acknowledged, absent", del(6), nil, absent, 0, 0},
		{"delete acknowledged, back", del(6), nil, put(5), 1, 0},
		{"two in doubt, first", put(5), []write{put(6), put(9)}, put(6), 0, 0},
	}
	for _, tt := range tests {
		f := &findings{out: t.Output()}
		h := &history{is: tt.is, inDoubt: tt.inDoubt}
		h.judge(tt.found, f)
		if f.nLost != tt.lost || f.nWrong != tt.wrong {
			t.Errorf("%s: lost %d, wrong %d, want %d, %d", tt.name, f.nLost, f.nWrong, tt.lost, tt.wrong)
		}
		settled := &findings{out: t.Output()}
		h.inDoubt = nil
		if h.judge(tt.found, settled); settled.nLost+settled.nWrong > 0 {
			t.Errorf("%s: found the same again, and it counts again", tt.name)
		}
	}
}

// TestCheckFinds spoils a store in every way the check looks for.
func TestCheckFinds(t *testing.T) {
	st, err := restart.Open(t.TempDir(), restart.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	rs, err := openRegions(st)
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	w := &writer{st: st, regions: rs}
	for n := range 16 {
		op := write{key: keyName(0, n), version: uint64(n + 1)}
		l.issue(op)
		if err := w.do(op, paired(n)); err != nil {
			t.Fatal(err)
		}
		if err := l.ack(op); err != nil {
			t.Fatal(err)
		}
	}
	spoil := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	key := func(n int) []byte { return []byte(keyName(0, n)) }
	clean := &findings{out: t.Output()}
	if l.check(rs, clean); clean.named > 0 {
		t.Fatalf("%d findings before anything was spoiled", clean.named)
	}
	spoil(rs.writes.Delete(key(1)))                           // lost
	spoil(rs.writes.Put(key(2), value(keyName(0, 2), 2)[:8])) // wrong: cut short
	spoil(rs.writes.Put(key(3), value(keyName(0, 3), 99)))    // wrong: never issued
	spoil(rs.pairs.Delete(key(8)))                            // wrong: half a batch
	spoil(rs.writes.Put(key(5), []byte("short")))             // wrong
	f := &findings{out: t.Output()}
	if l.check(rs, f); f.nLost != 1 || f.nWrong != 4 {
		t.Errorf("lost %d, wrong %d, want 1, 4", f.nLost, f.nWrong)
	}
	loaded := tree{"a": {size: 1}, "b": {size: 3}}
	spoil(rs.files.Put([]byte("b"), []byte("xyz")))
	spoil(rs.files.Put([]byte("c"), nil))
	spoil(rs.files.Put([]byte("d"), nil))
	f = &findings{out: t.Output()}
	if loaded.check(rs.files, f); f.nLost != 1 || f.nWrong != 2 {
		t.Errorf("files: lost %d, wrong %d, want 1, 2", f.nLost, f.nWrong)
	}
}

func TestLines(t *testing.T) {
	for _, w := range []write{{"w1/2", 77, false}, {"w0/0", 1 << 60, true}} {
		for _, word := range []string{wordIssue, wordAck} {
			gotWord, got, err := parseLine(strings.TrimSuffix(string(w.line(word)), "\n"))
			if err != nil || gotWord != word || got != w {
				t.Errorf("%s %v: %s %v, %v", word, w, gotWord, got, err)
			}
		}
	}
	for _, line := range []string{"", "ack w1/2 77", "ack w1/2 x put", "ack w1/2 1 get", "nack w1/2 1 put", "ready now"} {
		if _, _, err := parseLine(line); err == nil {
			t.Errorf("%q is accepted", line)
		}
	}
	if p, ok := parseProgress(strings.TrimSuffix(string(progress{7, 9}.line()), "\n")); !ok || p != (progress{7, 9}) {
		t.Errorf("progress %v, %v", p, ok)
	}
	for _, line := range []string{"ready", "progress 1", "progress x 1", "progress 1 x", "issue w1/2 7 put"} {
		if _, ok := parseProgress(line); ok {
			t.Errorf("%q is taken for progress", line)
		}
	}
	var got []string
	err := readLines(strings.NewReader("a\nb\ncut"), func(line string) error {
		got = append(got, line)
		return nil
	})
	if err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("lines %q, %v", got, err)
	}
}

func TestUsageErrors(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // on Unix
	for _, args := range [][]string{{"--kills", "-1"}, {"--rounds", "0"}, {"--load", "0s"}, {"--entries", "1", "--source", "."}, {"--entries", "2000000000"}, {"--nonsense"}, {"extra"}, {"--source", filepath.Join(t.TempDir(), "missing")}} {
		var out, errs bytes.Buffer
		if status := runMain(t.Context(), args, &out, &errs); status != exitFailed || errs.Len() == 0 {
			t.Errorf("%v: status %d, message %q", args, status, &errs)
		}
	}
	var out, errs bytes.Buffer
	if status := runMain(t.Context(), []string{"--help"}, &out, &errs); status != 0 || !strings.Contains(errs.String(), "--kills 100") {
		t.Errorf("help: status %d, %q", status, &errs)
	}
}
