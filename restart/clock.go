package restart

import (
	"sync/atomic"
	"time"
)

// clock is the store's time in Unix nanoseconds: the wall clock, but never
// below the highest time seen, which the log keeps over restarts. So an entry
// that was once seen expired stays expired.
type clock struct{ high atomic.Int64 }

func (c *clock) start(high int64) { c.high.Store(high) }

func (c *clock) now() int64 {
	wall := time.Now().UnixNano()
	for {
		high := c.high.Load()
		if wall <= high {
			return high
		}
		if c.high.CompareAndSwap(high, wall) {
			return wall
		}
	}
}

// now returns the store's time.
func (st *Store) now() int64 { return st.clock.now() }

// expiryOf returns when a write of this moment expires; 0: never.
func (st *Store) expiryOf(ttl time.Duration) int64 {
	if ttl == 0 {
		return 0
	}
	now := st.now()
	if at := now + int64(ttl); at > now {
		return at
	}
	return 1<<63 - 1
}
