package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fastrestart/frs/restart"
)

// tree is what was loaded: path to what the store must return.
type tree map[string]digest

type digest struct {
	size int
	sum  [sha256.Size]byte
}

func (t tree) bytes() (n int64) {
	for _, d := range t {
		n += int64(d.size)
	}
	return n
}

// loadBatch is the number of bytes that become durable together while loading.
const loadBatch = 4 << 20

// loadTree creates the store and puts every regular file below root into it.
func (r *runner) loadTree(root string) (t tree, err error) {
	start := time.Now()
	st, err := restart.Open(r.dir, options())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	rs, err := openRegions(st)
	if err != nil {
		return nil, err
	}
	t = make(tree)
	b, size, batches := st.NewBatch(), 0, 0
	apply := func() error {
		_, err := st.Apply(b)
		b.Reset()
		size, batches = 0, batches+1
		return err
	}
	err = eachFile(root, func(path string, content []byte) error {
		t[path] = digest{len(content), sha256.Sum256(content)}
		b.Put(rs.files, []byte(path), content)
		if size += len(content); size < loadBatch {
			return nil
		}
		return apply()
	})
	if err == nil {
		err = apply()
	}
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(r.out, "loaded %d files, %.1f MB of %s, in %d synced batches, %.2f s\n",
		len(t), float64(t.bytes())/1e6, root, batches, time.Since(start).Seconds())
	return t, nil
}

// eachFile calls f with every regular file below root.
func eachFile(root string, f func(path string, content []byte) error) error {
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		path, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		return f(filepath.ToSlash(path), content)
	})
}

// check compares every file with what was loaded, and says so if it is lost or
// wrong.
func (t tree) check(files *restart.Region, f *findings) {
	var buf []byte
	for path, want := range t {
		got, err := files.AppendGet(buf[:0], []byte(path))
		buf = got
		switch {
		case errors.Is(err, restart.ErrNotFound):
			f.lost("file %s is not there", path)
		case err != nil:
			f.wrong("file %s: %v", path, err)
		case len(got) != want.size || sha256.Sum256(got) != want.sum:
			f.wrong("file %s: %d bytes with another SHA-256 than the %d loaded", path, len(got), want.size)
		}
	}
	if n := files.Len(); n > len(t) {
		f.wrong("%d files where %d were loaded", n, len(t))
	}
}
