package crashtest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fastrestart/frs/crashtest"
)

var workload = []string{
	"a", "b", strings.Repeat("c", 2000), "compact", "d", "e", "f", "g", strings.Repeat("h", 1200), "i", "compact", "j",
}

func TestRightToyPasses(t *testing.T) {
	c := toyConfig("", workload...)
	c.Recovery, c.Resume = 1000, 2
	c.Faults = crashtest.AllFaults()
	r := crashtest.Run(t, c)
	if r.Distinct < 500 || r.RecoveryPoints < 500 || r.Faults < 100 || r.CutShort > 0 {
		t.Errorf("%v: too few", r)
	}
}

// Each mistake is found by what is said to find it.
func TestMistakesAreFound(t *testing.T) {
	for _, c := range []struct {
		wrong    mistake
		recovery int
		resume   int
		says     string
		faults   []crashtest.Schedule
		ops      []string
	}{
		{wrong: "forget the directory"},
		{wrong: "acknowledge before fsync"},
		{wrong: "no checksum"},
		{wrong: "zeros are records"},
		{wrong: "append to the old file"},
		{wrong: "rename before sync"},
		{wrong: "replace in place"},
		{wrong: "remove first"},
		{wrong: "remove before the rename is durable"},
		{wrong: "believe old segments"},
		{wrong: "recovery removes too early", recovery: 1000, resume: 2},
		{wrong: "show what is not durable", recovery: 1000, says: "one recovery showed"},
		{wrong: "read error is the end", resume: 2, faults: crashtest.AllFaults()},
		{wrong: "ignore a failed write", resume: 2, faults: crashtest.AllFaults()},
		{wrong: "go on after a failure", resume: 2, faults: crashtest.AllFaults()},
		{wrong: "sync again", resume: 2, faults: []crashtest.Schedule{crashtest.FailSync()}},
		{wrong: "trust the page cache", resume: 2, faults: []crashtest.Schedule{crashtest.FailSync()}, ops: []string{"a", "b", "c", "d"}},
		{wrong: "reuse the temporary file", resume: 2, faults: []crashtest.Schedule{crashtest.FailSync()}},
	} {
		t.Run(string(c.wrong), func(t *testing.T) {
			if c.ops == nil {
				c.ops = workload
			}
			config := toyConfig(c.wrong, c.ops...)
			config.Recovery = c.recovery
			if config.Recovery == 0 {
				config.Recovery = -1
			}
			config.Faults, config.Resume = c.faults, c.resume
			r, err := crashtest.Enumerate(config)
			var f *crashtest.Failure
			if !errors.As(err, &f) {
				t.Fatalf("not found: %v, %v", r, err)
			}
			if (f.Fault != "") != (c.faults != nil) || strings.Contains(f.Crash, "recovery, and then") != (c.recovery > 0) {
				t.Errorf("found, but not as expected: %v", f)
			}
			if !strings.Contains(f.Err.Error(), c.says) {
				t.Errorf("%v, want %q", f.Err, c.says)
			}
		})
	}
}
