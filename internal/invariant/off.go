//go:build !invariants

package invariant

// Enabled says that this build checks invariants.
const Enabled = false

// Check does nothing in this build.
func Check(cond bool, msg string) {}
