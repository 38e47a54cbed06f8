package overflow

import "sync/atomic"

// Limits are the most entries and bytes that may be in memory. 0 means no
// limit; negative values count as 0.
type Limits struct {
	Entries int64
	Bytes   int64
}

// Usage is how many entries and bytes are in memory.
type Usage struct {
	Entries int64
	Bytes   int64
}

// Account counts what is in memory against limits. The zero Account is empty
// and unlimited. All methods may be called concurrently. It must not be
// copied after first use.
type Account struct {
	entries, bytes       atomic.Int64
	maxEntries, maxBytes atomic.Int64
}

// SetLimits changes the limits. What is in memory stays there: the account
// may be over the new limits at once.
func (a *Account) SetLimits(l Limits) {
	a.maxEntries.Store(max(l.Entries, 0))
	a.maxBytes.Store(max(l.Bytes, 0))
}

// Limits returns the limits.
func (a *Account) Limits() Limits {
	return Limits{Entries: a.maxEntries.Load(), Bytes: a.maxBytes.Load()}
}

// Add adds entries and bytes, negative when something leaves memory. It never
// refuses: ask [Account.Excess] whether something has to leave.
func (a *Account) Add(entries, bytes int64) {
	if entries != 0 {
		a.entries.Add(entries)
	}
	if bytes != 0 {
		a.bytes.Add(bytes)
	}
}

// Reserve adds entries and bytes and reports true, unless that would exceed a
// limit: then nothing is added. Callers that reserve at the same time never
// exceed a limit together, but each may be refused for what another one is
// about to give back. REQUIRES: neither is negative.
func (a *Account) Reserve(entries, bytes int64) bool {
	if !reserve(&a.entries, &a.maxEntries, entries) {
		return false
	}
	if !reserve(&a.bytes, &a.maxBytes, bytes) {
		a.entries.Add(-entries)
		return false
	}
	return true
}

func reserve(count, limit *atomic.Int64, n int64) bool {
	if n == 0 {
		return true
	}
	now := count.Add(n)
	if m := limit.Load(); m > 0 && now > m {
		count.Add(-n)
		return false
	}
	return true
}

// Usage returns what is in memory. The two numbers are read one after the
// other; each is exact.
func (a *Account) Usage() Usage {
	return Usage{Entries: a.entries.Load(), Bytes: a.bytes.Load()}
}

// Excess returns by how much the account is over its limits, 0 where it is
// not.
func (a *Account) Excess() Usage {
	return Usage{
		Entries: excess(&a.entries, &a.maxEntries),
		Bytes:   excess(&a.bytes, &a.maxBytes),
	}
}

// Over reports whether a limit is exceeded.
func (a *Account) Over() bool { return a.Excess() != Usage{} }

func excess(count, limit *atomic.Int64) int64 {
	if m := limit.Load(); m > 0 {
		return max(count.Load()-m, 0)
	}
	return 0
}
