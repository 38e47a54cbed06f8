package lint

import (
	"go/ast"
	"slices"
	"strings"
)

// fileFunctions are the functions of package os that reach the file system.
// Only vfs may use them, so that every file operation can be made to fail.
var fileFunctions = []string{
	"Chdir", "Chmod", "Chown", "Chtimes", "CopyFS", "Create", "CreateTemp", "DirFS", "Lchown", "Link", "Lstat",
	"Mkdir", "MkdirAll", "MkdirTemp", "NewFile", "Open", "OpenFile", "OpenInRoot", "OpenRoot", "ReadDir", "ReadFile",
	"Readlink", "Remove", "RemoveAll", "Rename", "Stat", "Symlink", "Truncate", "WriteFile",
}

// osOwners may reach the file system without vfs: vfs itself, and lint, which
// reads source code and no store.
var osOwners = []string{"vfs", "internal/lint"}

// Calls finds what a library may not do: log, print, exit, panic (internal/
// invariant does, under its build tag) or reach files other than through vfs.
func Calls(p *Package) (found []Finding) {
	if !library(p.Path) {
		return nil
	}
	for _, f := range p.Files {
		if f.Test {
			continue
		}
		for _, imp := range f.imports() {
			if imp == "log" {
				found = append(found, Finding{p.Path + " log", f.Path + " imports log"})
			}
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if name := forbidden(p.Path, n); name != "" {
				found = append(found, Finding{p.Path + " " + name, f.at(n.Pos()) + " uses " + name})
			}
			return true
		})
	}
	return found
}

// forbidden returns the name that n uses against the rules of [Calls].
func forbidden(pkg string, n ast.Node) string {
	switch n := n.(type) {
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok {
			switch id.Name {
			case "print", "println":
				return id.Name
			case "panic":
				if pkg != "internal/invariant" {
					return id.Name
				}
			}
		}
	case *ast.SelectorExpr:
		x, ok := n.X.(*ast.Ident)
		if !ok {
			return ""
		}
		sel := n.Sel.Name
		switch name := x.Name + "." + sel; {
		case name == "os.Exit", x.Name == "fmt" && strings.HasPrefix(sel, "Print"):
			return name
		case x.Name == "os" && slices.Contains(fileFunctions, sel) && !slices.Contains(osOwners, pkg):
			return name
		}
	}
	return ""
}

// Tests finds tests that skip, and tests that sleep outside a synctest bubble.
func Tests(p *Package) (found []Finding) {
	for _, f := range p.Files {
		if !f.Test {
			continue
		}
		bubble := slices.Contains(f.imports(), "testing/synctest")
		ast.Inspect(f.AST, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			switch {
			case !ok:
			case slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name):
				found = append(found, Finding{f.Path + " skip", f.at(n.Pos()) + " skips a test"})
			case x.Name == "time" && sel.Sel.Name == "Sleep" && !bubble:
				found = append(found, Finding{f.Path + " sleep", f.at(n.Pos()) + " sleeps"})
			}
			return true
		})
	}
	return found
}
