//go:build !(darwin || freebsd || linux || windows)

package vfs

import "errors"

func statfs(string) (free, total int64, err error) { return 0, 0, errors.ErrUnsupported }
