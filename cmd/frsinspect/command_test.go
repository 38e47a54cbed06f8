package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fastrestart/frs/restart"
)

// script runs the program once.
type script struct {
	args   string // blank-separated; $S is the store, $T the test's directory
	status int
	out    string // regular expression that standard output matches, whole
	err    string // regular expression that standard error contains; "": it is empty
}

// result of one run.
type result struct {
	status   int
	out, err string
}

func call(args ...string) result {
	var out, msg bytes.Buffer
	status := run(context.Background(), args, streams{out: &out, err: &msg})
	return result{status, out.String(), msg.String()}
}

func (s script) run(t *testing.T, vars *strings.Replacer) {
	t.Helper()
	r := call(strings.Fields(vars.Replace(s.args))...)
	if r.status != s.status {
		t.Errorf("%s: status %d, want %d\n%s%s", s.args, r.status, s.status, r.out, r.err)
	}
	if !regexp.MustCompile(`^(?s:` + s.out + `)$`).MatchString(r.out) {
		t.Errorf("%s: printed\n%s\nwant\n%s", s.args, r.out, s.out)
	}
	if (s.err == "") != (r.err == "") || !regexp.MustCompile(`(?s)`+s.err).MatchString(r.err) {
		t.Errorf("%s: message %q, want %q", s.args, r.err, s.err)
	}
}

