package lint

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// File is one Go source file, whatever platform or build tag it is for.
type File struct {
	Path  string // from the module's root, with slashes
	Test  bool   // name ends in _test.go
	Lines int
	AST   *ast.File
	fset  *token.FileSet
}

// Package is a directory with Go files.
type Package struct {
	Path  string // from the module's root, with slashes; "." for the root
	Files []*File
}

// Finding is one place that breaks a rule. Key is what an exception names.
type Finding struct {
	Key  string
	What string
}

// ModuleRoot returns the directory of go.mod at or above dir.
func ModuleRoot(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("lint: no go.mod")
		}
		dir = up
	}
}

// Load parses every Go file of the module at root; nested modules, testdata
// and directories that start with a dot or an underscore are left out.
func Load(root string) ([]*Package, error) {
	byDir := map[string]*Package{}
	var pkgs []*Package
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(root, name, d)
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		f, err := Parse(filepath.ToSlash(rel), src)
		if err != nil {
			return err
		}
		dir := path.Dir(f.Path)
		if byDir[dir] == nil {
			byDir[dir] = &Package{Path: dir}
			pkgs = append(pkgs, byDir[dir])
		}
		byDir[dir].Files = append(byDir[dir].Files, f)
		return nil
	})
	return pkgs, err
}

func skip(root, name string, d fs.DirEntry) error {
	if name == root {
		return nil
	}
	base := d.Name()
	if base == "testdata" || base[0] == '.' || base[0] == '_' {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// Parse parses one file. name is its path from the module's root.
func Parse(name string, src []byte) (*File, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &File{
		Path:  name,
		Test:  strings.HasSuffix(name, "_test.go"),
		Lines: bytes.Count(src, []byte("\n")),
		AST:   tree,
		fset:  fset,
	}, nil
}

// imports returns the paths that f imports.
func (f *File) imports() []string {
	var paths []string
	for _, spec := range f.AST.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

// at returns "file:line" of a position.
func (f *File) at(pos token.Pos) string {
	return f.Path + ":" + strconv.Itoa(f.line(pos))
}

func (f *File) line(pos token.Pos) int { return f.fset.Position(pos).Line }
