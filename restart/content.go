package restart

import (
	"context"
	"encoding/binary"
	"math/bits"
)

// contentSum is a sum, modulo 2^128, of one number per entry. A sum does not
// depend on the order in which entries came, and an entry can be taken out of
// it, so it is kept up as entries change.
type contentSum struct{ lo, hi uint64 }

func (s *contentSum) add(x contentSum) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, x.lo, 0)
	s.hi, _ = bits.Add64(s.hi, x.hi, carry)
}

func (s *contentSum) sub(x contentSum) {
	var borrow uint64
	s.lo, borrow = bits.Sub64(s.lo, x.lo, 0)
	s.hi, _ = bits.Sub64(s.hi, x.hi, borrow)
}

// contentOf is an entry's number: the 64-bit hashes of key and value and the
// expiry, mixed to 128 bits in two ways.
func contentOf(key, value uint64, expiry int64) contentSum {
	at := uint64(expiry)
	return contentSum{
		lo: mix(mix(key^0x9e3779b97f4a7c15, value), at),
		hi: mix(mix(value^0xc2b2ae3d27d4eb4f, key), ^at),
	}
}

// mix is a 64-bit finalizer (the multiply, xor and shift steps of MurmurHash3)
// over a combination of two numbers.
func mix(a, b uint64) uint64 {
	x := a + bits.RotateLeft64(b, 32)*0x9fb21c651e98df25
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// ContentHash returns a 128-bit hash of the region's content: keys, values and
// absolute expiries. Two regions with equal content have equal hashes, whatever
// their histories. It loads what is not loaded yet, keys only. Entries whose
// time to live is over count until they are swept. Against accidents, not
// against an adversary.
func (r *Region) ContentHash() ([16]byte, error) {
	var out [16]byte
	if err := r.loadAll(context.Background()); err != nil {
		return out, err
	}
	var sum contentSum
	for i := range r.shards {
		sh := &r.shards[i]
		sh.mu.RLock()
		if err := r.usable(); err != nil {
			sh.mu.RUnlock()
			return out, err
		}
		sum.add(sh.content)
		sh.mu.RUnlock()
	}
	binary.BigEndian.PutUint64(out[:], sum.hi)
	binary.BigEndian.PutUint64(out[8:], sum.lo)
	return out, nil
}
