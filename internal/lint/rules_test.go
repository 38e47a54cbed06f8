package lint

import (
	"path"
	"slices"
	"testing"
)

// exceptions are places where a rule is broken, with the reason.
var exceptions = map[string]map[string]string{
	"arrows":       {},
	"dependencies": {},
	"calls": {
		"restart os.ReadFile": "reads the machine's memory limits, not a store",
	},
	"tests":      {},
	"size":       {},
	"names":      {},
	"unfinished": {},
	"documented": {},
}

var rules = map[string]func(*Package) []Finding{
	"arrows":       Arrows,
	"dependencies": Dependencies,
	"calls":        Calls,
	"tests":        Tests,
	"size":         Size,
	"names":        Names,
	"unfinished":   Unfinished,
	"documented":   Documented,
}

// TestRepository applies every rule to the repository.
func TestRepository(t *testing.T) {
	root, err := ModuleRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	pkgs, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < 3 {
		t.Fatalf("only %d packages in %s", len(pkgs), root)
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			needed := map[string]bool{}
			for _, p := range pkgs {
				for _, f := range rule(p) {
					needed[f.Key] = true
					if exceptions[name][f.Key] == "" {
						t.Errorf("%s (exception: %q)", f.What, f.Key)
					}
				}
			}
			for key := range exceptions[name] {
				if !needed[key] {
					t.Errorf("exception %q is not needed any more", key)
				}
			}
		})
	}
}

// TestArrowsGoDown: the table itself has no cycle.
func TestArrowsGoDown(t *testing.T) {
	var visit func(pkg string, path []string)
	visit = func(pkg string, path []string) {
		if slices.Contains(path, pkg) {
			t.Errorf("cycle: %v -> %s", path, pkg)
			return
		}
		for _, to := range arrows[pkg] {
			visit(to, append(path, pkg))
		}
	}
	for pkg, to := range arrows {
		visit(pkg, nil)
		for _, p := range to {
			if _, ok := arrows[p]; !ok && p != "*" {
				t.Errorf("%s may import %s, which the table does not know", pkg, p)
			}
		}
	}
}

// TestRules shows every rule source that breaks it.
func TestRules(t *testing.T) {
	tests := []struct {
		rule, file, src string
		want            []string // keys
	}{
		{"arrows", "segment/a.go", `package segment; import "github.com/fastrestart/frs/wal"`, []string{"segment -> wal"}},
		{"arrows", "segment/a_test.go", `package segment; import "github.com/fastrestart/frs/wal"`, nil},
		{"arrows", "segment/a.go", `package segment; import "github.com/fastrestart/frs/vfs"`, nil},
		{"arrows", "wal/a.go", `package wal; import "github.com/fastrestart/frs/vfs/memfs"`, []string{"wal -> vfs/memfs"}},
		{"arrows", "vfs/a.go", `package vfs; import "github.com/fastrestart/frs/overflow"`, []string{"vfs -> overflow"}},
		{"arrows", "restart/a.go", `package restart; import "github.com/fastrestart/frs/internal/inspect"`, []string{"restart -> internal/inspect"}},
		{"arrows", "restart/more/a.go", `package more`, []string{"restart/more"}},
		{"arrows", "examples/x/a.go", `package main; import "github.com/fastrestart/frs/wal"`, nil},
		{"dependencies", "wal/a.go", `package wal; import ("os"; "golang.org/x/sys/unix"; "github.com/klauspost/compress/s2")`, nil},
		{"dependencies", "wal/a.go", `package wal; import "golang.org/x/sync/errgroup"`, []string{"wal -> golang.org/x/sync/errgroup"}},
		{"dependencies", "cmd/x/a.go", `package main; import "golang.org/x/sync/errgroup"`, nil},
		{"calls", "wal/a.go", `package wal; import "log"`, []string{"wal log"}},
		{"calls", "wal/a.go", `package wal; func f() { panic(1) }`, []string{"wal panic"}},
		{"calls", "internal/invariant/a.go", `package invariant; func f() { panic(1) }`, nil},
		{"calls", "wal/a.go", `package wal; func f() { fmt.Printf("x"); os.Exit(1); println() }`, []string{"wal fmt.Printf", "wal os.Exit", "wal println"}},
		{"calls", "wal/a.go", `package wal; var f = os.OpenFile`, []string{"wal os.OpenFile"}},
		{"calls", "vfs/a.go", `package vfs; var f = os.OpenFile`, nil},
		{"calls", "vfs/memfs/a.go", `package memfs; var f = os.OpenFile`, []string{"vfs/memfs os.OpenFile"}},
		{"calls", "wal/a.go", `package wal; var f = os.Getpagesize`, nil},
		{"calls", "wal/a_test.go", `package wal; func f() { panic(1) }`, nil},
		{"tests", "wal/a_test.go", `package wal; func f() { t.Skip(); time.Sleep(1) }`, []string{"wal/a_test.go skip", "wal/a_test.go sleep"}},
		{"tests", "wal/a_test.go", `package wal; import "testing/synctest"; func f() { time.Sleep(1) }`, nil},
		{"names", "wal/util.go", `package wal`, []string{"wal/util.go"}},
		{"names", "misc/a.go", `package misc`, []string{"misc"}},
		{"unfinished", "wal/a.go", "package wal // TO" + "DO: more", []string{"wal/a.go TO" + "DO"}},
		{"documented", "wal/a.go", `package wal`, []string{"wal"}},
		{"documented", "wal/a_test.go", `package wal`, nil},
		{"documented", "wal/a.go", "// Package wal.\npackage wal\ntype A int\nfunc (A) B() {}\nfunc (c) D() {}\ntype c int\nvar E, f int\n// G.\nfunc G() {}", []string{"wal.A", "wal.B", "wal.E"}},
		{"documented", "wal/a.go", "// Package wal.\npackage wal\n// All.\nconst ( A = 1; B = 2 )\nconst ( C = 1 // C.\n)", nil},
		{"documented", "wal/a.go", "// Package wal.\npackage wal\nconst (\n// A and B.\nA = 1\nB = 2\n\nC = 3\n)\ntype D int\n// E.\ntype E int\nfunc (E) String() {}", []string{"wal.C", "wal.D"}},
	}
	for _, tt := range tests {
		f, err := Parse(tt.file, []byte(tt.src))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, found := range rules[tt.rule](&Package{Path: path.Dir(tt.file), Files: []*File{f}}) {
			got = append(got, found.Key)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q found %q, want %q", tt.rule, tt.src, got, tt.want)
		}
	}
	for lines, want := range map[int]int{500: 0, 501: 1} {
		p := &Package{Files: []*File{{Path: "wal/a.go", Lines: lines}}}
		if got := len(Size(p)); got != want {
			t.Errorf("%d lines: %d findings, want %d", lines, got, want)
		}
	}
}
