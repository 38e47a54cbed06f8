package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// Values makes the value of a key and version, always the same: so a value that
// is found is right in every byte or wrong. It draws the size, less the eight
// bytes of the version.
type Values func(rng *rand.Rand) int

// Make returns the value. Half of them compress.
func (size Values) Make(key string, version uint64) []byte {
	seed := sha256.Sum256(fmt.Appendf(nil, "%s %d", key, version))
	source := rand.NewChaCha8(seed)
	n := size(rand.New(source))
	v := make([]byte, 8+n)
	binary.LittleEndian.PutUint64(v, version)
	_, _ = source.Read(v[8:]) // never fails
	if seed[1] < 128 {
		clear(v[8+n/4:])
	}
	return v
}

// Version returns the version of a value, which must be right in every byte.
func (size Values) Version(key string, v []byte) (uint64, error) {
	if len(v) < 8 {
		return 0, fmt.Errorf("%s holds %d bytes that nobody wrote", key, len(v))
	}
	version := binary.LittleEndian.Uint64(v)
	if !bytes.Equal(v, size.Make(key, version)) {
		return 0, fmt.Errorf("%s: %d bytes are not those of version %d", key, len(v), version)
	}
	return version, nil
}
