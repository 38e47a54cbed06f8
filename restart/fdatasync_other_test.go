//go:build !linux

package restart_test

import "os"

func fdatasync(f *os.File) error { return f.Sync() }
