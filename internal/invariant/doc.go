// Package invariant checks what must always hold, in builds that ask for it.
//
// With the build tag "invariants" (go test -tags invariants ./...) [Enabled]
// is true and [Check] panics when its condition is false. Without it Enabled
// is the constant false and Check is an empty function that the compiler
// removes. Conditions that cost something to compute belong into a branch, so
// that they vanish as well:
//
//	if invariant.Enabled {
//		invariant.Check(list.sorted(), "wal: segments out of order")
//	}
//
// A broken invariant is a defect of this library, never of its input: damaged
// files and failing disks are reported as errors in every build.
package invariant
