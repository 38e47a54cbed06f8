package memfs

import "fmt"

// OpKind says what an operation does.
type OpKind uint8

// The operations that change what is in memory or on disk.
const (
	OpCreate OpKind = iota + 1
	OpLink
	OpRename
	OpRemove
	OpMkdir
	OpWrite
	OpTruncate
	OpAllocate
	OpSync
	OpSyncData
	OpSyncDir
)

var opNames = [...]string{
	OpCreate: "create", OpLink: "link", OpRename: "rename", OpRemove: "remove", OpMkdir: "mkdir",
	OpWrite: "write", OpTruncate: "truncate", OpAllocate: "allocate",
	OpSync: "sync", OpSyncData: "syncdata", OpSyncDir: "syncdir",
}

// String returns the kind's name in lower case.
func (k OpKind) String() string {
	if int(k) < len(opNames) && opNames[k] != "" {
		return opNames[k]
	}
	return fmt.Sprintf("OpKind(%d)", uint8(k))
}

// IsName reports whether the operation changes a directory.
func (k OpKind) IsName() bool { return k >= OpCreate && k <= OpMkdir }

// Op describes an operation that was done.
type Op struct {
	// Seq numbers the operations of a file system from 1.
	Seq  uint64
	Kind OpKind
	// Name is the file or directory, as it was given to the file system or,
	// for operations on a file, as the file was opened.
	Name string
	// NewName is the second name of OpLink and OpRename.
	NewName string
	// Offset and Length are the range of OpWrite. Length is the size asked for
	// of OpTruncate and OpAllocate.
	Offset, Length int64
	// Sectors is how many sectors an OpWrite touches. It is zero when a failed
	// sync has lost them.
	Sectors int
	// Grows reports whether the operation made its file larger.
	Grows bool
	// Second marks the second half of a rename between directories, the
	// removal of the old name. The halves become durable separately; the
	// second half never survives without the first. Only Pending and Crash
	// know it; OnOp reports the rename once.
	Second bool
	// Err is the error of a sync that failed.
	Err error
}

// String describes the operation in one line.
func (op Op) String() string {
	s := fmt.Sprintf("%d %v %s", op.Seq, op.Kind, op.Name)
	switch op.Kind {
	case OpLink, OpRename:
		s += " " + op.NewName
	case OpWrite:
		s += fmt.Sprintf(" [%d, +%d)", op.Offset, op.Length)
	case OpTruncate, OpAllocate:
		s += fmt.Sprintf(" %d", op.Length)
	}
	if op.Second {
		s += " (old name)"
	}
	if op.Err != nil {
		s += ": " + op.Err.Error()
	}
	return s
}
