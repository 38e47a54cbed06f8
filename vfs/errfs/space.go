package errfs

import "sync"

// space is what files may still grow by.
type space struct {
	mu      sync.Mutex
	limited bool
	left    int64
}

func (s *space) limit(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limited, s.left = n >= 0, n
}

func (s *space) free(inner int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limited {
		return min(inner, s.left)
	}
	return inner
}

// take asks for n bytes and returns how many there are. All or nothing, if
// whole is set.
func (s *space) take(n int64, whole bool) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.limited || n <= 0:
		return n
	case whole && n > s.left:
		return 0
	}
	n = min(n, s.left)
	s.left -= n
	return n
}

func (s *space) isLimited() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limited
}
