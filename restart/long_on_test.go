//go:build long

package restart_test

const everyPlace = true
