package fsync

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/fastrestart/frs/vfs"
)

// TempSuffix ends the names of files that are not published yet.
const TempSuffix = ".tmp"

// ErrTooLarge is returned by ReadFile for a file above the caller's limit.
var ErrTooLarge = errors.New("fsync: file is larger than it can be")

// PublishFile makes data the content of the small file dir/name, atomically and
// durably: after a power failure during the call the file is as before or as
// after; when the call has returned nil, as after. At most one call per name
// may run at a time. data is borrowed.
//
//	write name.tmp   crash: the old file is there, the .tmp is overwritten next time
//	sync  name.tmp   before the rename, or the new name could hold no bytes
//	rename           crash: old or new
//	sync  dir        before anybody relies on it
func PublishFile(fsys vfs.FS, dir, name string, data []byte) error {
	tmp := filepath.Join(dir, name+TempSuffix)
	if err := writeNew(fsys, tmp, data); err != nil {
		return errors.Join(err, removeIfThere(fsys, tmp))
	}
	if err := fsys.Rename(tmp, filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("fsync: publish %s: %w", name, err)
	}
	if err := fsys.SyncDir(dir); err != nil {
		return fmt.Errorf("fsync: publish %s: %w", name, err)
	}
	return nil
}

func writeNew(fsys vfs.FS, tmp string, data []byte) error {
	if err := removeIfThere(fsys, tmp); err != nil {
		return err
	}
	f, err := fsys.Create(tmp)
	if err != nil {
		return fmt.Errorf("fsync: create %s: %w", tmp, err)
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("fsync: write %s: %w", tmp, err)
	}
	return nil
}

func removeIfThere(fsys vfs.FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("fsync: remove %s: %w", name, err)
	}
	return nil
}

// ReadFile reads a small file. A file above limit bytes is ErrTooLarge and is
// not read: its size is not believed.
func ReadFile(fsys vfs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("fsync: %w", err)
	}
	defer f.Close() // opened for reading only: nothing can be lost
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("fsync: size of %s: %w", name, err)
	}
	if size > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes, limit %d", ErrTooLarge, name, size, limit)
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("fsync: read %s: %w", name, err)
	}
	return b[:n], nil
}
