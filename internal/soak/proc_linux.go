package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// openFiles returns how many files and directories this process has open; false:
// unknown. Pipes, and what the runtime polls with, do not count.
func openFiles() (n int, ok bool) {
	const dir = "/proc/self/fd"
	list, err := os.ReadDir(dir)
	for _, fd := range list {
		// The one that was opened for the list is gone again.
		name, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if err == nil && strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "/dev/") {
			n++
		}
	}
	return n, err == nil
}

// residentBytes returns how much of this process is in memory; false: unknown.
func residentBytes() (int64, bool) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0, false
	}
	return resident * int64(os.Getpagesize()), true
}
