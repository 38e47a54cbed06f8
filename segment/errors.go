package segment

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrCorrupt is matched by every error that says that bytes are not what
	// was written: a damaged file, a missing file, a hole. Errors of the file
	// system (EIO) do not match it: the bytes could not be looked at.
	ErrCorrupt = errors.New("segment: corrupt")

	// ErrVersion is matched when a file is intact but of a format version that
	// this program does not know. It is never damage: use a newer program.
	ErrVersion = errors.New("segment: unsupported format version")
)

// CorruptionError says where damage was found, and what it costs.
type CorruptionError struct {
	File   string // path; empty when only bytes were given
	Offset int64  // in the file; -1 if the file as a whole is meant
	LSN    LSN    // the first LSN that cannot be read, 0 if unknown
	Last   LSN    // end of what is known to have been there, 0 if unknown
	Reason string
}

// Error implements error.
func (e *CorruptionError) Error() string {
	var b strings.Builder
	b.WriteString("segment: corrupt")
	if e.File != "" {
		fmt.Fprintf(&b, ": %s", e.File)
	}
	if e.Offset >= 0 && e.File != "" {
		fmt.Fprintf(&b, " at offset %d", e.Offset)
	}
	if e.LSN != 0 {
		fmt.Fprintf(&b, ", LSN %d", e.LSN)
	}
	if e.Last != 0 {
		fmt.Fprintf(&b, " to %d", e.Last)
	}
	fmt.Fprintf(&b, ": %s", e.Reason)
	return b.String()
}

// Is reports that the error matches ErrCorrupt.
func (e *CorruptionError) Is(target error) bool { return target == ErrCorrupt }

// Locate fills in what is missing of the place in a corruption error. Other
// errors are returned as they are.
func Locate(err error, file string, offset int64, at LSN) error {
	var c *CorruptionError
	if !errors.As(err, &c) {
		return err
	}
	d := *c
	if d.File == "" {
		d.File, d.Offset = file, offset
	}
	if d.LSN == 0 {
		d.LSN = at
	}
	return &d
}

// VersionError names the version that was found.
type VersionError struct{ Version uint32 }

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("segment: unsupported format version %d, this program knows %d", e.Version, Version)
}

// Is reports that the error matches ErrVersion.
func (e *VersionError) Is(target error) bool { return target == ErrVersion }

func corruptf(format string, args ...any) error {
	return &CorruptionError{Offset: -1, Reason: fmt.Sprintf(format, args...)}
}

// Made once: the scanner and the search for evidence meet them often. They are
// never changed; Locate copies.
var (
	errFrameKind     = corruptf("frame header: invalid kind")
	errFrameReserved = corruptf("frame header: reserved bytes are not zero")
	errFrameField    = corruptf("frame header: impossible length, codec or durable mark")
	errFrameSum      = corruptf("frame header checksum mismatch")
	errFrameLong     = corruptf("frame reaches beyond the end of its segment")
	errPayloadSum    = corruptf("payload checksum mismatch")
	errLowWater      = corruptf("low-water mark that was not durable when its frame was written")
	errPadding       = corruptf("padding is not zero")
	errShort         = corruptf("file ends inside a frame")
	errDecompress    = corruptf("payload does not decompress to its length")
)
