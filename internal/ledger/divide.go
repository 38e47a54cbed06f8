package ledger

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// divide looks for a position that fits all keys.
type divide struct {
	keys  int
	steps map[uint64]int // by how much the number of fitting keys changes there
	// The key that needs the latest position, and the one that bears the
	// earliest.
	low, high       uint64
	lowKey, highKey string
}

func (d *divide) add(key string, ranges []span) {
	if d.keys == 0 {
		d.steps, d.high = map[uint64]int{}, math.MaxUint64
	}
	d.keys++
	for _, r := range ranges {
		d.steps[r.from]++
		if r.to < math.MaxUint64 {
			d.steps[r.to+1]--
		}
	}
	if from := ranges[0].from; from > d.low {
		d.low, d.lowKey = from, key
	}
	if to := ranges[len(ranges)-1].to; to < d.high {
		d.high, d.highKey = to, key
	}
}

// last returns the last position that fits all.
func (d *divide) last() (cut uint64, ok bool) {
	n := 0
	var fits bool
	for _, at := range slices.Sorted(maps.Keys(d.steps)) {
		if fits {
			cut, ok = at-1, true
		}
		n += d.steps[at]
		fits = n == d.keys
	}
	if fits || d.keys == 0 {
		return math.MaxUint64, true
	}
	return cut, ok
}

// contradiction names two keys that do not fit, if two are enough.
func (d *divide) contradiction(keys map[string][]*op) string {
	if d.low <= d.high {
		return "each two keys fit, all together do not: an operation is missing or half there"
	}
	return fmt.Sprintf("%s is as after LSN %d, %s as before LSN %d; their writes:%s;%s", d.lowKey, d.low,
		d.highKey, d.high+1, describe(d.lowKey, keys[d.lowKey]), describe(d.highKey, keys[d.highKey]))
}
