//go:build !long

package restart_test

// How much the crash enumeration tries: crash states a file operation, and
// recoveries, of 1000, in which the machine stops again.
const (
	crashStates     = 6
	crashRecoveries = 3
)
