//go:build !long

package restart_test

// everyPlace has tests try every offset of a file, not a choice of them.
const everyPlace = false
