package fsync

import (
	"errors"
	"fmt"
	"time"
)

// Durability says when a write is made durable.
type Durability uint8

const (
	// Inherit takes the setting of the level above.
	Inherit Durability = iota
	// Sync acknowledges a write when its bytes are durable.
	Sync
	// Batched acknowledges at once; the bytes become durable within
	// Policy.MaxDelay if the disk completes its syncs in time, and
	// acknowledged writes that are not yet durable never span more than
	// Policy.HardBound.
	Batched
	// Never acknowledges at once and asks for no sync.
	Never
)

var durabilityNames = [...]string{"inherit", "sync", "batched", "never"}

// String returns "inherit", "sync", "batched" or "never".
func (d Durability) String() string {
	if int(d) < len(durabilityNames) {
		return durabilityNames[d]
	}
	return fmt.Sprintf("Durability(%d)", d)
}

// ParseDurability is the inverse of String.
func ParseDurability(s string) (Durability, error) {
	for i, n := range durabilityNames {
		if n == s {
			return Durability(i), nil
		}
	}
	return Inherit, fmt.Errorf("fsync: unknown durability %q, want sync, batched, never or inherit", s)
}

// Valid reports whether d is one of the four.
func (d Durability) Valid() bool { return d <= Never }

// Defaults of a Policy.
const (
	DefaultMaxDelay  = 2 * time.Second
	DefaultHardBound = 3 * time.Second
)

// Policy says how writes become durable that do not say it themselves.
type Policy struct {
	// Durability of writes that inherit it. Inherit means Batched.
	Durability Durability
	// MaxDelay is how long a batched write may wait for its sync on a disk that
	// completes syncs in time. 0: DefaultMaxDelay.
	MaxDelay time.Duration
	// HardBound is the longest time that acknowledged, not yet durable batched
	// writes may span, whatever the disk does: writers wait. 0: the larger of
	// DefaultHardBound and 1.5 x MaxDelay.
	HardBound time.Duration
}

// WithDefaults returns p with zero fields replaced.
func (p Policy) WithDefaults() Policy {
	if p.Durability == Inherit {
		p.Durability = Batched
	}
	if p.MaxDelay == 0 {
		p.MaxDelay = DefaultMaxDelay
	}
	if p.HardBound == 0 {
		p.HardBound = max(DefaultHardBound, p.MaxDelay+p.MaxDelay/2)
	}
	return p
}

// Validate reports everything that is wrong with p.
func (p Policy) Validate() error {
	var errs []error
	q := p.WithDefaults()
	if !p.Durability.Valid() {
		errs = append(errs, fmt.Errorf("fsync: policy: durability %d is not known", p.Durability))
	}
	if q.MaxDelay < time.Millisecond {
		errs = append(errs, fmt.Errorf("fsync: policy: MaxDelay %v is below 1ms", p.MaxDelay))
	}
	if q.HardBound < q.MaxDelay {
		errs = append(errs, fmt.Errorf("fsync: policy: HardBound %v is below MaxDelay %v", q.HardBound, q.MaxDelay))
	}
	return errors.Join(errs...)
}

// Resolve returns the durability of a write that asks for d.
func (p Policy) Resolve(d Durability) Durability {
	if d == Inherit {
		return p.WithDefaults().Durability
	}
	return d
}
