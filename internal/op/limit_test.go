package op

import (
	"errors"
	"testing"
)

// TestBatchTooLarge pretends that the batch began MaxBatchSize bytes before its
// buffer, which is cheaper than filling 1 GiB.
func TestBatchTooLarge(t *testing.T) {
	for size, want := range map[int]error{MaxBatchSize: nil, MaxBatchSize + 1: ErrBatchTooLarge} {
		e := BatchEncoder{start: 1 - size, buf: make([]byte, 1), n: 1, at: 1}
		if _, err := e.Finish(); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", size, err, want)
		}
	}
	e := BatchEncoder{start: -MaxBatchSize, n: 1}
	e.Delete(1, nil)
	if _, err := e.Finish(); !errors.Is(err, ErrBatchTooLarge) {
		t.Errorf("delete at the limit: %v, want ErrBatchTooLarge", err)
	}
}
