package mutants

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// minPatches is how many mistakes somebody thought of.
const minPatches = 15

// TestPatchesApply: every patch fits the source as it is, what comes out is a
// program, and the test that finds it exists.
func TestPatchesApply(t *testing.T) {
	list := patches(t)
	if len(list) < minPatches {
		t.Errorf("%d patches, want at least %d", len(list), minPatches)
	}
	check(t, list)
}

// TestEverySyncIsListed: the same of the calls that are turned off one by one.
func TestEverySyncIsListed(t *testing.T) {
	list := allSyncs(t)
	if len(list) < 10 {
		t.Errorf("only %d calls found", len(list))
	}
	check(t, list)
}

func check(t *testing.T, list []mutant) {
	t.Helper()
	for _, m := range list {
		for file, src := range m.files {
			was, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(file)))
			if err != nil {
				t.Fatal(err)
			}
			if string(was) == src {
				t.Errorf("%s: changes nothing in %s", m.name, file)
			}
			if _, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution); err != nil {
				t.Errorf("%s: %v", m.name, err)
			}
		}
		if m.reason == "" && !testExists(t, m.pkg, m.run) {
			t.Errorf("%s: package %q has no test %q", m.name, m.pkg, m.run)
		}
	}
}

// testExists reports whether a package has the tests, or fuzz targets, that the
// argument of -run names, joined by bars.
func testExists(t *testing.T, pkg, run string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root(t), filepath.FromSlash(pkg), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	top, _, _ := strings.Cut(run, "/")
	for name := range strings.SplitSeq(top, "|") {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "^"), "$")
		if ok, err := regexp.MatchString(`(?m)^func `+regexp.QuoteMeta(name), all.String()); err != nil || !ok {
			return false
		}
	}
	return run != ""
}

// TestHunk: lines that moved are found, the nearest where there are several,
// and lines that changed are not.
func TestHunk(t *testing.T) {
	h := &hunk{at: 4, old: []string{"b", "c"}, new: []string{"b", "x", "c"}}
	for _, tt := range []struct{ src, want string }{
		{"a\nb\nc\nd", "a\nb\nx\nc\nd"},
		{"b\nc\n\nb\nc\n", "b\nc\n\nb\nx\nc\n"},
		{"b\nd\nc", ""},
		{"", ""},
	} {
		if got, err := h.apply(tt.src); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q becomes %q, %v, want %q", tt.src, got, err, tt.want)
		}
	}
}

// TestParsePatch: what is missing in a patch is an error.
func TestParsePatch(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte("one\ntwo\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	head := "# What: w\n# Killed-By: ./p TestX\n--- a/a.go\n+++ b/a.go\n"
	m, err := parsePatch(dir, head+"@@ -1,2 +1,1 @@\n one\n-two\n")
	if err != nil || m.files["a.go"] != "one\nthree\n" || m.pkg != "./p" || m.run != "TestX" || m.what != "w" {
		t.Errorf("%+v, %v", m, err)
	}
	for name, patch := range map[string]string{
		"nothing":      "",
		"no change":    head,
		"no test":      strings.Replace(head, "# Killed-By: ./p TestX\n", "", 1) + "@@ -1 +1 @@\n-one\n",
		"no such line": head + "@@ -1 +1 @@\n-four\n",
		"no such file": strings.ReplaceAll(head, "a.go", "b.go") + "@@ -1 +1 @@\n-one\n",
		"bad hunk":     head + "@@ what @@\n-one\n",
	} {
		if _, err := parsePatch(dir, patch); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
