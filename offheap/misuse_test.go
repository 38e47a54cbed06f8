package offheap_test

import (
	"strings"
	"testing"

	"github.com/fastrestart/frs/internal/invariant"
	"github.com/fastrestart/frs/offheap"
)

// Builds with the invariants tag stop at every misuse of a reference.
func TestMisuse(t *testing.T) {
	if !invariant.Enabled {
		t.Log("needs -tags invariants to show anything but that the package builds")
		return
	}
	for name, c := range map[string]struct {
		want string
		do   func(a, other *offheap.Arena, ref offheap.Ref)
	}{
		"double free":       {"freed twice", func(a, _ *offheap.Arena, ref offheap.Ref) { a.Free(ref, 100); a.Free(ref, 100) }},
		"wrong size":        {"another size", func(a, _ *offheap.Arena, ref offheap.Ref) { a.Free(ref, 99) }},
		"foreign reference": {"freed twice or never", func(_, b *offheap.Arena, ref offheap.Ref) { b.Free(ref, 100) }},
		"use after free":    {"used after free", func(a, _ *offheap.Arena, ref offheap.Ref) { a.Free(ref, 100); a.Bytes(ref, 100) }},
		"interior":          {"used after free", func(a, _ *offheap.Arena, ref offheap.Ref) { a.Ptr(ref + 1) }},
		"write after free": {"written after free", func(a, _ *offheap.Arena, ref offheap.Ref) {
			m := a.Bytes(ref, 100)
			a.Free(ref, 100)
			m[50] = 1
			_, _ = a.Alloc(100)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := offheap.NewPool(offheap.PoolOptions{})
			a, b := p.NewArena(), p.NewArena()
			ref, err := a.Alloc(100)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if got, _ := recover().(string); !strings.Contains(got, c.want) {
					t.Fatalf("panic %q, want %q", got, c.want)
				}
			}()
			c.do(a, b, ref)
		})
	}
}
