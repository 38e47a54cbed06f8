package mutants

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// syncPackages write the files of a store.
var syncPackages = []string{"fsync", "index", "restart", "segment", "wal"}

// syncs returns a mutant for each call of Sync, SyncData and SyncDir, named
// "file function call", with a number from the second equal one on.
func syncs(t *testing.T) []mutant {
	t.Helper()
	var list []mutant
	for _, pkg := range syncPackages {
		names, err := filepath.Glob(filepath.Join(root(t), pkg, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			found, err := syncsOf(pkg+"/"+filepath.Base(name), src)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, found...)
		}
	}
	return list
}

// syncsOf returns the mutants of one file.
func syncsOf(file string, src []byte) (list []mutant, err error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, file, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]int)
	for _, decl := range tree.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Sync", "SyncData", "SyncDir"}, sel.Sel.Name) {
				return true
			}
			var what bytes.Buffer
			_ = printer.Fprint(&what, fset, call.Fun) // a buffer takes everything
			name := fmt.Sprintf("%s %s %s", file, fn.Name.Name, what.String())
			if seen[name]++; seen[name] > 1 {
				name = fmt.Sprintf("%s #%d", name, seen[name])
			}
			from, to := fset.Position(call.Fun.Pos()).Offset, fset.Position(call.Fun.End()).Offset
			off := string(src[:from]) + "func(...any) error { return nil }" + string(src[to:])
			list = append(list, mutant{name: name, what: "does nothing: " + what.String(), files: map[string]string{file: off}})
			return true
		})
	}
	return list, nil
}

// listed returns the calls of the list, and what it says of them: "./wal
// TestCrash", or "harmless: " and the reason.
func listed(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(mutantDir(t), "syncs.txt"))
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, says, ok := strings.Cut(line, " | ")
		if !ok || m[name] != "" {
			t.Errorf("syncs.txt: %q: want a call, a bar, and a test or a reason, once", line)
		}
		m[name] = says
	}
	return m
}

// allSyncs returns the mutants of all sync calls with what the list says of
// them.
func allSyncs(t *testing.T) []mutant {
	t.Helper()
	says := listed(t)
	list := syncs(t)
	for i := range list {
		m := &list[i]
		s, ok := says[m.name]
		if !ok {
			t.Errorf("syncs.txt does not have %q", m.name)
		}
		delete(says, m.name)
		if reason, ok := strings.CutPrefix(s, "harmless: "); ok {
			m.reason = reason
			continue
		}
		m.pkg, m.run, _ = strings.Cut(s, " ")
	}
	for name := range says {
		t.Errorf("syncs.txt has %q, the source has not", name)
	}
	return list
}
