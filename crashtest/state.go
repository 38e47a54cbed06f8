package crashtest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/fastrestart/frs/vfs/memfs"
)

// fate is what becomes of one pending operation.
type fate struct {
	kind fateKind
	n    int    // sectors, for torn and tornFront
	seed uint64 // for scattered
}

type fateKind uint8

const (
	lost fateKind = iota
	kept
	sizeOnly  // the file grew, the bytes are not there
	torn      // the first n sectors
	tornFront // all sectors but the first n
	scattered // each sector by the toss of a coin
	dataOnly  // the bytes, where the size has room for them; not the size
)

func (f fate) memfs() memfs.Fate {
	switch f.kind {
	case kept:
		return memfs.Kept()
	case sizeOnly:
		return memfs.SizeOnly()
	case torn:
		return memfs.Torn(f.n)
	case tornFront:
		return memfs.TornFront(f.n)
	case scattered:
		return memfs.Fate{Happened: true, Sectors: func(i int) bool { return mix(f.seed+uint64(i))&1 == 0 }}
	case dataOnly:
		return memfs.Fate{Sectors: func(int) bool { return true }}
	}
	return memfs.Lost()
}

func (f fate) String() string {
	switch f.kind {
	case kept:
		return "kept"
	case sizeOnly:
		return "only its size"
	case torn:
		return fmt.Sprintf("only its first %d sectors", f.n)
	case tornFront:
		return fmt.Sprintf("all but its first %d sectors", f.n)
	case scattered:
		return fmt.Sprintf("some of its sectors (%#x)", f.seed)
	case dataOnly:
		return "its bytes without its size"
	}
	return "lost"
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// state is one way in which a crash may end: a fate for each pending operation.
type state []fate

func (s state) crash() memfs.Crash {
	i := -1
	return memfs.Crash{Choose: func(memfs.Op) memfs.Fate {
		i++
		return s[i].memfs()
	}}
}

func (s state) describe(pending []memfs.Op) []string {
	lines := make([]string, len(pending))
	for i, op := range pending {
		lines[i] = fmt.Sprintf("%v: %v", op, s[i])
	}
	return lines
}

// possibleBits returns the logarithm to base 2 of the number of states that a
// crash may leave: each name and size may be there or not, and each sector.
func possibleBits(pending []memfs.Op) float64 {
	bits := 0
	for _, op := range pending {
		bits += op.Sectors
		if op.Kind != memfs.OpWrite || op.Grows {
			bits++
		}
	}
	return float64(bits)
}

// addBits returns log2(2^a + 2^b).
func addBits(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(a, -1) {
		return a
	}
	return a + math.Log2(1+math.Exp2(b-a))
}

// chooser draws up the states of one crash point.
type chooser struct {
	pending []memfs.Op
	states  []state
}

// add adds the state in which operation i has fate f(i).
func (c *chooser) add(f func(i int, op memfs.Op) fate) {
	s := make(state, len(c.pending))
	for i, op := range c.pending {
		s[i] = f(i, op)
	}
	c.states = append(c.states, s)
}

func keptIf(ok bool) fate {
	if ok {
		return fate{kind: kept}
	}
	return fate{}
}

// chooseStates returns states to check of all that a crash may leave: nothing
// and everything, each prefix, each operation missing, each alone, sizes
// without data, torn writes, names against data, and some at random. They are
// at most limit, and at least nothing and everything.
func chooseStates(pending []memfs.Op, random, limit int, seed uint64) []state {
	c := &chooser{pending: pending}
	c.add(func(int, memfs.Op) fate { return fate{} })
	if len(pending) == 0 {
		return c.states
	}
	c.add(func(int, memfs.Op) fate { return fate{kind: kept} })
	r := rand.New(rand.NewPCG(seed, 0))
	c.kinds()
	for i, op := range pending {
		c.single(i)
		if op.Kind == memfs.OpWrite {
			c.tear(i, op)
		}
	}
	for range random {
		c.random(r)
	}
	if len(c.states) > limit {
		rest := c.states[2:]
		r.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
		c.states = c.states[:max(2, limit)]
	}
	return c.states
}

// kinds adds the states in which a kind of operation survives.
func (c *chooser) kinds() {
	c.add(func(_ int, op memfs.Op) fate { return keptIf(op.Kind.IsName()) })
	c.add(func(_ int, op memfs.Op) fate { return keptIf(!op.Kind.IsName()) })
	c.add(func(_ int, op memfs.Op) fate {
		if op.Kind == memfs.OpWrite {
			return fate{kind: sizeOnly}
		}
		return fate{kind: kept}
	})
	c.add(func(_ int, op memfs.Op) fate {
		if op.Kind == memfs.OpWrite {
			return fate{kind: dataOnly}
		}
		return keptIf(op.Kind.IsName())
	})
}

// single adds the states that single out operation i.
func (c *chooser) single(i int) {
	if i > 0 {
		c.add(func(k int, _ memfs.Op) fate { return keptIf(k < i) })
	}
	if len(c.pending) > 1 {
		c.add(func(k int, _ memfs.Op) fate { return keptIf(k != i) })
		c.add(func(k int, _ memfs.Op) fate { return keptIf(k == i) })
	}
}

// tear adds the states in which write i survives in part: after a prefix, and
// among everything else.
func (c *chooser) tear(i int, op memfs.Op) {
	parts := []fate{}
	if op.Grows {
		parts = append(parts, fate{kind: sizeOnly})
	}
	for _, n := range tearPlaces(op.Sectors) {
		parts = append(parts, fate{kind: torn, n: n}, fate{kind: tornFront, n: n})
	}
	for _, part := range parts {
		for _, after := range []fate{{}, {kind: kept}} {
			if after.kind == kept && i == len(c.pending)-1 {
				continue // the same as the prefix
			}
			c.add(func(k int, _ memfs.Op) fate {
				switch {
				case k < i:
					return fate{kind: kept}
				case k == i:
					return part
				}
				return after
			})
		}
	}
}

// tearPlaces returns up to four places between the sectors of a write.
func tearPlaces(sectors int) []int {
	var places []int
	for _, n := range []int{1, sectors / 3, sectors * 2 / 3, sectors - 1} {
		if n > 0 && n < sectors && (len(places) == 0 || n > places[len(places)-1]) {
			places = append(places, n)
		}
	}
	return places
}

// random adds a state by chance. The probabilities are drawn first, extremes
// often, so that names without data and data without names are frequent.
func (c *chooser) random(r *rand.Rand) {
	ps := []float64{0, 0, 0.1, 0.5, 0.9, 1, 1}
	pick := func() float64 { return ps[r.IntN(len(ps))] }
	names, data, tear, sizes := pick(), pick(), pick(), pick()
	c.add(func(_ int, op memfs.Op) fate {
		keep, part, size := r.Float64(), r.Float64(), r.Float64()
		switch {
		case op.Kind.IsName():
			return keptIf(keep < names)
		case op.Kind != memfs.OpWrite:
			return keptIf(keep < data)
		case keep < data && part < tear:
			return fate{kind: scattered, seed: r.Uint64()}
		case keep < data:
			return fate{kind: kept}
		case size < sizes:
			return fate{kind: sizeOnly}
		}
		return fate{}
	})
}
