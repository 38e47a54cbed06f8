package vfs_test

import (
	"testing"

	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/vfstest"
)

func TestConformance(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) (vfs.FS, string) { return vfs.Default, t.TempDir() })
}
