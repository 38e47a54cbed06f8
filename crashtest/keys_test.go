package crashtest_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/fastrestart/frs/crashtest"
	"github.com/fastrestart/frs/vfs"
)

// told plays a workload whose operations are "key=value" or "a=1,b=2" on a
// system that writes one byte for each and never fails, and returns the crash
// at the end. An operation with a "!" fails, one with a "~" promises nothing.
func told(t *testing.T, clients int, ops string) crashtest.Crash[string] {
	var last crashtest.Crash[string]
	var gate chan struct{}
	if clients > 1 {
		gate = make(chan struct{})
	}
	list := strings.Fields(ops)
	_, err := crashtest.Enumerate(crashtest.Config[vfs.File, string]{
		Ops: list, Clients: clients, Workers: 1, Recovery: -1,
		Open: func(fsys vfs.FS, dir string) (vfs.File, error) { return fsys.Create(dir + "/x") },
		Apply: func(f vfs.File, op string) error {
			if gate != nil { // all at once
				select {
				case gate <- struct{}{}:
				case <-gate:
				}
			}
			return nil
		},
		Close: vfs.File.Close,
		Promise: func(op string) crashtest.Promise {
			if strings.Contains(op, "~") {
				return crashtest.DurableNothing
			}
			return crashtest.DurableSelf
		},
		Check: func(_ vfs.FS, _ string, c crashtest.Crash[string]) error {
			if len(c.Issued) == len(list) && (c.Acked == len(list)) {
				last = c
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, op := range last.Issued {
		if strings.Contains(op, "!") {
			last.Status[i] = crashtest.Failed
		}
	}
	return last
}

func writes(op string) (ws []crashtest.Write) {
	for w := range strings.SplitSeq(strings.Trim(op, "!~"), ",") {
		key, value, _ := strings.Cut(w, "=")
		ws = append(ws, crashtest.Write{Key: key, Value: value, Delete: value == ""})
	}
	return ws
}

func parseMap(text string) map[string]string {
	m := map[string]string{}
	for w := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(w, "=")
		m[key] = value
	}
	return m
}

func TestMap(t *testing.T) {
	for _, c := range []struct {
		what, ops, got string
		clients        int
		ok             bool
	}{
		{"all there", "a=1 b=2 a=3", "a=3 b=2", 1, true},
		{"a durable write is lost", "a=1 b=2 a=3", "a=1 b=2", 1, false},
		{"a durable key is lost", "a=1 b=2", "a=1", 1, false},
		{"a value of nobody", "a=1", "a=7", 1, false},
		{"a key of nobody", "a=1", "a=1 z=1", 1, false},
		{"deleted", "a=1 a=", "", 1, true},
		{"a deleted key is back", "a=1 a=", "a=1", 1, false},
		{"the end is lost without a promise", "a=1 ~a=2 ~b=3", "a=1", 1, true},
		{"the last one is lost", "a=1 ~a=2 ~b=3", "a=2", 1, true},
		{"the middle one is lost", "a=1 ~a=2 ~b=3", "a=1 b=3", 1, false},
		{"a failed one is there", "a=1 !a=2 b=3", "a=2 b=3", 1, true},
		{"a failed one is not there", "a=1 !a=2 b=3", "a=1 b=3", 1, true},
		{"a failed one hides no later one", "a=1 !a=2 a=3", "a=2", 1, false},
		{"a failed delete", "a=1 !a= b=3", "b=3", 1, true},
		{"half a batch", "a=1,b=1 ~a=2,b=2 ~c=3", "a=2 b=1", 1, false},
		{"a batch", "a=1,b=1 ~a=2,b=2 ~c=3", "a=2 b=2", 1, true},
		{"at once, one wins", "a=1 a=2", "a=1", 2, true},
		{"at once, the other wins", "a=1 a=2", "a=2", 2, true},
		{"at once, none is there", "a=1 a=2", "", 2, false},
		{"two at a time, the first two are lost", "a=1 a=2 b=3 a=4", "a=1 b=3", 2, false},
	} {
		err := told(t, c.clients, c.ops).Map(parseMap(c.got), writes)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestSurvivors(t *testing.T) {
	for _, c := range []struct {
		what, ops, survived string // a digit for each survivor
		ok                  bool
	}{
		{"all", "a b c", "012", true},
		{"a durable one is lost", "a b c", "02", false},
		{"the end", "~a ~b ~c", "0", true},
		{"nothing", "~a ~b ~c", "", true},
		{"a hole", "~a ~b ~c", "02", false},
		{"a hole where one failed", "~a !b ~c", "02", true},
		{"a promise in the middle", "~a b ~c", "1", false},
		{"up to the promise", "~a b ~c", "01", true},
	} {
		crash := told(t, 1, c.ops)
		err := crash.Survivors(func(i int) bool { return strings.Contains(c.survived, strconv.Itoa(i)) })
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	if err := told(t, 1, "a b").Prefix(3); err == nil {
		t.Error("more survivors than operations")
	}
}
