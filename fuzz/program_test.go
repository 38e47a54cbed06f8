package fuzz

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime/metrics"
	"testing"
)

// program is a fuzz input that is read from the front. Behind its end
// everything is zero.
type program struct{ rest []byte }

func (p *program) done() bool { return len(p.rest) == 0 }

func (p *program) byte() byte {
	if p.done() {
		return 0
	}
	b := p.rest[0]
	p.rest = p.rest[1:]
	return b
}

// below returns a number below n, from one byte if that is enough, or two.
func (p *program) below(n int) int {
	if n <= 1 {
		return 0
	}
	x := int(p.byte())
	if n > 256 {
		x = x<<8 | int(p.byte())
	}
	return x % n
}

// one returns one of the choices.
func one[T any](p *program, choices ...T) T { return choices[p.below(len(choices))] }

func (p *program) uint16() uint16 { return uint16(p.byte())<<8 | uint16(p.byte()) }

func (p *program) uint64() uint64 {
	var b [8]byte
	copy(b[:], p.take(8))
	return binary.LittleEndian.Uint64(b[:])
}

// take returns the next n bytes, fewer at the end.
func (p *program) take(n int) []byte {
	n = min(n, len(p.rest))
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

// noise returns n bytes that do not compress; equal seeds give equal bytes.
func noise(seed uint64, n int) []byte {
	r := rand.NewPCG(seed, 5)
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b[:n]
}

// addRandom adds programs that nobody thought of, the same ones each time.
func addRandom(f *testing.F, n, size int) {
	for i := range n {
		f.Add(noise(uint64(1000+i), size))
	}
}

// Memory. A fuzz worker does one thing at a time, so what the process allocates
// is what the input made it allocate.

const mib = 1 << 20

func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// bounded fails if f allocates more than limit bytes, all allocations together.
func bounded(t *testing.T, limit int, f func()) {
	t.Helper()
	before := allocated()
	f()
	if n := allocated() - before; n > uint64(limit) {
		t.Fatalf("%d bytes allocated, at most %d expected", n, limit)
	}
}
