package errfs_test

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/errfs"
	"github.com/fastrestart/frs/vfs/memfs"
)

// Fail each write of a workload in turn.
func ExampleEvery() {
	save := func(fsys vfs.FS) error {
		f, err := fsys.Create("a")
		if err != nil {
			return err
		}
		defer f.Close()
		for i := range 2 {
			if _, err := f.WriteAt([]byte("x"), int64(i)); err != nil {
				return err
			}
		}
		return nil
	}
	open := func() vfs.FS { return memfs.New() }
	for i, e := range errfs.Every(open, errfs.Rule{Kinds: errfs.Write, Err: syscall.EIO}) {
		fmt.Println(i, errors.Is(save(e), syscall.EIO))
	}
	// Output:
	// 0 true
	// 1 true
	// 2 false
}
