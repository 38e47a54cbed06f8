package fuzz

import (
	"sync"

	"github.com/fastrestart/frs/vfs/memfs"
)

// trap stops the machine at a file operation that the program chose, while an
// operation of the workload, or one in the background, is under way.
type trap struct {
	mu     sync.Mutex
	fs     *memfs.FS
	after  int // file operations
	kill   bool
	crash  memfs.Crash
	caught *memfs.FS // what is left
	progress
	at progress // when it was caught
}

// progress is how far a workload has come.
type progress struct {
	issued  int // operations that were begun
	durable int // of those, known to be durable
}

// set arms the trap: the machine stops after so many file operations.
func (t *trap) set(fs *memfs.FS, after int, kill bool, crash memfs.Crash) {
	t.mu.Lock()
	t.fs, t.after, t.kill, t.crash, t.caught = fs, after, kill, crash, nil
	t.mu.Unlock()
	fs.OnOp(func(memfs.Op) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.after--; t.after < 0 {
			t.springLocked()
		}
	})
}

func (t *trap) springLocked() {
	if t.caught != nil || t.fs == nil {
		return
	}
	t.at = t.progress
	if t.kill {
		t.caught = t.fs.KillClone()
	} else {
		t.caught = t.fs.CrashClone(t.crash)
	}
}

// spring stops the machine now, if it has not stopped yet, and returns what is
// left and how far the workload had come.
func (t *trap) spring() (*memfs.FS, progress) {
	t.mu.Lock()
	t.springLocked()
	fs := t.fs
	t.fs = nil
	t.mu.Unlock()
	fs.OnOp(nil)
	return t.caught, t.at
}

// sprung reports whether the machine has stopped.
func (t *trap) sprung() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fs != nil && t.caught != nil
}

func (t *trap) armed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fs != nil
}

// drive does steps until the program ends; revive goes on with what the trap
// left.
func (t *trap) drive(p *program, step, revive func()) {
	for n := 0; n < 150 && !p.done(); n++ {
		step()
		if t.sprung() {
			revive()
		}
	}
	if t.armed() {
		revive()
	}
}

// begin and end are called around each operation.
func (t *trap) begin(issued int) {
	t.mu.Lock()
	t.issued = issued
	t.mu.Unlock()
}

func (t *trap) end(durable int) {
	t.mu.Lock()
	t.durable = durable
	t.mu.Unlock()
}

// crashOf returns the crash that a program describes: a choice for each
// operation that no sync covers, or a random one.
func crashOf(p *program) (kill bool, c memfs.Crash) {
	switch p.below(6) {
	case 0:
		return true, c
	case 1:
		return false, memfs.Nothing()
	case 2:
		return false, memfs.Everything()
	case 3:
		bits := p.uint16()
		return false, memfs.Crash{Choose: func(op memfs.Op) memfs.Fate {
			if op.Seq%3 == 0 && bits&0x8000 != 0 {
				return memfs.Torn(1)
			}
			return memfs.Fate{Happened: bits>>(op.Seq%15)&1 == 1}
		}}
	default:
		return false, memfs.Random(uint64(p.byte()))
	}
}
