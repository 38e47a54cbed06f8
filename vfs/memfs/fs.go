package memfs

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/fastrestart/frs/vfs"
)

// unlimited is what [FS.Free] reports as total while no capacity is set.
const unlimited = 1 << 40

// FS is a file system in memory. Relative and absolute names start at the same
// root directory, which always exists. All methods may be called concurrently.
type FS struct {
	mu       sync.RWMutex
	root     *node
	seq      uint64
	walk     uint64 // number of the last walk over all nodes
	used     int64  // bytes of blocks of all files that have a name or a handle
	capacity int64  // 0: unlimited
	open     map[*file]struct{}
	onOp     func(Op)
	onSync   func(Op) error
}

var _ vfs.FS = (*FS)(nil)

// New returns an empty file system of unlimited size.
func New() *FS {
	return &FS{root: newDir(), open: map[*file]struct{}{}}
}

// OnOp has fn called after each operation that changes what is in memory or on
// disk, failed syncs included, by the goroutine that did it and without a lock
// held, so that fn may clone the file system. Nil ends it. Clones do not
// inherit it. Calls of concurrent operations may arrive in another order than
// their sequence numbers.
func (m *FS) OnOp(fn func(Op)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.onOp = fn
}

// OnSync has fn called before each Sync, SyncData and SyncDir, with Kind and
// Name set. If it returns an error the sync fails with it and does what
// [FS.FailSync] says. No lock is held. Nil ends it. Clones do not inherit it.
func (m *FS) OnSync(fn func(Op) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.onSync = fn
}

// SetCapacity limits the blocks of all files to n bytes; what exceeds them
// fails with syscall.ENOSPC, a write after the part that fits. Zero means
// unlimited. Blocks have 4096 bytes; holes and names cost nothing. A removed
// file keeps its blocks while it is open. Clones inherit the limit.
func (m *FS) SetCapacity(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = n
}

// Ops returns the sequence number of the last operation, 0 if there was none.
func (m *FS) Ops() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.seq
}

// OpenFiles returns the names of all open files and held locks, sorted, one
// name for each handle.
func (m *FS) OpenFiles() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var names []string
	for f := range m.open {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return names
}

