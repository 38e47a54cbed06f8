//go:build invariants

package invariant

// Enabled says that this build checks invariants.
const Enabled = true

// Check panics with msg, which names the package and the invariant, if cond is
// false.
func Check(cond bool, msg string) {
	if !cond {
		panic("invariant broken: " + msg)
	}
}
