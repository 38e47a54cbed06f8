//go:build !invariants

package offheap

// liveSet remembers live allocations in builds with the invariants tag.
type liveSet struct{}

func (*liveSet) add(*Arena, Ref, int, bool) {}
func (*liveSet) remove(*Arena, Ref, int)    {}
func (*liveSet) check(Ref)                  {}
func (*liveSet) clear()                     {}