// Create implements [vfs.FS].
func (m *FS) Create(name string) (vfs.File, error) {
	var f *file
	err := m.change("open", name, func() (Op, error) {
		n, op, err := m.createLocked(name)
		if err == nil {
			f = m.openLocked(n, name, true)
		}
		return op, err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (m *FS) createLocked(name string) (*node, Op, error) {
	dir, base, err := m.parent(name)
	if err != nil {
		return nil, Op{}, err
	}
	if base == "" || dir.names[base] != nil {
		return nil, Op{}, syscall.EEXIST
	}
	n := &node{links: 1}
	op := m.next(Op{Kind: OpCreate, Name: name})
	dir.addName(&change{op: op, set: base, node: n})
	return n, op, nil
}

// Open implements [vfs.FS].
func (m *FS) Open(name string) (vfs.File, error) { return m.openFile(name, false) }

// OpenWrite implements [vfs.FS].
func (m *FS) OpenWrite(name string) (vfs.File, error) { return m.openFile(name, true) }

func (m *FS) openFile(name string, write bool) (vfs.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(name)
	if err == nil && n.isDir {
		err = syscall.EISDIR
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return m.openLocked(n, name, write), nil
}

func (m *FS) openLocked(n *node, name string, write bool) *file {
	f := &file{fs: m, node: n, name: name, write: write}
	n.handles++
	m.open[f] = struct{}{}
	return f
}

// Rename implements [vfs.FS].
func (m *FS) Rename(oldname, newname string) error {
	return m.changeLink("rename", oldname, newname, func() (Op, error) {
		from, oldbase, err := m.parent(oldname)
		if err != nil {
			return Op{}, err
		}
		n := from.names[oldbase]
		if n == nil {
			return Op{}, syscall.ENOENT
		}
		to, newbase, err := m.parent(newname)
		if err != nil {
			return Op{}, err
		}
		target := to.names[newbase]
		switch {
		case newbase == "" || target != nil && target.isDir:
			return Op{}, syscall.EEXIST
		case target == n: // as POSIX has it: two names of one file both stay
			return Op{}, nil
		case target != nil && n.isDir:
			return Op{}, syscall.ENOTDIR
		case n.isDir && n.contains(to):
			return Op{}, syscall.EINVAL
		}
		op := m.next(Op{Kind: OpRename, Name: oldname, NewName: newname})
		m.rename(op, from, oldbase, to, newbase)
		if target != nil {
			m.unlinked(target)
		}
		return op, nil
	})
}

// rename is one change within a directory and two between directories.
func (m *FS) rename(op Op, from *node, oldbase string, to *node, newbase string) {
	n := from.names[oldbase]
	add := &change{op: op, set: newbase, node: n}
	if from == to {
		add.del, add.gone, add.moved = oldbase, n, true
		to.addName(add)
		return
	}
	to.addName(add)
	op.Second = true
	op = m.next(op)
	from.addName(&change{op: op, del: oldbase, gone: n, moved: true, requires: []*change{add}})
}

// Link implements [vfs.FS].
func (m *FS) Link(oldname, newname string) error {
	return m.changeLink("link", oldname, newname, func() (Op, error) {
		n, err := m.lookup(oldname)
		if err != nil {
			return Op{}, err
		}
		if n.isDir {
			return Op{}, syscall.EPERM
		}
		dir, base, err := m.parent(newname)
		if err != nil {
			return Op{}, err
		}
		if base == "" || dir.names[base] != nil {
			return Op{}, syscall.EEXIST
		}
		op := m.next(Op{Kind: OpLink, Name: oldname, NewName: newname})
		dir.addName(&change{op: op, set: base, node: n})
		n.links++
		return op, nil
	})
}

// Remove implements [vfs.FS].
func (m *FS) Remove(name string) error {
	return m.change("remove", name, func() (Op, error) {
		dir, base, err := m.parent(name)
		if err != nil {
			return Op{}, err
		}
		n := dir.names[base]
		switch {
		case base == "":
			return Op{}, syscall.EBUSY
		case n == nil:
			return Op{}, syscall.ENOENT
		case len(n.names) > 0:
			return Op{}, syscall.ENOTEMPTY
		}
		op := m.next(Op{Kind: OpRemove, Name: name})
		dir.addName(&change{op: op, del: base, gone: n})
		m.unlinked(n)
		return op, nil
	})
}

// MkdirAll implements [vfs.FS]. Each directory that it makes is two operations,
// OpMkdir and OpSyncDir of the parent, with absolute names.
func (m *FS) MkdirAll(name string) error {
	path := string(filepath.Separator)
	for _, base := range split(name) {
		parent := path
		path = filepath.Join(parent, base)
		made := false
		err := m.change("mkdir", path, func() (Op, error) {
			dir, base, err := m.parent(path)
			if err != nil {
				return Op{}, err
			}
			if n := dir.names[base]; n != nil && !n.isDir {
				return Op{}, syscall.ENOTDIR
			} else if n != nil {
				return Op{}, nil
			}
			made = true
			op := m.next(Op{Kind: OpMkdir, Name: path})
			dir.addName(&change{op: op, set: base, node: newDir()})
			return op, nil
		})
		if err == nil && made {
			err = m.SyncDir(parent)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// List implements [vfs.FS].
func (m *FS) List(dir string) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.lookupDir(dir)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	names := make([]string, 0, len(n.names))
	for name := range n.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// Stat implements [vfs.FS].
func (m *FS) Stat(name string) (vfs.Info, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.lookup(name)
	if err != nil {
		return vfs.Info{}, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	if n.isDir {
		return vfs.Info{IsDir: true, Links: 1}, nil
	}
	return vfs.Info{Size: n.cur.size, Links: n.links}, nil
}

// SyncDir implements [vfs.FS].
func (m *FS) SyncDir(dir string) error {
	if err := m.askSync(Op{Kind: OpSyncDir, Name: dir}); err != nil {
		return m.FailSync(dir, err)
	}
	return m.change("syncdir", dir, func() (Op, error) {
		n, err := m.lookupDir(dir)
		if err != nil {
			return Op{}, err
		}
		n.sync()
		return m.next(Op{Kind: OpSyncDir, Name: dir}), nil
	})
}

// Lock implements [vfs.FS]. Locks are not part of a clone.
func (m *FS) Lock(name string, mode vfs.LockMode) (io.Closer, error) {
	var l io.Closer
	err := m.change("lock", name, func() (Op, error) {
		var op Op
		n, err := m.lookup(name)
		if err == syscall.ENOENT && mode == vfs.Exclusive {
			n, op, err = m.createLocked(name)
		}
		switch {
		case err != nil:
			return op, err
		case n.isDir:
			return op, syscall.EISDIR
		case n.exclusive || mode == vfs.Exclusive && n.sharers > 0:
			return op, vfs.ErrLocked
		case mode == vfs.Exclusive:
			n.exclusive = true
			l = &exclusiveLock{sharedLock{f: m.openLocked(n, name, true)}}
		default:
			n.sharers++
			l = &sharedLock{f: m.openLocked(n, name, false)}
		}
		return op, nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Free implements [vfs.FS]. Without a limit the total is 1 TiB.
func (m *FS) Free(dir string) (free, total int64, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if _, err := m.lookupDir(dir); err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	total = unlimited
	if m.capacity > 0 {
		total = m.capacity
	}
	return max(0, total-m.used), total, nil
}

// change runs fn under the lock and reports the operation that it returns.
func (m *FS) change(what, name string, fn func() (Op, error)) error {
	if err := m.run(fn); err != nil {
		return &fs.PathError{Op: what, Path: name, Err: err}
	}
	return nil
}

// changeLink is change for an operation on two names.
func (m *FS) changeLink(what, oldname, newname string, fn func() (Op, error)) error {
	if err := m.run(fn); err != nil {
		return &os.LinkError{Op: what, Old: oldname, New: newname, Err: err}
	}
	return nil
}

func (m *FS) run(fn func() (Op, error)) error {
	m.mu.Lock()
	op, err := fn()
	notify := m.onOp
	m.mu.Unlock()
	if op.Seq != 0 && notify != nil {
		notify(op)
	}
	return err
}

// next gives an operation that is now certain to happen its number.
func (m *FS) next(op Op) Op {
	m.seq++
	op.Seq = m.seq
	return op
}

// unlinked says that a file lost a name.
func (m *FS) unlinked(n *node) {
	if n.isDir {
		return
	}
	n.links--
	m.release(n)
}

// release gives back the blocks of a file that nobody can reach any more.
func (m *FS) release(n *node) {
	if n.links == 0 && n.handles == 0 {
		m.used -= int64(n.cur.blocks) * pageSize
	}
}

func split(name string) []string {
	name = name[len(filepath.VolumeName(name)):]
	name = filepath.Clean(string(filepath.Separator) + name)
	return strings.FieldsFunc(name, func(r rune) bool { return r == filepath.Separator })
}

func (m *FS) lookup(name string) (*node, error) { return m.resolve(split(name)) }

func (m *FS) resolve(path []string) (*node, error) {
	n := m.root
	for _, base := range path {
		if !n.isDir {
			return nil, syscall.ENOTDIR
		}
		if n = n.names[base]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

func (m *FS) lookupDir(name string) (*node, error) {
	n, err := m.lookup(name)
	if err == nil && !n.isDir {
		err = syscall.ENOTDIR
	}
	return n, err
}

// parent returns the directory of name and its name there, which is empty for
// the root.
func (m *FS) parent(name string) (*node, string, error) {
	path := split(name)
	if len(path) == 0 {
		return m.root, "", nil
	}
	dir, err := m.resolve(path[:len(path)-1])
	if err == nil && !dir.isDir {
		err = syscall.ENOTDIR
	}
	return dir, path[len(path)-1], err
}

// contains reports whether dir is n or below it.
func (n *node) contains(dir *node) bool {
	if n == dir {
		return true
	}
	for _, child := range n.names {
		if child.isDir && child.contains(dir) {
			return true
		}
	}
	return false
}
