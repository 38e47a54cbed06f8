package mutants

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mutant is one planted mistake.
type mutant struct {
	name   string
	what   string
	pkg    string // package of the test that finds it
	run    string // argument of -run
	reason string // why nothing needs to find it; then there is no test
	// files is the changed sources, by path from the root.
	files map[string]string
}

// root of the repository.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func mutantDir(t *testing.T) string { return filepath.Join(root(t), "testdata", "mutants") }

// patches returns the mutants of the patch files, sorted by name.
func patches(t *testing.T) []mutant {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(mutantDir(t), "*.patch"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var list []mutant
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := parsePatch(root(t), string(b))
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(name), err)
			continue
		}
		m.name = strings.TrimSuffix(filepath.Base(name), ".patch")
		list = append(list, m)
	}
	return list
}

// parsePatch reads a patch and applies it to the sources below root.
func parsePatch(root, patch string) (m mutant, err error) {
	m.files = make(map[string]string)
	var file string
	var h *hunk
	flush := func() error {
		if h == nil {
			return nil
		}
		src, ok := m.files[file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
			if err != nil {
				return err
			}
			src = string(b)
		}
		m.files[file], err = h.apply(src)
		h = nil
		return err
	}
	for line := range strings.Lines(patch) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case h == nil && strings.HasPrefix(line, "# What: "):
			m.what = line[len("# What: "):]
		case h == nil && strings.HasPrefix(line, "# Killed-By: "):
			m.pkg, m.run, _ = strings.Cut(line[len("# Killed-By: "):], " ")
		case strings.HasPrefix(line, "--- a/"), strings.HasPrefix(line, "@@ "):
			if err := flush(); err != nil {
				return m, fmt.Errorf("%s: %w", file, err)
			}
			if line[0] == '-' {
				file = line[len("--- a/"):]
			} else if h, err = newHunk(line); err != nil {
				return m, err
			}
		case strings.HasPrefix(line, "+++ "):
		case h != nil:
			h.add(line)
		}
	}
	if err := flush(); err != nil {
		return m, fmt.Errorf("%s: %w", file, err)
	}
	if m.what == "" || m.pkg == "" || m.run == "" || len(m.files) == 0 {
		return m, fmt.Errorf("needs What, Killed-By and a change")
	}
	return m, nil
}

// hunk is one replacement of lines.
type hunk struct {
	at       int // line where the old ones were
	old, new []string
}

var hunkHead = regexp.MustCompile(`^@@ -(\d+)`)

func newHunk(line string) (*hunk, error) {
	f := hunkHead.FindStringSubmatch(line)
	if f == nil {
		return nil, fmt.Errorf("not the head of a hunk: %q", line)
	}
	n, err := strconv.Atoi(f[1])
	return &hunk{at: n}, err
}

func (h *hunk) add(line string) {
	mark, text := byte(' '), ""
	if line != "" {
		mark, text = line[0], line[1:]
	}
	if mark != '+' {
		h.old = append(h.old, text)
	}
	if mark != '-' {
		h.new = append(h.new, text)
	}
}

// apply replaces the old lines, wherever they have moved to; where they occur
// more than once, those nearest to where they were.
func (h *hunk) apply(src string) (string, error) {
	lines := strings.Split(src, "\n")
	best := -1
	for i := 0; i+len(h.old) <= len(lines); i++ {
		if slices.Equal(lines[i:i+len(h.old)], h.old) && (best < 0 || abs(i+1-h.at) < abs(best+1-h.at)) {
			best = i
		}
	}
	if best < 0 {
		return "", fmt.Errorf("the patch does not apply: %d lines near line %d are not as they were", len(h.old), h.at)
	}
	return strings.Join(slices.Replace(lines, best, best+len(h.old), h.new...), "\n"), nil
}

func abs(n int) int { return max(n, -n) }
