//go:build !linux

package main

// openFiles returns how many files this process has open; false: unknown.
func openFiles() (int, bool) { return 0, false }

// residentBytes returns how much of this process is in memory; false: unknown.
func residentBytes() (int64, bool) { return 0, false }
