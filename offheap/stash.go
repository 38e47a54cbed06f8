package offheap

// Stash hands out allocations of an arena that it takes from there several at a
// time, so that goroutines that fill an arena together rarely wait for each
// other. What it holds counts as used. A Stash is not safe for concurrent use.
type Stash struct {
	arena   *Arena
	classes [numClasses]*stashed
}

// stashed are cells of a class; those before next were handed out.
type stashed struct {
	next, n int
	refs    [maxStashed]Ref
	freed   [maxStashed]bool // the cell was in use before
}

// A stash takes at most maxStashed cells of a class at a time, and no more
// than stashBytes.
const (
	maxStashed = 32
	stashBytes = 16 << 10
)

// NewStash returns an empty stash. It must be closed.
func (a *Arena) NewStash() *Stash { return &Stash{arena: a} }

// Alloc is [Arena.Alloc].
func (s *Stash) Alloc(n int) (Ref, error) {
	if n > stashBytes/2 {
		return s.arena.Alloc(n)
	}
	if s.arena.closed.Load() {
		return 0, ErrClosed // what the stash holds may be another arena's by now
	}
	i := classOf(n)
	c := s.classes[i]
	if c == nil {
		c = new(stashed)
		s.classes[i] = c
	}
	if c.next == c.n {
		if err := s.arena.refill(c, i); err != nil {
			return 0, err
		}
	}
	return c.take(s.arena, n), nil
}

// take hands out one cell for n bytes.
func (c *stashed) take(a *Arena, n int) Ref {
	ref := c.refs[c.next]
	a.live.add(a, ref, n, c.freed[c.next])
	c.next++
	return ref
}

// refill takes as many cells of class i as can be had; an error means none.
func (a *Arena) refill(to *stashed, i int) (err error) {
	k, c := &sizeClasses[i], &a.classes[i]
	want := min(maxStashed, stashBytes/int(k.size))
	c.mu.Lock()
	defer c.mu.Unlock()
	for to.next, to.n = 0, 0; to.n < want; to.n++ {
		if to.refs[to.n], to.freed[to.n], err = a.takeLocked(c, k, i); err != nil {
			break
		}
	}
	if to.n == 0 {
		return err
	}
	a.pool.used.Add(int64(to.n) * int64(k.size))
	return nil
}

// Close gives back what was not handed out. The stash is empty then, and may be
// used again.
func (s *Stash) Close() {
	if s.arena.closed.Load() {
		clear(s.classes[:])
		return
	}
	for i, c := range s.classes {
		if c == nil {
			continue
		}
		size := int(sizeClasses[i].size)
		for c.next < c.n {
			s.arena.Free(c.take(s.arena, size), size)
		}
	}
}
