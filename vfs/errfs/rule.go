package errfs

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"path/filepath"
	"sync"

	"github.com/fastrestart/frs/vfs"
)

// Forever as Rule.Times hits every matching operation from the first on.
const Forever = -1

// Rule says which operations are hit and what happens to them. The zero value
// hits the first operation of any kind and does nothing to it.
type Rule struct {
	// Kinds, Name and Match select operations: those of the kinds (0: any),
	// whose base name the pattern of [filepath.Match] fits ("": any), and that
	// Match accepts (nil: any).
	Kinds Kind
	Name  string
	Match func(Op) bool

	// Skip lets that many selected operations through; the Times next ones
	// are hit. 0 means one, [Forever] all.
	Skip  int
	Times int

	// Before is called before the operation, without any lock held: it may
	// block, to delay the operation, or look at the file system. After is
	// called after it with its result.
	Before func(Op)
	After  func(Op, error)

	// Err fails the operation. If it is nil the operation is done as usual. If
	// several rules with an error hit, the first one's counts.
	Err error
	// Done has the operation take its full effect before it fails.
	Done bool
	// Short is how many bytes a failing Read or Write does before it fails. If
	// Err is nil then, it is io.ErrShortWrite or io.ErrUnexpectedEOF, and a
	// Length not above Short is no failure.
	Short int

	// Alter changes the bytes in place that a Read returns or a Write is about
	// to write, of which it gets a copy.
	Alter func(op Op, p []byte)
}

// Injection is a rule at work.
type Injection struct {
	fs   *FS
	rule Rule

	mu   sync.Mutex
	seen int
	hits int
}

// Hits returns how many operations were hit.
func (i *Injection) Hits() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.hits
}

// Seen returns how many operations were selected, those skipped included.
func (i *Injection) Seen() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.seen
}

// Remove ends the rule. Operations under way are still hit.
func (i *Injection) Remove() { i.fs.remove(i) }

// hit counts an operation and reports whether the rule is to act on it.
func (i *Injection) hit(op Op) bool {
	if !i.rule.selects(op) {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.seen++
	if i.seen <= i.rule.Skip || i.rule.Times >= 0 && i.hits >= max(1, i.rule.Times) {
		return false
	}
	i.hits++
	return true
}

func (r *Rule) selects(op Op) bool {
	if r.Kinds != 0 && r.Kinds&op.Kind == 0 {
		return false
	}
	if r.Name != "" {
		if ok, _ := filepath.Match(r.Name, filepath.Base(op.Name)); !ok {
			return false
		}
	}
	return r.Match == nil || r.Match(op)
}

// Every yields 0 and a wrapped file system whose first selected operation
// fails, 1 and another whose second does, and so on. It ends after the first
// round in which the rule hit nothing. Each round gets a file system from open;
// Skip is added to the round's number.
func Every(open func() vfs.FS, rule Rule) iter.Seq2[int, *FS] {
	return func(yield func(int, *FS) bool) {
		for i := 0; ; i++ {
			e := Wrap(open())
			r := rule
			r.Skip += i
			inj := e.Inject(r)
			if !yield(i, e) || inj.Hits() == 0 {
				return
			}
		}
	}
}

// verdict is what all rules together do to one operation.
type verdict struct {
	op    Op
	err   error // wrapped; nil: as usual
	raw   error // as the rule says it
	done  bool
	short int
	alter []func(Op, []byte)
	after []func(Op, error)
}

// add takes in a rule that hit.
func (v *verdict) add(r *Rule) {
	if r.Alter != nil {
		v.alter = append(v.alter, r.Alter)
	}
	if r.After != nil {
		v.after = append(v.after, r.After)
	}
	if v.err != nil {
		return
	}
	err := r.Err
	if err == nil && r.Short > 0 && v.op.Length > int64(r.Short) {
		switch v.op.Kind {
		case Read:
			err = io.ErrUnexpectedEOF
		case Write:
			err = io.ErrShortWrite
		}
	}
	if err != nil {
		v.raw, v.done, v.short = err, r.Done, r.Short
		v.err = &fs.PathError{Op: v.op.Kind.String(), Path: v.op.Name, Err: err}
	}
}

// do runs an operation without parts: not at all, fully, or fully and failing.
func (v *verdict) do(op func() error) error {
	err := v.err
	if err == nil || v.done {
		if derr := op(); err == nil || derr != nil && !v.done {
			err = derr
		}
	}
	v.finish(err)
	return err
}

// sync is do for a sync: if it fails, fail does it as kernels do.
func (v *verdict) sync(op func() error, fail func(error) error) error {
	if v.err == nil || v.done {
		return v.do(op)
	}
	err := fail(v.raw)
	if err == nil || errors.Is(err, v.raw) {
		err = v.err
	}
	v.finish(err)
	return err
}

func (v *verdict) finish(err error) {
	for _, after := range v.after {
		after(v.op, err)
	}
}
