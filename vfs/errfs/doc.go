// Package errfs wraps a file system and lets chosen operations fail, fall
// short, wait, lie, or be observed.
//
//	e := errfs.Wrap(memfs.New())
//	inj := e.Inject(errfs.Rule{
//		Kinds: errfs.Write, Name: "*.seg", Skip: 3, Err: syscall.EIO,
//	})
//	... the fourth write to a segment fails, the others succeed ...
//	inj.Hits() // 1
//
// [Every] runs a workload again and again, failing the first matching
// operation, then the second, and so on until a run was not hit at all, which
// shows that every failure was tried:
//
//	for i, e := range errfs.Every(open, errfs.Rule{Kinds: errfs.Mutations, Err: syscall.EIO}) {
//		err := workload(e)
//		... it reports the error, or did without the operation; nothing is lost ...
//	}
//
// A failed operation has no effect unless its rule says Done (it did its work
// and failed then) or Short (a part of the bytes). A sync that fails does what
// kernels do, if the file system beneath can: over memfs the unsynced bytes
// stay readable and are lost in the next crash. Over the operating system the
// sync is not passed on.
//
// The wrapper adds no durability semantics of its own, and with no rules it
// passes the conformance suite.
package errfs
