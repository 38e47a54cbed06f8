//go:build !unix && !windows

package vfs

import (
	"errors"
	"io/fs"
	"os"
)

func openFile(name string, flag int) (*os.File, error) {
	return os.OpenFile(name, flag, filePerm)
}

func linkCount(string, fs.FileInfo) (int, error) { return 1, nil }

func syncDir(dir string) error { return errors.ErrUnsupported }
