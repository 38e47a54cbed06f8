//go:build unix

package vfs

import (
	"io/fs"
	"os"
	"syscall"
)

func openFile(name string, flag int) (*os.File, error) {
	return os.OpenFile(name, flag, filePerm)
}

func linkCount(_ string, st fs.FileInfo) (int, error) {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return int(sys.Nlink), nil
	}
	return 1, nil
}

// syncDir fails where the file system cannot sync a directory: a name that is
// not durable must not be taken for one that is.
func syncDir(dir string) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
