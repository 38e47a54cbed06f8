package segment

import (
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Codec says how a frame's payload is stored. Part of the file format: never
// change.
type Codec uint8

const (
	// None stores the payload as it is.
	None Codec = 0
	// S2 stores an s2 block.
	S2 Codec = 1
	// Zstd stores a zstd frame.
	Zstd Codec = 2

	maxCodec = Zstd
)

// String returns the codec's name.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case S2:
		return "s2"
	case Zstd:
		return "zstd"
	}
	return "invalid"
}

// Codecs compresses and decompresses. The zero value is ready; it makes its
// zstd state when it is first needed. It may be used concurrently and must not
// be copied.
type Codecs struct {
	encOnce, decOnce sync.Once
	enc              *zstd.Encoder
	dec              *zstd.Decoder
	encErr, decErr   error
}

// Compress appends the compressed src to dst and reports whether it pays: only
// payloads from MinCompress to MaxCompress bytes are tried, and at least one
// eighth must be saved. If it does not pay, dst is returned as it was.
func (c *Codecs) Compress(codec Codec, dst, src []byte) ([]byte, bool) {
	if len(src) < MinCompress || len(src) > MaxCompress {
		return dst, false
	}
	at := len(dst)
	switch codec {
	case S2:
		n := s2.MaxEncodedLen(len(src))
		dst = grow(dst, n)
		dst = dst[:at+len(s2.Encode(dst[at:at+n], src))]
	case Zstd:
		c.encOnce.Do(func() {
			c.enc, c.encErr = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
				zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
		})
		if c.encErr != nil {
			return dst, false
		}
		dst = c.enc.EncodeAll(src, dst)
	default:
		return dst, false
	}
	if n := len(dst) - at; n > len(src)-len(src)/8 {
		return dst[:at], false
	}
	return dst, true
}

// Decompress appends exactly raw bytes, the decompressed src, to dst. raw must
// have been bounded before; nothing larger is ever allocated.
func (c *Codecs) Decompress(codec Codec, dst, src []byte, raw int) ([]byte, error) {
	if raw > MaxCompress {
		return dst, errDecompress
	}
	at := len(dst)
	switch codec {
	case S2:
		if n, err := s2.DecodedLen(src); err != nil || n != raw {
			return dst, errDecompress
		}
		dst = grow(dst, raw)
		if out, err := s2.Decode(dst[at:at+raw], src); err != nil || len(out) != raw {
			return dst, errDecompress
		}
		return dst[:at+raw], nil
	case Zstd:
		c.decOnce.Do(func() {
			c.dec, c.decErr = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0),
				zstd.WithDecoderMaxMemory(MaxCompress), zstd.WithDecoderLowmem(true))
		})
		if c.decErr != nil {
			return dst, c.decErr
		}
		out, err := c.dec.DecodeAll(src, grow(dst, raw))
		if err != nil || len(out)-at != raw {
			return dst[:at], errDecompress
		}
		return out, nil
	}
	return dst, errDecompress
}

// grow makes room for n more bytes behind the length of b.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return append(make([]byte, 0, len(b)+n), b...)
}
