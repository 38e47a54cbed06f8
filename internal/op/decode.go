package op

import (
	"encoding/binary"
	"math"
)

// Op is one decoded operation. Which fields are set depends on Kind; the rest
// are zero. Key, Value and Batch are views into the decoded bytes and valid as
// long as those are.
type Op struct {
	Kind   Kind
	Region uint32 // all kinds but batch
	Key    []byte // put, delete; never nil for these
	Value  []byte // put; never nil there
	// Expiry is the absolute time in Unix nanoseconds from which on the entry
	// is absent; 0: never. Put.
	Expiry int64
	// Version is the LSN at which this record first entered the log if
	// compaction moved it; 0: the record's own LSN. Put, region create, alter.
	Version uint64
	Name    string        // region create
	Options RegionOptions // region create, alter
	Batch   Batch         // batch
}

// Decode decodes the payload of a data frame: one operation or one batch. For
// a batch the whole table is checked, the operations when they are read.
// Memory is bounded by len(payload); nothing is allocated for puts, deletes
// and batches. The error is a [*DecodeError].
func Decode(payload []byte) (o Op, err error) {
	err = o.Decode(payload)
	return o, err
}

// Decode sets o to what the package's Decode returns, for callers to whom the
// copy matters. After an error o is zero.
func (o *Op) Decode(payload []byte) error {
	if len(payload) > 0 && Kind(payload[0]) == KindBatch {
		return o.decodeBatch(payload)
	}
	return o.decodeOne(payload)
}

func (o *Op) decodeOne(b []byte) error {
	*o = Op{}
	r := reader{b: b}
	r.kind = Kind(r.uint8("kind"))
	o.Kind = r.kind
	switch o.Kind {
	case KindPut:
		r.put(o)
	case KindDelete:
		o.Region = r.region()
		o.Key = r.rest()
		if len(o.Key) > MaxKeySize {
			r.corrupt("key too large")
		}
	case KindClear, KindRegionDrop:
		o.Region = r.region()
		if r.at != len(b) {
			r.corrupt("bytes after the end")
		}
	case KindRegionCreate:
		r.regionHeader(o)
		o.Name = r.name()
		o.Options = r.options()
	case KindRegionAlter:
		r.regionHeader(o)
		o.Options = r.options()
	case 0: // zeros are never an operation
		r.fail(0, "kind zero", ErrCorrupt)
	default:
		r.fail(0, "unknown kind", ErrUnsupported)
	}
	if r.bad != nil {
		*o = Op{}
	}
	return r.err()
}

func (r *reader) put(o *Op) {
	flags := r.flags(flagExpiry | flagVersion)
	o.Region = r.region()
	if flags&flagExpiry != 0 {
		at := r.at
		if o.Expiry = int64(r.uint64("expiry")); o.Expiry <= 0 {
			r.fail(at, "expiry not positive", ErrCorrupt)
		}
	}
	r.version(o, flags)
	n := int(r.uvarint("key length", MaxKeySize))
	o.Key = r.bytes(n, "key")
	if o.Value = r.rest(); len(o.Value) > MaxValueSize {
		r.corrupt("value too large")
	}
}

func (r *reader) regionHeader(o *Op) {
	flags := r.flags(flagVersion)
	o.Region = r.region()
	r.version(o, flags)
}

func (r *reader) version(o *Op, flags byte) {
	if flags&flagVersion == 0 {
		return
	}
	at := r.at
	if o.Version = r.uint64("version"); o.Version == 0 {
		r.fail(at, "version zero", ErrCorrupt)
	}
}

func (r *reader) flags(known byte) byte {
	f := r.uint8("flags")
	if f&^known != 0 {
		r.fail(r.at-1, "unknown flag", ErrUnsupported)
	}
	return f
}

func (r *reader) region() uint32 { return uint32(r.uvarint("region", math.MaxUint32)) }

func (r *reader) name() string {
	n := int(r.uint8("name length"))
	at := r.at
	name := string(r.bytes(n, "name"))
	if r.bad == nil && CheckName(name) != nil {
		r.fail(at, "invalid name", ErrCorrupt)
	}
	return name
}

// reader steps through b and keeps the first failure; after it, everything
// read is zero.
type reader struct {
	b    []byte
	at   int
	kind Kind // for messages
	bad  *DecodeError
}

func (r *reader) err() error {
	if r.bad == nil {
		return nil
	}
	return r.bad
}

func (r *reader) corrupt(reason string) { r.fail(r.at, reason, ErrCorrupt) }

func (r *reader) fail(at int, reason string, err error) {
	if r.bad != nil {
		return
	}
	r.bad = &DecodeError{Kind: r.kind, Offset: at, Reason: reason, Err: err}
	r.at = len(r.b)
}

func (r *reader) uint8(field string) byte {
	if b := r.bytes(1, field); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *reader) uint64(field string) uint64 {
	if b := r.bytes(8, field); len(b) == 8 {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// uvarint reads a minimal uvarint of at most limit.
func (r *reader) uvarint(field string, limit uint64) uint64 {
	v, n := binary.Uvarint(r.b[r.at:])
	switch {
	case n == 0:
		r.corrupt(field + " cut short")
	case n < 0 || v > limit:
		r.corrupt(field + " too large")
	case n != uvarintLen(v):
		r.corrupt(field + " not minimal")
	default:
		r.at += n
		return v
	}
	return 0
}

func (r *reader) bytes(n int, field string) []byte {
	if n > len(r.b)-r.at {
		r.corrupt(field + " cut short")
		return nil
	}
	b := r.b[r.at : r.at+n : r.at+n]
	r.at += n
	return b
}

func (r *reader) rest() []byte { return r.bytes(len(r.b)-r.at, "") }
