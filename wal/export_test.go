package wal

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/segment"
)

// WithRandom returns options whose salts and ids come from random.
func WithRandom(o Options, random func() uint64) Options {
	o.random = random
	return o
}

// ForgeTail returns a valid TAIL like b that says another durable position.
func ForgeTail(b []byte, durable LSN) []byte {
	t, err := parseTail(b)
	if err != nil {
		panic(err)
	}
	t.durable = durable
	return t.encode()
}

// Tail is what TAIL says, for tests that let it lie.
type Tail struct {
	Epoch                   uint32
	Base, Durable, LowWater LSN
}

// ForgeTailAs returns a TAIL like b that says something else, under a good
// checksum.
func ForgeTailAs(b []byte, change func(t *Tail)) []byte {
	t, err := parseTail(b)
	if err != nil {
		panic(err)
	}
	f := Tail{t.epoch, t.base, t.durable, t.lowWater}
	change(&f)
	t.epoch, t.base, t.durable, t.lowWater = f.Epoch, f.Base, f.Durable, f.LowWater
	return t.encode()
}

// ForgeVersion returns the segment file b as a later version might begin it.
func ForgeVersion(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[8:], segment.Version+1)
	sum := segment.HeaderSize - 8
	binary.LittleEndian.PutUint64(b[sum:], xxhash.Sum64(b[:sum]))
	return b
}
