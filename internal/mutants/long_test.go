//go:build long

package mutants

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMutants runs the named test against each mutant. It prints a table at the
// end: mutant, what finds it, how long that took.
func TestMutants(t *testing.T) {
	var table strings.Builder
	for _, m := range append(patches(t), allSyncs(t)...) {
		t.Run(m.name, func(t *testing.T) {
			if m.reason != "" {
				fmt.Fprintf(&table, "| %s | harmless: %s | |\n", m.name, m.reason)
				return
			}
			start := time.Now()
			out, err := m.test(t)
			took := time.Since(start).Round(100 * time.Millisecond)
			switch {
			case err == nil:
				t.Errorf("survives %s %s: %s", m.pkg, m.run, m.what)
			case !strings.Contains(out, "--- FAIL") && !strings.Contains(out, "panic:"):
				t.Errorf("the test did not run: %v\n%s", err, out)
			default:
				fmt.Fprintf(&table, "| %s | %s %s | %v |\n", m.name, m.pkg, m.run, took)
			}
		})
	}
	t.Logf("\n| mutant | killed by | time |\n|---|---|---|\n%s", table.String())
}

// test runs the mutant's test with the changed files.
func (m mutant) test(t *testing.T) (out string, err error) {
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, src := range m.files {
		changed := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(changed, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(root(t), filepath.FromSlash(file))] = changed
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		t.Fatal(err)
	}
	// A test that hangs ends itself; a compiler that hangs does not.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-overlay", list, "-vet=off", "-count=1", "-failfast",
		"-timeout", "2m", "-run", m.run, m.pkg)
	cmd.Dir, cmd.WaitDelay = root(t), 10*time.Second
	all, err := cmd.CombinedOutput()
	return string(all), err
}
