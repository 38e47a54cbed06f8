package crashtest_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/fastrestart/frs/crashtest"
	"github.com/fastrestart/frs/vfs"
)

// Log is a log of lines in one file, which somebody has just written. Two
// lines of it can be left out.
type Log struct {
	file  vfs.File
	size  int64
	lines []string
	cfg   LogConfig
}

// LogConfig says what to leave out.
type LogConfig struct{ NoDirectorySync, NoFileSync bool }

// Open opens or creates the log. What stands behind the last newline was never
// acknowledged; it is cut off.
func (cfg LogConfig) Open(fsys vfs.FS, dir string) (*Log, error) {
	name := filepath.Join(dir, "lines")
	file, err := fsys.OpenWrite(name)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = fsys.Create(name)
	}
	if err != nil {
		return nil, err
	}
	l := &Log{file: file, cfg: cfg}
	if !cfg.NoDirectorySync {
		err = fsys.SyncDir(dir)
	}
	if err == nil {
		err = l.read()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return l, nil
}

func (l *Log) read() error {
	size, err := l.file.Size()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.NewSectionReader(l.file, 0, size))
	if err != nil {
		return err
	}
	lines := strings.SplitAfter(string(data), "\n")
	for _, line := range lines[:len(lines)-1] {
		l.lines = append(l.lines, strings.TrimSuffix(line, "\n"))
		l.size += int64(len(line))
	}
	return errors.Join(l.file.Truncate(l.size), l.file.Sync())
}

// Append returns when the line is durable, or so it says.
func (l *Log) Append(line string) error {
	n, err := l.file.WriteAt([]byte(line+"\n"), l.size)
	if err == nil && !l.cfg.NoFileSync {
		err = l.file.SyncData()
	}
	if err == nil {
		l.size += int64(n)
		l.lines = append(l.lines, line)
	}
	return err
}

// Close closes the file.
func (l *Log) Close() error { return l.file.Close() }

// crashLog is all that it takes to test the log.
func crashLog(cfg LogConfig) crashtest.Config[*Log, string] {
	return crashtest.Config[*Log, string]{
		Ops:   []string{"one", "two", "three"},
		Open:  cfg.Open,
		Apply: (*Log).Append,
		Close: (*Log).Close,
		Check: func(fsys vfs.FS, dir string, c crashtest.Crash[string]) error {
			l, err := cfg.Open(fsys, dir)
			if err != nil {
				return err
			}
			defer l.Close()
			return c.Records(len(l.lines), func(i, op int) bool { return l.lines[i] == c.Issued[op] })
		},
	}
}

// explain prints the shortest way to the failure, as [crashtest.Run] does.
func explain(config crashtest.Config[*Log, string]) {
	_, err := crashtest.Enumerate(config)
	var f *crashtest.Failure
	if !errors.As(err, &f) {
		fmt.Println("passes:", err == nil)
		return
	}
	_, f, _ = crashtest.Shrink(config, f)
	fmt.Println(f.Err)
	fmt.Println(f.Crash)
}

// The log as it should be.
func Example() {
	explain(crashLog(LogConfig{}))
	// Output:
	// passes: true
}

// A new file is durable, and its name is not. No kill -9 finds this, and on
// ext4, XFS and btrfs no power cut either.
func Example_forgottenDirectorySync() {
	explain(crashLog(LogConfig{NoDirectorySync: true}))
	// Output:
	// operation 0 (one) is lost, it was acknowledged as durable
	// crash 5/0 after the answer to operation 0: 1 issued, 1 acknowledged, 1 durable
	//   3 create /db/lines: lost
}

// The log acknowledges what only the page cache has.
func Example_acknowledgedBeforeSync() {
	explain(crashLog(LogConfig{NoFileSync: true}))
	// Output:
	// operation 0 (one) is lost, it was acknowledged as durable
	// crash 5/0 after the answer to operation 0: 1 issued, 1 acknowledged, 1 durable
	//   6 write /db/lines [0, +4): lost
}

// A sync that fails leaves pages that are clean and not on disk. The log should
// have given up; it goes on in the same file, and the next sync succeeds.
func Example_faults() {
	config := crashLog(LogConfig{})
	config.Faults = []crashtest.Schedule{crashtest.FailSync()}
	explain(config)
	// Output:
	// operation 1 (three) is lost, it was acknowledged as durable
	// crash each sync fails once#2/0/0 after operation 9 of the disk: 2 issued, 1 acknowledged, 2 durable
	//   fault: each sync fails once#2
	//   nothing was unsynced
}

// A history of concurrent clients, checked after the fact.
func ExampleHistory() {
	var h crashtest.History

	put := h.Write("color", "red")
	get := h.Read("color")
	get.Saw("red", nil) // a write under way may be seen
	put.Done(nil)

	get = h.Read("color")
	get.Saw("", nil) // and then it is gone
	fmt.Println(h.Linearizable())
	fmt.Println(h.Monotonic())
	// Output:
	// key color is not linearizable:
	//   [1, 4] write color: "red"
	//   [2, 3] read color: "red"
	//   [5, 6] read color: ""
	// key color: [5, 6] read color: "", after [2, 3] read color: "red"
}
