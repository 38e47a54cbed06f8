// Package crashtest stops the machine at every file operation of a workload and
// has everything checked that a power failure may leave.
//
//	crashtest.Run(t, crashtest.Config[*Log, string]{
//		Ops:   []string{"a", "b", "c"},
//		Open:  OpenLog,             // func(vfs.FS, dir string) (*Log, error)
//		Apply: (*Log).Append,       // returns when the operation is acknowledged
//		Close: (*Log).Close,
//		Check: func(fs vfs.FS, dir string, c crashtest.Crash[string]) error {
//			l, err := OpenLog(fs, dir)
//			if err != nil {
//				return err
//			}
//			defer l.Close()
//			return c.Prefix(l.Len()) // nothing durable is lost, and no hole
//		},
//	})
package crashtest
