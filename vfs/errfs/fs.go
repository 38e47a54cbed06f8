package errfs

import (
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fastrestart/frs/vfs"
)

// FS is a file system whose operations rules may hit. All methods may be called
// concurrently.
type FS struct {
	inner  vfs.FS
	counts [kinds]atomic.Int64
	rules  atomic.Pointer[[]*Injection] // replaced, never changed
	space  space

	mu   sync.Mutex
	open map[any]string // handles and locks, with their names
}

var _ vfs.FS = (*FS)(nil)

// Wrap returns a wrapped file system with rules.
func Wrap(inner vfs.FS, rules ...Rule) *FS {
	e := &FS{inner: inner, open: map[any]string{}}
	e.rules.Store(&[]*Injection{})
	for _, r := range rules {
		e.Inject(r)
	}
	return e
}

// Inject adds a rule after those that are there.
func (e *FS) Inject(r Rule) *Injection {
	e.mu.Lock()
	defer e.mu.Unlock()
	inj := &Injection{fs: e, rule: r}
	rules := append(slices.Clone(*e.rules.Load()), inj)
	e.rules.Store(&rules)
	return inj
}

func (e *FS) remove(inj *Injection) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rules := slices.DeleteFunc(slices.Clone(*e.rules.Load()), func(i *Injection) bool { return i == inj })
	e.rules.Store(&rules)
}

// Clear removes all rules.
func (e *FS) Clear() { e.rules.Store(&[]*Injection{}) }

// Count returns how many operations of the kinds have begun.
func (e *FS) Count(kinds Kind) int64 {
	var n int64
	for i := range e.counts {
		if kinds&(1<<i) != 0 {
			n += e.counts[i].Load()
		}
	}
	return n
}

// OpenFiles returns the names of all open files and held locks, sorted, one
// name for each handle.
func (e *FS) OpenFiles() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var names []string
	for _, name := range e.open {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Inner returns the wrapped file system.
func (e *FS) Inner() vfs.FS { return e.inner }

// begin counts an operation, asks the rules and waits as they say.
func (e *FS) begin(op Op) verdict {
	e.counts[op.Kind.index()].Add(1)
	v := verdict{op: op}
	for _, inj := range *e.rules.Load() {
		if inj.hit(op) {
			if inj.rule.Before != nil {
				inj.rule.Before(op)
			}
			v.add(&inj.rule)
		}
	}
	return v
}

// do is an operation on names.
func (e *FS) do(op Op, fn func() error) error {
	v := e.begin(op)
	return v.do(fn)
}

func (e *FS) track(handle any, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open[handle] = name
}

func (e *FS) untrack(handle any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.open, handle)
}

// Create implements [vfs.FS].
func (e *FS) Create(name string) (vfs.File, error) { return e.file(Create, name, e.inner.Create) }

// Open implements [vfs.FS].
func (e *FS) Open(name string) (vfs.File, error) { return e.file(Open, name, e.inner.Open) }

// OpenWrite implements [vfs.FS].
func (e *FS) OpenWrite(name string) (vfs.File, error) {
	return e.file(OpenWrite, name, e.inner.OpenWrite)
}

func (e *FS) file(kind Kind, name string, open func(string) (vfs.File, error)) (vfs.File, error) {
	var inner vfs.File
	err := e.do(Op{Kind: kind, Name: name}, func() (err error) {
		inner, err = open(name)
		return err
	})
	if err != nil {
		if inner != nil { // opened, and failed then
			inner.Close()
		}
		return nil, err
	}
	f := &file{fs: e, inner: inner}
	e.track(f, name)
	return f, nil
}

// Rename implements [vfs.FS].
func (e *FS) Rename(oldname, newname string) error {
	return e.do(Op{Kind: Rename, Name: oldname, NewName: newname}, func() error {
		return e.inner.Rename(oldname, newname)
	})
}

// Link implements [vfs.FS].
func (e *FS) Link(oldname, newname string) error {
	return e.do(Op{Kind: Link, Name: oldname, NewName: newname}, func() error {
		return e.inner.Link(oldname, newname)
	})
}

// Remove implements [vfs.FS].
func (e *FS) Remove(name string) error {
	return e.do(Op{Kind: Remove, Name: name}, func() error { return e.inner.Remove(name) })
}

// MkdirAll implements [vfs.FS].
func (e *FS) MkdirAll(name string) error {
	return e.do(Op{Kind: Mkdir, Name: name}, func() error { return e.inner.MkdirAll(name) })
}

// List implements [vfs.FS].
func (e *FS) List(dir string) (names []string, err error) {
	err = e.do(Op{Kind: List, Name: dir}, func() (err error) {
		names, err = e.inner.List(dir)
		return err
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}

// Stat implements [vfs.FS].
func (e *FS) Stat(name string) (info vfs.Info, err error) {
	err = e.do(Op{Kind: Stat, Name: name}, func() (err error) {
		info, err = e.inner.Stat(name)
		return err
	})
	if err != nil {
		return vfs.Info{}, err
	}
	return info, nil
}

// SyncDir implements [vfs.FS].
func (e *FS) SyncDir(dir string) error {
	v := e.begin(Op{Kind: SyncDir, Name: dir})
	return v.sync(
		func() error { return e.inner.SyncDir(dir) },
		func(err error) error { return e.FailSync(dir, err) },
	)
}

// FailSync passes a failing sync of a file or directory on to a file system
// that can do it, as memfs can.
func (e *FS) FailSync(name string, err error) error {
	if inner, ok := e.inner.(interface{ FailSync(string, error) error }); ok {
		return inner.FailSync(name, err)
	}
	return nil
}

// Lock implements [vfs.FS]. What an exclusive lock writes is a Write.
func (e *FS) Lock(name string, mode vfs.LockMode) (io.Closer, error) {
	var inner io.Closer
	err := e.do(Op{Kind: Lock, Name: name}, func() (err error) {
		inner, err = e.inner.Lock(name, mode)
		return err
	})
	if err != nil {
		if inner != nil { // locked, and failed then
			inner.Close()
		}
		return nil, err
	}
	l := &lock{fs: e, inner: inner, name: name}
	e.track(l, name)
	if w, ok := inner.(io.WriterAt); ok {
		return &writerLock{lock: l, w: w}, nil
	}
	return l, nil
}

// Free implements [vfs.FS]. A limit by [FS.LimitGrowth] counts.
func (e *FS) Free(dir string) (free, total int64, err error) {
	free, total, err = e.inner.Free(dir)
	return e.space.free(free), total, err
}

// LimitGrowth lets files grow by n bytes in all from now on, by writing,
// truncating or allocating; then they fail with syscall.ENOSPC, a write after
// the part that fits. Removing files gives nothing back. A negative n ends the
// limit. For exact accounting use memfs.FS.SetCapacity instead.
func (e *FS) LimitGrowth(n int64) { e.space.limit(n) }
