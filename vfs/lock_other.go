//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package vfs

import (
	"errors"
	"os"
)

func lockFile(*os.File, LockMode) error { return errors.ErrUnsupported }
