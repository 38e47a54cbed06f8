package overflow

// Ring is the caller's items as a clock sees them: a circle with a hand that
// stays where it is between sweeps. The caller holds whatever lock protects
// the items during a sweep.
type Ring[T any] interface {
	// Next returns the item under the hand and moves the hand to the one
	// behind it; after the last comes the first. ok is false if there is no
	// item.
	Next() (item T, ok bool)

	// Touched reports whether the item was used since Touched was last called
	// for it, and forgets it: it takes the recency bit.
	Touched(item T) bool

	// Evict takes the item's value out of memory and returns how many bytes
	// that freed. An item that cannot leave now (its value is out already, or
	// not yet written to the log) stays and returns 0.
	Evict(item T) (freed int64)
}

// Sweep is what a call of [Clock] did.
type Sweep struct {
	Freed   int64 // bytes
	Evicted int   // items that left memory
	Steps   int   // items looked at
}

// Clock moves the hand over r, evicting items that were not touched since it
// last passed, until need bytes are freed or steps items were looked at. It
// frees more than need by less than the last item.
//
// A sweep of twice the number of items passes every one without its bit unless
// it is touched meanwhile; if that frees too little, the rest cannot leave.
// Bound steps by how long the caller's lock may be held, and go on with
// another sweep. Clock itself allocates nothing.
func Clock[T any, R Ring[T]](r R, need int64, steps int) (s Sweep) {
	for s.Freed < need && s.Steps < steps {
		item, ok := r.Next()
		if !ok {
			return s
		}
		s.Steps++
		if r.Touched(item) {
			continue
		}
		if n := r.Evict(item); n > 0 {
			s.Freed += n
			s.Evicted++
		}
	}
	return s
}
