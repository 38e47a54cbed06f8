// Package lint holds the rules of this repository that a compiler does not
// know, as code that reads its source: which package may import which, what
// libraries may depend on, which calls have no place in a library, and what
// every file owes its reader. The package's tests apply them to the repository.
//
// A rule that has to be broken somewhere is broken in rules_test.go, in a list
// of exceptions, each with its reason. An exception that nothing needs any more
// fails the tests too.
package lint
