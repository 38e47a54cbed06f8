package restart

import "time"

// backoff spaces the tries of something that the background does and that fails.
// What stands in the way may be damage, which stays, or a full disk, which may
// not. The zero value is ready.
type backoff struct {
	pause time.Duration
	again time.Time
}

// The pauses after one failure and after many.
const (
	minPause = 250 * time.Millisecond
	maxPause = 8 * time.Second
)

// due reports whether it is time for another try.
func (b *backoff) due() bool { return !time.Now().Before(b.again) }

// tried takes in how a try ended.
func (b *backoff) tried(err error) {
	if err == nil {
		*b = backoff{}
		return
	}
	b.pause = min(max(2*b.pause, minPause), maxPause)
	b.again = time.Now().Add(b.pause)
}
