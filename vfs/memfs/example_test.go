package memfs_test

import (
	"fmt"

	"github.com/fastrestart/frs/vfs/memfs"
)

// A name that was not synced is gone after a power failure, whatever was synced
// of the file.
func ExampleFS_CrashClone() {
	m := memfs.New()
	f, _ := m.Create("/a")
	f.WriteAt([]byte("hello"), 0)
	f.Sync()

	_, err := m.CrashClone(memfs.Nothing()).Stat("/a")
	fmt.Println(err)

	m.SyncDir("/")
	info, err := m.CrashClone(memfs.Nothing()).Stat("/a")
	fmt.Println(info.Size, err)
	// Output:
	// stat /a: no such file or directory
	// 5 <nil>
}

// Enumerate what a crash after each operation may leave: every unsynced
// operation alone, and everything but it.
func ExampleFS_Pending() {
	m := memfs.New()
	states := map[uint64]bool{}
	m.OnOp(func(memfs.Op) {
		for _, chosen := range m.Pending() {
			for _, alone := range []bool{true, false} {
				clone := m.CrashClone(memfs.Crash{Choose: func(op memfs.Op) memfs.Fate {
					return memfs.Fate{Happened: (op.Seq == chosen.Seq) == alone}
				}})
				states[clone.Fingerprint()] = true // and recover and check it
			}
		}
	})
	f, _ := m.Create("/a")
	f.WriteAt([]byte("hello"), 0)
	f.Sync()
	m.SyncDir("/")
	fmt.Println(len(states), "states") // no file, empty, hello
	// Output:
	// 3 states
}
