package crashtest_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fastrestart/frs/crashtest"
	"github.com/fastrestart/frs/vfs"
	"github.com/fastrestart/frs/vfs/errfs"
)

func failureOf[S, Op any](t *testing.T, c crashtest.Config[S, Op]) *crashtest.Failure {
	t.Helper()
	_, err := crashtest.Enumerate(c)
	var f *crashtest.Failure
	if !errors.As(err, &f) {
		t.Fatalf("found %v, want a failure", err)
	}
	return f
}

func TestShrinkFindsTheShortestList(t *testing.T) {
	var ops []string
	for i := range 40 {
		ops = append(ops, fmt.Sprint("r", i))
		if i%10 == 7 {
			ops = append(ops, "compact")
		}
	}
	for _, c := range []struct {
		wrong mistake
		want  int
	}{
		{"rename before sync", 2},     // an append and a compaction
		{"forget the directory", 2},   // the second one to say that the first is durable
		{"believe old segments", 2},   // an append and a compaction
		{"remove first", 2},           // an append and a compaction
		{"append to the old file", 1}, // the first append
	} {
		config := toyConfig(c.wrong, ops...)
		config.Recovery = -1
		f := failureOf(t, config)
		small, g, runs := crashtest.Shrink(config, f)
		if len(small.Ops) > c.want || runs > 200 {
			t.Errorf("%s: %d operations after %d runs, want %d: %v", c.wrong, len(small.Ops), runs, c.want, g)
		}
	}
}

func TestShrinkKeepsToTheFault(t *testing.T) {
	config := toyConfig("sync again", workload...)
	config.Resume, config.Faults = 2, crashtest.AllFaults()
	f := failureOf(t, config)
	small, g, _ := crashtest.Shrink(config, f)
	if f.Fault == "" || g.Fault == "" || len(small.Faults) != 1 || len(small.Ops) > 4 {
		t.Errorf("%d operations, %d schedules: %v", len(small.Ops), len(small.Faults), g)
	}
}

// Whatever fails can be seen again by its ID, and alone.
func TestOnlyRunsTheStateAgain(t *testing.T) {
	for _, c := range []struct {
		wrong  mistake
		resume int
		faults []crashtest.Schedule
	}{
		{wrong: "rename before sync"},
		{wrong: "recovery removes too early", resume: 2},
		{wrong: "show what is not durable"},
		{wrong: "sync again", faults: []crashtest.Schedule{crashtest.FailSync()}},
	} {
		config := toyConfig(c.wrong, workload...)
		config.Recovery, config.Resume, config.Faults = 1000, c.resume, c.faults
		f := failureOf(t, config)
		config.Only = f.ID
		r, err := crashtest.Enumerate(config)
		var again *crashtest.Failure
		if !errors.As(err, &again) {
			t.Errorf("%s: %q alone gives %v", c.wrong, f.ID, err)
		} else if again.Crash != f.Crash || again.Err.Error() != f.Err.Error() || r.Distinct > 2 {
			t.Errorf("%s: not the same:\n%v\n%v\n%v", c.wrong, f, again, r)
		}
	}
	config := toyConfig("", workload...)
	config.Only = "12345/0"
	if _, err := crashtest.Enumerate(config); err == nil {
		t.Error("a state that does not exist passes")
	}
}

// With one client and one worker everything is repeatable, counts included.
func TestRunsAreRepeatable(t *testing.T) {
	config := toyConfig("", workload...)
	config.Workers = 1
	a, b := crashtest.Run(t, config), crashtest.Run(t, config)
	config.Seed = 2
	c := crashtest.Run(t, config)
	if a != b {
		t.Errorf("two runs differ:\n%v\n%v", a, b)
	}
	if c.Seed = a.Seed; c == a {
		t.Error("the seed changes nothing")
	}
}

// recordedTB is a test that may fail.
type recordedTB struct{ log, fatal string }

func (r *recordedTB) Helper()                      {}
func (r *recordedTB) Logf(f string, args ...any)   { r.log += fmt.Sprintf(f, args...) }
func (r *recordedTB) Fatalf(f string, args ...any) { r.fatal += fmt.Sprintf(f, args...) }

