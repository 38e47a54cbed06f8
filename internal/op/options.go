package op

import (
	"encoding/binary"
	"math"
)

// RegionOptions are the options of a region as the log keeps them. This
// package gives the numbers no meaning: 0 is what a region gets that says
// nothing, and the store defines and checks the others.
type RegionOptions struct {
	Strategy   uint8 // persistence strategy
	Durability uint8 // default durability of the region's writes
	Ordered    bool  // an ordered index is kept
}

// Encoded options are a version byte and then fields of a tag byte and a
// uvarint, in rising order of tags; a field that is zero is left out. So a
// later version adds fields without a new layout, and an earlier one that
// meets them says [ErrUnsupported]. Part of the file format: never change.
const (
	optionsVersion = 1

	tagStrategy   = 1
	tagDurability = 2
	tagOrdered    = 3
)

// AppendRegionOptions appends the encoding of o to dst.
func AppendRegionOptions(dst []byte, o RegionOptions) []byte {
	dst = append(dst, optionsVersion)
	dst = appendField(dst, tagStrategy, uint64(o.Strategy))
	dst = appendField(dst, tagDurability, uint64(o.Durability))
	if o.Ordered {
		dst = appendField(dst, tagOrdered, 1)
	}
	return dst
}

func appendField(dst []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, tag), v)
}

// DecodeRegionOptions decodes exactly what [AppendRegionOptions] wrote. The
// error is a [*DecodeError]: [ErrUnsupported] for another version or an
// unknown tag, [ErrCorrupt] for anything that is not canonical.
func DecodeRegionOptions(b []byte) (RegionOptions, error) {
	r := reader{b: b}
	o := r.options()
	return o, r.err()
}

// options decodes region options up to the end of the reader's bytes.
func (r *reader) options() (o RegionOptions) {
	if len(r.b)-r.at > MaxOptionsSize {
		r.corrupt("options too large")
	}
	if v := r.uint8("options version"); r.bad == nil && v != optionsVersion {
		r.fail(r.at-1, "options version", ErrUnsupported)
	}
	last := byte(0)
	for r.bad == nil && r.at < len(r.b) {
		at := r.at
		tag := r.uint8("options tag")
		if tag <= last {
			r.fail(at, "options tags not in rising order", ErrCorrupt)
			return o
		}
		last = tag
		at = r.at
		v := r.uvarint("options field", math.MaxUint64)
		if r.bad == nil && v == 0 {
			r.fail(at, "options field zero", ErrCorrupt)
		}
		r.field(&o, tag, v, at)
	}
	return o
}

func (r *reader) field(o *RegionOptions, tag byte, v uint64, at int) {
	limit := uint64(math.MaxUint8)
	switch tag {
	case tagStrategy:
		o.Strategy = uint8(v)
	case tagDurability:
		o.Durability = uint8(v)
	case tagOrdered:
		o.Ordered, limit = v == 1, 1
	default:
		r.fail(at-1, "unknown option", ErrUnsupported)
	}
	if v > limit {
		r.fail(at, "option out of range", ErrCorrupt)
	}
}
