package errfs

import (
	"fmt"
	"math/bits"
	"strings"
)

// Kind is a set of kinds of operation, each a method of vfs.FS or vfs.File.
type Kind uint32

// One kind per method. Size, Name and Free cannot be chosen.
const (
	Create Kind = 1 << iota
	Open
	OpenWrite
	Rename
	Link
	Remove
	Mkdir // MkdirAll
	List
	Stat
	SyncDir
	Lock
	Read
	Write
	Sync
	SyncData
	Truncate
	Allocate
	Close // of files, not of locks

	kinds = iota
)

// Sets of kinds.
const (
	// Syncs is all that makes something durable.
	Syncs = Sync | SyncData | SyncDir
	// Mutations is all that changes what is in memory or on disk.
	Mutations = Create | Rename | Link | Remove | Mkdir | Write | Truncate | Allocate | Syncs
	// Any is everything.
	Any Kind = 1<<kinds - 1
)

var kindNames = [kinds]string{
	"create", "open", "openwrite", "rename", "link", "remove", "mkdir", "list", "stat", "syncdir", "lock",
	"read", "write", "sync", "syncdata", "truncate", "allocate", "close",
}

// String returns the names of the kinds in the set, joined by "|".
func (k Kind) String() string {
	var names []string
	for i, name := range kindNames {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

// index returns the number of a single kind.
func (k Kind) index() int { return bits.TrailingZeros32(uint32(k)) }

// Op is one operation about to be done, or done.
type Op struct {
	Kind Kind // exactly one
	// Name is the file or directory as it was given or the file was opened.
	Name string
	// NewName is the second name of Rename and Link.
	NewName string
	// Offset and Length are the range of Read and Write. Length is the size
	// asked for of Truncate and Allocate.
	Offset, Length int64
}

// String describes the operation in one line.
func (op Op) String() string {
	switch op.Kind {
	case Rename, Link:
		return fmt.Sprintf("%v %s %s", op.Kind, op.Name, op.NewName)
	case Read, Write:
		return fmt.Sprintf("%v %s [%d, +%d)", op.Kind, op.Name, op.Offset, op.Length)
	case Truncate, Allocate:
		return fmt.Sprintf("%v %s %d", op.Kind, op.Name, op.Length)
	}
	return fmt.Sprintf("%v %s", op.Kind, op.Name)
}