func TestRunSaysWhatIsNeededToSeeItAgain(t *testing.T) {
	tb := &recordedTB{}
	config := toyConfig("rename before sync", workload...)
	config.Recovery = -1
	crashtest.Run(tb, config)
	for _, want := range []string{
		"toy: damaged", "rename /db/snap.tmp /db/snap: kept", "write /db/snap.tmp", ": lost",
		"compact (in doubt)", "Seed: 1", `Only: "`, "shrunk from 12 operations to 1",
	} {
		if !strings.Contains(tb.fatal, want) {
			t.Errorf("no %q in: %s", want, tb.fatal)
		}
	}
	if !strings.Contains(tb.log, "crash points") {
		t.Errorf("no report: %s", tb.log)
	}
}

func TestWorkloadThatFailsItself(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		what, says string
		change     func(*crashtest.Config[*toy, string])
	}{
		{"Open fails", "open: boom", func(c *crashtest.Config[*toy, string]) {
			c.Open = func(vfs.FS, string) (*toy, error) { return nil, boom }
		}},
		{"Apply fails", "operation 0 (a): boom", func(c *crashtest.Config[*toy, string]) {
			c.Apply = func(*toy, string) error { return boom }
		}},
		{"Close fails", "close: boom", func(c *crashtest.Config[*toy, string]) {
			c.Close = func(t *toy) error { return errors.Join(t.close(), boom) }
		}},
		{"Close forgets a file", "left open by Close: /db/seg-0001", func(c *crashtest.Config[*toy, string]) {
			c.Close = func(*toy) error { return nil }
		}},
		{"Check forgets a file", "left open by Check: /db/LOCK", func(c *crashtest.Config[*toy, string]) {
			c.Check = func(fsys vfs.FS, _ string, _ crashtest.Crash[string]) error {
				_, err := fsys.Lock("/db/LOCK", vfs.Exclusive)
				return err
			}
		}},
		{"Apply panics", "panic: boom", func(c *crashtest.Config[*toy, string]) {
			c.Apply = func(*toy, string) error { panic("boom") }
		}},
		{"Check panics", "panic: boom", func(c *crashtest.Config[*toy, string]) {
			c.Check = func(vfs.FS, string, crashtest.Crash[string]) error { panic("boom") }
		}},
		{"panic under a fault", "panic: boom", func(c *crashtest.Config[*toy, string]) {
			c.Faults = []crashtest.Schedule{crashtest.FailOnce(errfs.Write, syscall.EIO)}
			c.Apply = func(t *toy, op string) error {
				if err := t.apply(op); err != nil {
					panic("boom")
				}
				return nil
			}
		}},
		{"files left open under a fault", "left open by Close", func(c *crashtest.Config[*toy, string]) {
			c.Faults = []crashtest.Schedule{crashtest.FailOnce(errfs.Write, syscall.EIO)}
			c.Close = func(t *toy) error {
				if t.failed != nil {
					return t.failed
				}
				return t.close()
			}
		}},
	} {
		config := toyConfig("", "a", "b")
		c.change(&config)
		if f := failureOf(t, config); !strings.Contains(f.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.what, f, c.says)
		}
	}
}

