package op

import (
	"errors"
	"fmt"
)

// Limits of what a record may hold. The decoder holds them too.
const (
	// MaxKeySize is the length of the longest key, in bytes. The shortest is 0.
	MaxKeySize = 64 << 10
	// MaxValueSize is the length of the longest value, in bytes.
	MaxValueSize = 256 << 20
	// MaxBatchSize is the size of the largest encoded batch, table included.
	MaxBatchSize = 1 << 30
	// MaxNameSize is the length of the longest region, queue or snapshot name.
	MaxNameSize = 128
	// MaxOptionsSize bounds the encoded options of a region.
	MaxOptionsSize = 64 << 10
)

// Errors of the Check functions and of [BatchEncoder]. Nothing was encoded;
// a smaller or better named input may be tried.
var (
	ErrKeyTooLarge   = errors.New("op: key too large")
	ErrValueTooLarge = errors.New("op: value too large")
	ErrBatchTooLarge = errors.New("op: batch too large")
	ErrInvalidName   = errors.New("op: invalid name")
)

// CheckKey returns an error wrapping [ErrKeyTooLarge] if key is longer than
// [MaxKeySize]. A nil or empty key is valid.
func CheckKey(key []byte) error {
	if len(key) > MaxKeySize {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrKeyTooLarge, len(key), MaxKeySize)
	}
	return nil
}

// CheckValue returns an error wrapping [ErrValueTooLarge] if value is longer
// than [MaxValueSize].
func CheckValue(value []byte) error {
	if len(value) > MaxValueSize {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrValueTooLarge, len(value), MaxValueSize)
	}
	return nil
}

// CheckName returns an error wrapping [ErrInvalidName] unless name consists of
// 1 to [MaxNameSize] characters of A-Z a-z 0-9 _ . - and is neither "." nor
// "..". Names become parts of file names, so they can never leave a directory.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: empty", ErrInvalidName)
	case len(name) > MaxNameSize:
		return fmt.Errorf("%w: %d characters, at most %d", ErrInvalidName, len(name), MaxNameSize)
	case name == "." || name == "..":
		return fmt.Errorf("%w: %q is reserved", ErrInvalidName, name)
	}
	for i := range len(name) {
		if !nameByte(name[i]) {
			return fmt.Errorf("%w: %q has %q at %d, want A-Z a-z 0-9 _ . -", ErrInvalidName, name, name[i], i)
		}
	}
	return nil
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '_' || c == '.' || c == '-'
}
