// Package mutants plants mistakes in the log and the store and expects a named
// test to find each. It has tests only.
//
//	make mutants                                                   all of them, some minutes
//	go test -tags long -v -run Mutants/ack ./internal/mutants      those with "ack" in their name
//
// A mistake is a patch in testdata/mutants at the root of the repository:
//
//	# What: one line
//	# Killed-By: ./wal TestCrash
//	--- a/wal/flush.go
//	+++ b/wal/flush.go
//	@@ -151,8 +151,8 @@
//	...
//
// Killed-By names a package and the argument of -run. The patched file takes
// the place of the real one by `go test -overlay`; nothing is written to the
// source tree. A mutant that the test does not find is a failure, and so is a
// patch that does not apply: then its place has changed and it has to be made
// anew, since nobody knows whether its mistake would still be found.
//
// Beside the patches every call of Sync, SyncData and SyncDir in the packages
// that write files is turned off in turn. testdata/mutants/syncs.txt has one
// line for each, with the test that finds it, or with the reason why it does no
// harm. A call that is not in the list fails, so a new sync comes with a test.
//
// Without the tag long only patches and list are checked against the source.
package mutants
