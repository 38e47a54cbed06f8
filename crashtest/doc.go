// Package crashtest stops the machine at every file operation of a workload and
// has everything checked that a power failure may leave; then it makes the file
// operations fail, one after the other. It is for any system that does its file
// operations through a [vfs.FS], ours and yours.
//
//	crashtest.Run(t, crashtest.Config[*Log, string]{
//		Ops:   []string{"one", "two", "three"},
//		Open:  OpenLog,             // func(vfs.FS, dir string) (*Log, error)
//		Apply: (*Log).Append,       // returns when the operation is acknowledged
//		Close: (*Log).Close,
//		Check: func(fs vfs.FS, dir string, c crashtest.Crash[string]) error {
//			l, err := OpenLog(fs, dir)
//			if err != nil {
//				return err
//			}
//			defer l.Close()
//			return c.Records(l.Len(), func(i, op int) bool { return l.Line(i) == c.Issued[op] })
//		},
//		Faults: crashtest.AllFaults(),
//	})
//
// Short workloads find most: a few dozen operations in which each thing that
// the system can do happens once or twice. The examples find three mistakes in
// a log of fifty lines.
//
// # Crashes
//
// The workload runs on a vfs/memfs file system, which keeps what [vfs.FS]
// promises and no more. The machine stops after each change of a file or
// directory, before each sync, and after each answer to an operation; the
// goroutine does not matter. Every such crash point has a list of operations
// that no sync covers, and the state on disk depends on what becomes of each:
//
//	nothing, everything         each prefix; each one missing; each one alone
//	names without data          sizes without data; data without sizes
//	data without names          writes torn at up to four places, from both ends
//	the process died, the kernel lives         Config.Random ones by chance
//
// At most Config.MaxStates of them are looked at for a crash point (n unsynced
// operations give about 3n, and up to 18 more for each long write), and states
// with the same files and the same promises are checked once. At most 2 x
// Config.Workers + 1 crash points are in memory, as copies that share their
// blocks; the workload waits for the checks. A harness with little to check looks at
// some ten thousand states a second.
//
// Config.Recovery of the states live on: they are opened, may be asked what
// they hold (Config.Show) and go on with the workload (Config.Resume), and all
// the time the machine stops again. Those crash points have at most 16 states,
// and there is no third crash.
//
// # What to check
//
// [Crash] says what had been issued, and what each caller had been told. What
// was issued is read after the state is taken and what was told before, so with
// any number of goroutines there is no false alarm. [Config].Promise tells an
// acknowledgement that promises durability from one that does not, and a Sync
// from both. The rules are ready to use:
//
//	Crash.Records     a log with a record for each operation
//	Crash.Map         a key-value store; atomic batches
//	Crash.Survivors   anything that can say which operations survived: all
//	                  that are durable, and no hole before a survivor
//	Crash.Prefix      the same for the first n
//
// [History] is for what clients see while the system runs: monotonic reads, and
// linearizability of single keys.
//
// # Faults
//
// A [Schedule] fails the first operation of a kind, in the next run the second,
// and so on until a run has none left; or all from there on; or fills the disk;
// or delays. Each run ends the process, opens the system again on the same page
// cache (after a failed sync it shows bytes that are not on disk), goes on, and
// stops the machine before and after each Close. Errors are the system's right,
// panics, leaked files and broken promises are not. A system that hangs is left
// to the test's timeout.
//
// # Failures
//
// [Run] shrinks the list of operations, and prints it with the seed, the crash,
// the fate of each unsynced operation and an ID. With one client and without
// goroutines of its own a system fails again in the same way: set Ops and Seed
// to what was printed, and Only to the ID to see that state alone. The
// [Report] says how much was tried; a run in which nothing was acknowledged is
// an error.
package crashtest
