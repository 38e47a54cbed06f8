package invariant_test

import (
	"strings"
	"testing"

	"github.com/fastrestart/frs/internal/invariant"
)

// A broken invariant must stop a build that checks, and cost another nothing.
func TestCheck(t *testing.T) {
	var got any
	func() {
		defer func() { got = recover() }()
		invariant.Check(false, "pkg: sky is green")
	}()
	switch {
	case !invariant.Enabled && got != nil:
		t.Fatalf("Check panicked in a build without invariants: %v", got)
	case invariant.Enabled && got == nil:
		t.Fatal("Check let a broken invariant pass")
	case invariant.Enabled && !strings.Contains(got.(string), "pkg: sky is green"):
		t.Fatalf("panic %q does not name the invariant", got)
	}
	invariant.Check(true, "holds") // must not panic in any build
}