func TestVacuousRunIsAnError(t *testing.T) {
	if _, err := crashtest.Enumerate(toyConfig("")); !errors.Is(err, crashtest.ErrVacuous) {
		t.Errorf("%v, want ErrVacuous", err)
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	_, err := crashtest.Enumerate(crashtest.Config[int, int]{Every: -1, Faults: []crashtest.Schedule{{}}})
	for _, want := range []string{"Open", "Apply", "Close", "Check", "Every", "Faults[0]"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Setup comes before the first crash point, and its durable part is there.
func TestSetup(t *testing.T) {
	config := toyConfig("", "b", "c")
	config.Setup = func(fsys vfs.FS, dir string) error {
		s, err := openToy("")(fsys, dir)
		if err != nil {
			return err
		}
		return errors.Join(s.apply("a"), s.close())
	}
	check := func(fsys vfs.FS, dir string, _ crashtest.Crash[string]) error {
		s, err := openToy("")(fsys, dir)
		if err != nil {
			return err
		}
		if len(s.records) == 0 || s.records[0] != "a" {
			return errors.New("what Setup made is lost")
		}
		return s.close()
	}
	config.Check = check
	crashtest.Run(t, config)
	config.Setup = nil
	failureOf(t, config)
}

func TestEveryAndMaxStatesBoundTheWork(t *testing.T) {
	config := toyConfig("", workload...)
	config.Recovery = -1
	all := crashtest.Run(t, config)
	config.Every = 5
	some := crashtest.Run(t, config)
	if some.CrashPoints > all.CrashPoints/4 {
		t.Errorf("%d of %d crash points with Every 5", some.CrashPoints, all.CrashPoints)
	}
	config.Every, config.MaxStates = 0, 3
	few := crashtest.Run(t, config)
	if few.Chosen > 3*few.CrashPoints || few.Chosen < few.CrashPoints {
		t.Errorf("%d states at %d points with MaxStates 3", few.Chosen, few.CrashPoints)
	}
}

// Delays cost no time in a synctest bubble, and nothing fails for them. A
// system that gives up when the disk is slow is found.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := toyConfig("", "a", "b", "c")
		config.Faults = []crashtest.Schedule{crashtest.Slow(errfs.Syncs, time.Hour)}
		begin := time.Now()
		if r := crashtest.Run(t, config); r.Faults < 4 || time.Since(begin) < 4*time.Hour {
			t.Errorf("%v in %v", r, time.Since(begin))
		}
		config.Apply = func(s *toy, op string) error {
			begin := time.Now()
			if err := s.apply(op); err != nil {
				return err
			}
			if time.Since(begin) > time.Minute {
				return errors.New("timed out")
			}
			return nil
		}
		if f := failureOf(t, config); f.Fault == "" {
			t.Errorf("found without a fault: %v", f)
		}
	})
}

func TestNoSpaceAndShortWrites(t *testing.T) {
	big := []string{strings.Repeat("a", 5000), strings.Repeat("b", 3000), strings.Repeat("c", 9000), "d"}
	config := toyConfig("", big...)
	config.Faults = []crashtest.Schedule{crashtest.NoSpace(4096), crashtest.ShortWrite(100)}
	r := crashtest.Run(t, config)
	if r.Faults < 7 || r.CutShort != 0 {
		t.Errorf("%v", r)
	}
	config.Faults[1].Max = 2
	if r := crashtest.Run(t, config); r.CutShort != 1 {
		t.Errorf("%v: want one schedule cut short", r)
	}
}

// The defaults of all schedules can be told apart by name.
func TestScheduleNames(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range append(crashtest.AllFaults(), crashtest.FailSync(), crashtest.FailFrom(errfs.Write, syscall.EIO),
		crashtest.Slow(errfs.Write, time.Second), crashtest.NoSpace(512)) {
		if seen[s.Name] || s.Name == "" || strings.ContainsAny(s.Name, "/#") {
			t.Errorf("name %q", s.Name)
		}
		seen[s.Name] = true
	}
	if reflect.DeepEqual(seen, map[string]bool{}) {
		t.Error("no schedules")
	}
}

// The harness's own work: choosing, cloning, comparing, with a checker that
// does next to nothing.
func BenchmarkStates(b *testing.B) {
	var ops []string
	for i := range 200 {
		ops = append(ops, fmt.Sprint("record number ", i))
	}
	config := toyConfig("", ops...)
	config.Workers, config.Show = 1, nil
	config.Check = func(vfs.FS, string, crashtest.Crash[string]) error { return nil }
	chosen, distinct := 0, 0
	for b.Loop() {
		r, err := crashtest.Enumerate(config)
		if err != nil {
			b.Fatal(err)
		}
		chosen += r.Chosen
		distinct += r.Distinct
	}
	b.ReportMetric(float64(chosen)/b.Elapsed().Seconds(), "chosen/s")
	b.ReportMetric(float64(distinct)/b.Elapsed().Seconds(), "distinct/s")
}
