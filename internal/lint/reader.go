package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// maxLines is the length of a file that needs no reason.
const maxLines = 500

// vagueNames say nothing about what is inside.
var vagueNames = []string{"util", "utils", "common", "misc", "helper", "helpers"}

// markers in comments announce work that was not done.
var markers = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)

// Size finds files of more than 500 lines.
func Size(p *Package) (found []Finding) {
	for _, f := range p.Files {
		if f.Lines > maxLines {
			found = append(found, Finding{f.Path, fmt.Sprintf("%s has %d lines", f.Path, f.Lines)})
		}
	}
	return found
}

// Names finds packages and files, tests apart, with names that say nothing.
func Names(p *Package) (found []Finding) {
	if slices.Contains(vagueNames, path.Base(p.Path)) {
		found = append(found, Finding{p.Path, "package name " + p.Path})
	}
	for _, f := range p.Files {
		base := strings.TrimSuffix(path.Base(f.Path), ".go")
		if !f.Test && slices.Contains(vagueNames, base) {
			found = append(found, Finding{f.Path, "file name " + f.Path})
		}
	}
	return found
}

// Unfinished finds comments that announce work not done.
func Unfinished(p *Package) (found []Finding) {
	for _, f := range p.Files {
		for _, group := range f.AST.Comments {
			for _, c := range group.List {
				if m := markers.FindString(c.Text); m != "" {
					found = append(found, Finding{f.Path + " " + m, f.at(c.Pos()) + " says " + m})
				}
			}
		}
	}
	return found
}

// Documented finds packages without a package comment, and exported names of
// libraries without a comment.
func Documented(p *Package) (found []Finding) {
	doc, code := false, false
	for _, f := range p.Files {
		if f.Test {
			continue
		}
		code = true
		doc = doc || f.AST.Doc != nil
		if !library(p.Path) {
			continue
		}
		for _, decl := range f.AST.Decls {
			for _, name := range f.undocumented(decl) {
				found = append(found, Finding{p.Path + "." + name, f.at(decl.Pos()) + ": exported " + name + " has no comment"})
			}
		}
	}
	if code && !doc {
		found = append(found, Finding{p.Path, "package " + p.Path + " has no comment"})
	}
	return found
}

// undocumented returns the exported names that decl declares without a
// comment. A comment on a group covers the group, one in a group also the lines
// that follow it without a gap.
func (f *File) undocumented(decl ast.Decl) (names []string) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !(d.Recv != nil && slices.Contains(wellKnown, d.Name.Name)) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		if d.Tok == token.IMPORT || d.Doc != nil {
			return nil
		}
		covered := 0 // the line up to which a comment reaches
		for _, spec := range d.Specs {
			declared, documented := describe(spec)
			if documented || f.line(spec.Pos()) == covered+1 {
				covered = f.line(spec.End())
				continue
			}
			names = append(names, declared...)
		}
	}
	return names
}

// wellKnown methods need no comment: their meaning is that of an interface.
var wellKnown = []string{"String", "Error", "Unwrap", "Len", "Less", "Swap"}

// describe returns the exported names of a type, variable or constant, and
// whether they have a comment.
func describe(spec ast.Spec) (names []string, documented bool) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() {
			names = append(names, s.Name.Name)
		}
		return names, s.Doc != nil || s.Comment != nil
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.IsExported() {
				names = append(names, n.Name)
			}
		}
		return names, s.Doc != nil || s.Comment != nil
	}
	return nil, false
}

// exportedReceiver reports whether d is a function or a method of an exported
// type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}
