package crashtest_test

import (
	"strings"
	"testing"

	"github.com/fastrestart/frs/crashtest"
)

var workload = []string{
	"a", "b", strings.Repeat("c", 2000), "compact", "d", "e", "f", "g", strings.Repeat("h", 1200), "i", "compact", "j",
}

func TestRightToyPasses(t *testing.T) {
	c := toyConfig("", workload...)
	c.Recovery = 1000
	r := crashtest.Run(t, c)
	if r.Distinct < 60 || r.RecoveryPoints == 0 || r.Acked != len(workload) {
		t.Errorf("%v: too few", r)
	}
}

func TestCrashesFindMistakes(t *testing.T) {
	for _, wrong := range []mistake{
		"forget the directory", "acknowledge before fsync", "no checksum", "zeros are records",
		"append to the old file", "rename before sync", "replace in place", "remove first",
		"remove before the rename is durable", "believe old segments",
	} {
		t.Run(string(wrong), func(t *testing.T) {
			r, err := crashtest.Enumerate(toyConfig(wrong, workload...))
			if err == nil {
				t.Fatalf("not found: %v", r)
			}
			t.Log(err)
		})
	}
}
