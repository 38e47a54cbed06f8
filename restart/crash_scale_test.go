//go:build !long

package restart_test

// How much the crash enumeration tries: crash states a file operation, and
// recoveries, of 1000, in which the machine stops again.
const (
	crashStates     = 6
	crashRecoveries = 2
)

// everyFault has the fault tests try every file operation, with every failure.
const everyFault = false

// zombieBursts is how often the zombie test lets everything happen at once.
const zombieBursts = 40
