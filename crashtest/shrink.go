package crashtest

import "errors"

// Shrink looks for a shorter list of operations that fails as well, by delta
// debugging (Zeller and Hildebrandt, 2002): it leaves out what came after the
// crash, then halves, quarters and so on down to single operations. It returns
// the configuration with that list, its failure, which may be another one than
// f, and the number of runs it took, at most Config.Shrink. Only the schedule
// that failed is run if it was one.
func Shrink[S, Op any](c Config[S, Op], f *Failure) (Config[S, Op], *Failure, int) {
	budget := c.withDefaults().Shrink
	s := &shrinker[S, Op]{c: c, f: f, left: budget}
	s.c.Faults = s.schedules()
	s.try(c.Ops[:min(len(f.Ops), len(c.Ops))])
	for parts := 2; len(s.c.Ops) > 1 && s.left > 0; {
		switch {
		case s.dropOne(parts):
			parts = max(2, parts-1)
		case parts < len(s.c.Ops):
			parts = min(2*parts, len(s.c.Ops))
		default:
			return s.c, s.f, budget - s.left
		}
	}
	return s.c, s.f, budget - s.left
}

type shrinker[S, Op any] struct {
	c    Config[S, Op] // the shortest list known to fail
	f    *Failure
	left int
}

// schedules returns the one that failed, or none.
func (s *shrinker[S, Op]) schedules() []Schedule {
	for _, sched := range s.c.Faults {
		if hasRun(s.f.Fault, sched.Name) {
			return []Schedule{sched}
		}
	}
	return nil
}

// dropOne cuts the list in parts and leaves out the first one it can.
func (s *shrinker[S, Op]) dropOne(parts int) bool {
	n := len(s.c.Ops)
	for i := range parts {
		from, to := i*n/parts, (i+1)*n/parts
		if from == to {
			continue
		}
		ops := append(append([]Op(nil), s.c.Ops[:from]...), s.c.Ops[to:]...)
		if s.try(ops) {
			return true
		}
	}
	return false
}

// try adopts a list if it is shorter and fails.
func (s *shrinker[S, Op]) try(ops []Op) bool {
	if len(ops) == len(s.c.Ops) || s.left <= 0 {
		return false
	}
	s.left--
	c := s.c
	c.Ops = ops
	var f *Failure
	if _, err := Enumerate(c); !errors.As(err, &f) || (f.Fault == "") != (s.f.Fault == "") {
		return false
	}
	s.c, s.f = c, f
	return true
}
