package memfs_test

import (
	"testing"

	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/vfs/vfstest"
)

func TestConformance(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) (vfs.FS, string) {
		m := memfs.New()
		if err := m.MkdirAll("/some/dir"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if open := m.OpenFiles(); len(open) > 0 {
				t.Errorf("files left open: %q", open)
			}
		})
		return m, "/some/dir"
	})
}
