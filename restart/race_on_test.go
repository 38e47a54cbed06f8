//go:build race

package restart_test

const raceEnabled = true
