package fsync

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/fastrestart/frs/vfs"
)

// SyncAbove makes durable the names that lead to dir: it syncs every directory
// above it, all the way up. [vfs.FS] MkdirAll does that for the ones that it
// makes itself; but one that it finds may be there only because the kernel
// remembers it, when the process that made it was killed before the sync. Call
// it before the first file in dir that anybody relies on gets its name.
//
// A directory that may not be opened is passed over: it is not one that a name
// was made in.
func SyncAbove(fsys vfs.FS, dir string) error {
	for {
		above := filepath.Dir(dir)
		if above == dir {
			return nil
		}
		if err := fsys.SyncDir(above); err != nil && !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("fsync: sync %s: %w", above, err)
		}
		dir = above
	}
}
