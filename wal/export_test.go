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
	Older                   []Outline
}

// Outline is what TAIL says of an older segment.
type Outline struct {
	Base, Cut, PredBase LSN
	Epoch, PredEpoch    uint32
	Salt                uint64
	Size                int64
	Lineage             segment.ID
}

// ForgeTailAs returns a TAIL like b that says something else, under a good
// checksum.
func ForgeTailAs(b []byte, change func(t *Tail)) []byte {
	t, err := parseTail(b)
	if err != nil {
		panic(err)
	}
	f := Tail{Epoch: t.epoch, Base: t.base, Durable: t.durable, LowWater: t.lowWater}
	for _, o := range t.older {
		f.Older = append(f.Older, Outline{o.h.Base, o.h.Cut, o.h.PredBase, o.h.Epoch, o.h.PredEpoch, o.h.Salt, o.size, o.h.Lineage})
	}
	change(&f)
	t.epoch, t.base, t.durable, t.lowWater = f.Epoch, f.Base, f.Durable, f.LowWater
	for i, o := range f.Older {
		h := &t.older[i].h
		h.Base, h.Cut, h.PredBase, h.Epoch, h.PredEpoch = o.Base, o.Cut, o.PredBase, o.Epoch, o.PredEpoch
		h.Salt, t.older[i].size, h.Lineage = o.Salt, o.Size, o.Lineage
	}
	t.older = t.older[:len(f.Older)]
	return t.encode()
}

// ForgeVersion returns the segment file b as a later version might begin it.
func ForgeVersion(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[8:], segment.Version+1)
	sum := segment.HeaderSize - 8
	binary.LittleEndian.PutUint64(b[sum:], xxhash.Sum64(b[:sum]))
	return b
}
