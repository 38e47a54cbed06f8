package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/fastrestart/frs/internal/inspect"
	"github.com/fastrestart/frs/restart"
	"github.com/fastrestart/frs/vfs"
)

// target is a log to look at, locked.
type target struct {
	*inspect.Log
	layout restart.Layout // zero for a log alone
	lock   io.Closer
}

// openLog opens the log of the store in dir, or the log in dir. Close lets go
// of it.
func openLog(dir string) (*target, error) {
	t, noStore := openLogOf(dir)
	if !errors.Is(noStore, restart.ErrNoStore) {
		return t, noStore
	}
	// The log of a store, given by its own directory, is still the store's.
	above := filepath.Join(dir, "..", "..")
	if t, err := openLogOf(above); err == nil && sameDir(t.layout.Log, dir) {
		return t, nil
	} else if err == nil {
		_ = t.Close() // some other directory of a store
	} else if errors.Is(err, restart.ErrInUse) {
		return nil, err
	}
	l, err := inspect.Open(vfs.Default, dir, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noStore // what is missing is the store
	}
	if err != nil {
		return nil, err
	}
	return &target{Log: l, lock: io.NopCloser(nil)}, nil
}

func sameDir(a, b string) bool {
	x, err1 := filepath.Abs(a)
	y, err2 := filepath.Abs(b)
	return err1 == nil && err2 == nil && x == y
}

// openLogOf opens the log of the store in dir.
func openLogOf(dir string) (*target, error) {
	layout, lock, err := restart.OpenLayout(vfs.Default, dir)
	if err != nil {
		return nil, err
	}
	l, err := inspect.OpenStore(vfs.Default, inspect.Store{
		Log: layout.Log, StoreID: layout.StoreID, Lineage: layout.Lineage, Generation: layout.Generation,
	})
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &target{l, layout, lock}, nil
}

// Close releases the directory.
func (t *target) Close() error { return errors.Join(t.Log.Close(), t.lock.Close()) }

// openStore opens the store in dir for reading.
func (c *command) openStore(dir string) (*restart.Store, error) {
	return restart.OpenContext(c.ctx, dir, restart.Options{ReadOnly: true})
}

// openRegion opens the store in dir and one of its regions.
func (c *command) openRegion(dir, name string) (*restart.Store, *restart.Region, error) {
	st, err := c.openStore(dir)
	if err != nil {
		return nil, nil, err
	}
	r, err := st.Region(name, restart.RegionOptions{})
	if errors.Is(err, restart.ErrNoRegion) {
		err = fmt.Errorf("%w: region %q", errNotFound, name)
	}
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	return st, r, nil
}
