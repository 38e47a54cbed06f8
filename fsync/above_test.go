package fsync

import (
	"errors"
	"slices"
	"syscall"
	"testing"

	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// TestSyncAbove: every directory above is synced, nothing else; one that may not
// be opened is passed over, any other failure is told.
func TestSyncAbove(t *testing.T) {
	for err, fails := range map[error]bool{nil: false, syscall.EACCES: false, syscall.EIO: true} {
		m := memfs.New()
		if err := m.MkdirAll("/a/b/c"); err != nil {
			t.Fatal(err)
		}
		var synced []string
		m.OnOp(func(op memfs.Op) {
			if op.Err == nil {
				synced = append(synced, op.Name)
			}
		})
		e := errfs.Wrap(m)
		if err != nil {
			e.Inject(errfs.Rule{Kinds: errfs.SyncDir, Match: func(op errfs.Op) bool { return op.Name == "/a" }, Err: err})
		}
		got := SyncAbove(e, "/a/b/c")
		if (got != nil) != fails || fails && !errors.Is(got, err) {
			t.Errorf("with %v: %v", err, got)
		}
		if want := []string{"/a/b", "/a", "/"}; err == nil && !slices.Equal(synced, want) {
			t.Errorf("synced %q, want %q", synced, want)
		} else if !fails && err != nil && !slices.Equal(synced, []string{"/a/b", "/"}) {
			t.Errorf("with %v: synced %q", err, synced)
		}
	}
}
