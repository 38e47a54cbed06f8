//go:build long

package restart_test

const (
	crashStates     = 40
	crashRecoveries = 40
)

const everyFault = true

const zombieBursts = 2000
