package lint

import (
	"fmt"
	"slices"
	"strings"
)

// Module is the path of this module.
const Module = "github.com/fastrestart/frs"

// level1 is the bottom of the table: everything above may import it.
var level1 = []string{"vfs", "overflow", "internal/op", "internal/invariant"}

// arrows says what each package may import besides level1, in files that are
// not tests. A package below another never imports it. "*" is everything.
var arrows = map[string][]string{
	// L1
	"vfs":                {"internal/invariant"},
	"overflow":           {"internal/invariant"},
	"internal/op":        {"internal/invariant"},
	"internal/invariant": {},
	// L2
	"fsync":   {},
	"segment": {},
	"offheap": {},
	// L3
	"wal":   {"segment", "fsync"},
	"index": {"offheap", "fsync"},
	// L4
	"snapshot":        {"wal", "segment", "fsync"},
	"internal/images": {"wal", "segment", "index"},
	// L5
	"restart":          {"wal", "segment", "index", "offheap", "snapshot", "fsync", "internal/images"},
	"internal/inspect": {"wal", "segment", "index", "snapshot", "fsync", "internal/images"},
	// L6
	"queue":          {"restart"},
	"cmd/frsinspect": {"internal/inspect", "restart", "queue"},
	// Tests and kit
	"vfs/memfs":          {},
	"vfs/errfs":          {},
	"vfs/vfstest":        {},
	"crashtest":          {"vfs/memfs", "vfs/errfs"},
	"fuzz":               {"*"},
	"internal/check":     {"*"},
	"internal/mutants":   {},
	"internal/child":     {},
	"internal/ledger":    {},
	"internal/storetest": {"restart"},
	"internal/powerloss": {"*"},
	"internal/soak":      {"*"},
	"internal/lint":      {},
}

// dependencies are the modules that library packages may use.
var dependencies = []string{
	"github.com/klauspost/compress",
	"github.com/cespare/xxhash/v2",
	"golang.org/x/sys",
	"github.com/google/btree",
}

// Arrows finds imports within the module that go against the table, and
// packages that the table does not know.
func Arrows(p *Package) (found []Finding) {
	allowed, known := arrows[p.Path]
	switch {
	case under(p.Path, "examples"):
		allowed = []string{"*"}
	case !known:
		return []Finding{{p.Path, "package " + p.Path + " is not in the table of arrows"}}
	}
	if !isLevel1(p.Path) {
		allowed = slices.Concat(level1, allowed)
	}
	for _, f := range p.Files {
		if f.Test {
			continue
		}
		for _, imp := range f.imports() {
			rel, ok := strings.CutPrefix(imp, Module+"/")
			if ok && !slices.Contains(allowed, rel) && !slices.Contains(allowed, "*") {
				found = append(found, Finding{p.Path + " -> " + rel, f.Path + " imports " + rel})
			}
		}
	}
	return found
}

func isLevel1(pkg string) bool { return slices.Contains(level1, pkg) }

// Dependencies finds imports of other modules that a library may not use.
// Commands and examples may; their modules still are in go.mod.
func Dependencies(p *Package) (found []Finding) {
	if !library(p.Path) {
		return nil
	}
	for _, f := range p.Files {
		if f.Test {
			continue
		}
		for _, imp := range f.imports() {
			if !standard(imp) && !under(imp, Module) && !slices.ContainsFunc(dependencies, func(d string) bool { return under(imp, d) }) {
				found = append(found, Finding{p.Path + " -> " + imp, fmt.Sprintf("%s imports %s", f.Path, imp)})
			}
		}
	}
	return found
}

// standard reports whether imp is of the standard library: its first element
// has no dot.
func standard(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}

// library reports whether a package is one that others import.
func library(pkg string) bool {
	return !slices.ContainsFunc(commands, func(dir string) bool { return under(pkg, dir) })
}

// commands are where programs are, which may do more than libraries.
var commands = []string{"cmd", "examples", "internal/powerloss", "internal/soak"}

// under reports whether path is dir or below it.
func under(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
