package restart

import (
	"errors"
	"fmt"
	"io"

	"github.com/fastrestart/frs/vfs"
)

// Layout says where the files of a store are, for tools that look at the log
// itself.
type Layout struct {
	Log        string // directory of the log
	Generation uint32
	StoreID    [16]byte
	Lineage    [16]byte // the present one
}

// OpenLayout locks the store in dir as a read-only open does, and returns where
// its files are. They do not change until lock is closed. The errors are those
// of a read-only Open: ErrNoStore, ErrInUse, ErrCorrupt, ErrUnsupported.
func OpenLayout(fsys vfs.FS, dir string) (l Layout, lock io.Closer, err error) {
	if dir == "" {
		return l, nil, invalidf("directory is empty")
	}
	st := &Store{dir: dir, fs: fsys, readOnly: true}
	if err := st.takeLock(); err != nil {
		return l, nil, err
	}
	cur, found, err := readCurrent(fsys, dir)
	if err == nil && !found {
		err = fmt.Errorf("%w: %s", ErrNoStore, dir)
	}
	if err != nil {
		return l, nil, errors.Join(err, st.lock.Close())
	}
	return Layout{
		Log: logDir(dir, cur.generation), Generation: cur.generation,
		StoreID: cur.storeID, Lineage: cur.lineage().id,
	}, st.lock, nil
}