// newStore makes a store of two regions and closes it.
func newStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	st := openStore(t, dir)
	ships, err := st.Region("ships", restart.RegionOptions{Ordered: true})
	if err != nil {
		t.Fatal(err)
	}
	odd, err := st.Region("odd", restart.RegionOptions{Durability: restart.Sync})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		put(t, ships, fmt.Sprintf("ship-%d", i), fmt.Sprintf("at %d", i))
	}
	put(t, ships, "tug", "small")
	put(t, odd, "\xff\x00", "\xfe")
	put(t, odd, "two words", "x")
	put(t, odd, "", "empty key")
	if err := ships.Delete([]byte("ship-3")); err != nil {
		t.Fatal(err)
	}
	b := st.NewBatch()
	b.Put(ships, []byte("ship-4"), []byte("moved"))
	b.Delete(odd, []byte("absent"))
	if _, err := st.Apply(b); err != nil {
		t.Fatal(err)
	}
	if _, err := ships.PutWith([]byte("brief"), []byte("gone"), restart.WriteOptions{TTL: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := ships.PutWith([]byte("lasting"), nil, restart.WriteOptions{TTL: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openStore(t *testing.T, dir string) *restart.Store {
	t.Helper()
	st, err := restart.Open(dir, restart.Options{SegmentSize: 64 << 10, MemoryLimit: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func put(t *testing.T, r *restart.Region, key, value string) {
	t.Helper()
	if err := r.Put([]byte(key), []byte(value)); err != nil {
		t.Fatal(err)
	}
}

// tree is every file below a directory with its size, time and content.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(name string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v %d %v", name, info.Mode(), info.Size(), info.ModTime())
		if !info.IsDir() {
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", content)
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestUsage(t *testing.T) {
	overview := `frsinspect looks at.*stat.*verify.*dump.*get.*keys.*Exit status.*`
	for _, s := range []script{
		{"", 2, "", overview},
		{"help", 0, overview, ""},
		{"--help", 0, overview, ""},
		{"help verify", 0, `Usage: frsinspect verify.*Example:\n.*`, ""},
		{"keys --help", 0, `Usage: frsinspect keys.*Example:\n.*`, ""},
		{"help nothing", 2, "", `unknown verb "nothing"`},
		{"compact x", 2, "", `unknown verb "compact"\nSee: frsinspect help\n`},
		{"stat", 2, "", `stat wants DIR\nSee: frsinspect help stat\n`},
		{"stat a b", 2, "", "stat wants DIR"},
		{"get a b", 2, "", "get wants DIR REGION KEY"},
		{"verify --fast a", 2, "", "flag provided but not defined: -fast"},
		{"dump --limit x a", 2, "", "invalid value"},
		{"dump --json --limit x a", 2, "", "invalid value"},
		{"get --hex a b xyz", 2, "", "not hexadecimal"},
		{"keys --hex --from xyz a b", 2, "", "not hexadecimal"},
	} {
		s.run(t, strings.NewReplacer())
	}
	for _, v := range verbs() {
		if !strings.Contains(v.help, "--json") || !strings.Contains(v.help, "Exit status") || !strings.Contains(v.example, "$ frsinspect "+v.name) {
			t.Errorf("the help of %s lacks something", v.name)
		}
	}
}

func TestVerbs(t *testing.T) {
	dir := newStore(t)
	vars := strings.NewReplacer("$S", dir)
	before := tree(t, dir)
	for _, s := range []script{
		{"stat $S", 0, `store [0-9a-f]{32}, generation 1, lineage [0-9a-f]{32}\nlog from LSN 4096 to (\d+), durable to \d+ at least\n.*segment 0000000000001000-00000001.seg  LSN 4096 to .*` +
			`image \S+-00000001.img  LSN \d+ to \d+  10 entries in 128 parts  [0-9.]+ KiB  fits\n` +
			`next restart: clean image, .* to replay, 128 parts to read as they are used; first read after about \d+\.\d ms\n  an estimate: .*\n` +
			`region odd  3 entries  LocalRestartable  sync\nregion ships  \d entries  LocalRestartable  \w+  ordered\n`, ""},
		{"stat --quick $S", 0, `store .*log from .*\.seg  LSN 4096 to \d+  [0-9.]+ \w+\n`, ""},
		{"stat --exact $S", 0, `store .*recovery by clean image: 10 entries in 2 regions, .*region odd  3 entries  .*`, ""},
		{"stat --exact --quick $S", 2, "", "exclude each other"},
		{"stat --json $S", 0, `{"dir".*"store_id":"[0-9a-f]{32}".*"images":\[{"name":".*"fits":true}\],"restart":{"rung":"clean image",.*"name":"odd","entries":3,"exact":true.*}\n`, ""},
		{"stat --json --quick $S", 0, `{"dir".*}\n`, ""},
		{"verify $S", 0, `1 segments, .*, \d+ records \(12 puts, 2 deletes, 1 batches, 0 clears, 2 region changes\)\nlog from.*\nok\n`, ""},
		{"verify --json $S", 0, `{.*"puts":12,.*"damage":\[\]}\n`, ""},
		{"dump $S", 0, `4096 region-create region=1 name=ships strategy=.*\d+ put region=1 key=ship-0 value=4B\n.*` +
			`\d+ batch operations=2\n\d+/0 put region=1 key=ship-4 value=5B\n\d+/1 delete region=2 key=absent\n.*expires=.*`, ""},
		{"dump --values --region 2 $S", 0, `\d+ region-create region=2 .*\n\d+ put region=2 key="\\xff\\x00" value="\\xfe"\n` +
			`\d+ put region=2 key="two words" value=x\n\d+ put region=2 key="" value="empty key"\n\d+/1 delete region=2 key=absent\n`, ""},
		{"dump --hex --values --region 2 --limit 2 $S", 0, `.*\n\d+ put region=2 key=ff00 value=fe\n`, ""},
		{"dump --from 4097 --limit 1 $S", 0, `4096 region-create .*\n`, ""},
		{"dump --to 4097 $S", 0, `4096 region-create [^\n]*\n`, ""},
		{"dump --json --region 2 --values $S", 0, `.*"key":{"base64":"/wA="},"value_size":1,"value":{"base64":"/g=="}.*"key":"","value_size":9,.*"op":1,"kind":"delete".*`, ""},
		{"get $S ships ship-4", 0, `moved`, ""},
		{"get --json $S ships ship-4", 0, `{"region":"ships","key":"ship-4","value":"moved","lsn":\d+}\n`, ""},
		{"get --json $S ships lasting", 0, `{"region":"ships","key":"lasting","value":"","lsn":\d+,"expires":"2\d\d\d-.*Z"}\n`, ""},
		{"get --json --hex $S odd ff00", 0, `{"region":"odd","key":{"base64":"/wA="},"value":{"base64":"/g=="},"lsn":\d+}\n`, ""},
		{"get $S ships -- -dash", 3, "", `not found: key -dash in region "ships"`},
		{"get $S ships ship-3", 3, "", `not found: key ship-3 in region "ships"`},
		{"get $S ships brief", 3, "", `not found: key brief`},
		{"get --json $S ships ship-3", 3, `{"error":"not found: .*","status":3}\n`, "not found"},
		{"get $S planes ship-3", 3, "", `not found: region "planes"`},
		{"keys $S ships", 0, "lasting\nship-0\nship-1\nship-2\nship-4\ntug\n", ""},
		{"keys $S ships --prefix ship-", 0, "ship-0\nship-1\nship-2\nship-4\n", ""},
		{"keys --from ship-1 --to ship-4 $S ships", 0, "ship-1\nship-2\n", ""},
		{"keys --from ship-2 --prefix ship- --limit 1 $S ships", 0, "ship-2\n", ""},
		{"keys --prefix zz $S ships", 0, "", ""},
		{"keys $S odd", 0, `""` + "\n" + `"two words"` + "\n" + `"\\xff\\x00"` + "\n", ""},
		{"keys --hex --from 74 $S odd", 0, "74776f20776f726473\nff00\n", ""},
		{"keys --json --limit 2 $S odd", 0, `{"region":"odd","key":""}` + "\n" + `{"region":"odd","key":"two words"}` + "\n", ""},
		{"keys $S planes", 3, "", `not found: region "planes"`},
	} {
		s.run(t, vars)
	}
	if tree(t, dir) != before {
		t.Error("looking changed the store")
	}
}

// TestOddKeys: keys and values that are no text.
func TestOddKeys(t *testing.T) {
	dir := newStore(t)
	if r := call("get", dir, "odd", ""); r.status != 0 || r.out != "empty key" {
		t.Errorf("empty key: %+v", r)
	}
	if r := call("get", dir, "odd", "--hex", "ff00"); r.status != 0 || r.out != "\xfe" {
		t.Errorf("binary key: %+v", r)
	}
}
