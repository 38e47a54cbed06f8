//go:build !linux

package vfs

import "errors"

// syncData is fsync, which on darwin asks the drive to empty its cache.
func syncData(f *osFile) error { return f.f.Sync() }

func reserve(f *osFile, size int64) error { return errors.ErrUnsupported }
