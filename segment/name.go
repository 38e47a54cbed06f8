package segment

import (
	"fmt"
	"strconv"
)

// Part of the file format: never change.
const (
	fileSuffix = ".seg"
	tornSuffix = ".torn"
	tempSuffix = ".seg.tmp"

	nameLen = 16 + 1 + 8
)

// FileName returns the base name of a segment file.
func FileName(base LSN, epoch uint32) string {
	return fmt.Sprintf("%016x-%08x%s", uint64(base), epoch, fileSuffix)
}

// ParseFileName is the inverse of FileName. It accepts nothing that FileName
// does not return.
func ParseFileName(name string) (base LSN, epoch uint32, ok bool) {
	if len(name) != nameLen+len(fileSuffix) {
		return 0, 0, false
	}
	b, err1 := strconv.ParseUint(name[:16], 16, 64)
	e, err2 := strconv.ParseUint(name[17:nameLen], 16, 32)
	if err1 != nil || err2 != nil || name != FileName(LSN(b), uint32(e)) {
		return 0, 0, false
	}
	return LSN(b), uint32(e), true
}

// TornName returns the base name of the file that keeps what was cut off the
// segment called name at LSN cut.
func TornName(name string, cut LSN) string {
	return fmt.Sprintf("%s.%016x%s", name, uint64(cut), tornSuffix)
}

// ParseTornName is the inverse of TornName.
func ParseTornName(name string) (segment string, cut LSN, ok bool) {
	const tail = 1 + 16 + len(tornSuffix)
	if len(name) < tail {
		return "", 0, false
	}
	segment = name[:len(name)-tail]
	if _, _, ok := ParseFileName(segment); !ok {
		return "", 0, false
	}
	c, err := strconv.ParseUint(name[len(segment)+1:len(segment)+17], 16, 64)
	if err != nil || name != TornName(segment, LSN(c)) {
		return "", 0, false
	}
	return segment, LSN(c), true
}

// TempName returns the base name of the n-th file that is prepared to become a
// segment.
func TempName(n uint32) string { return fmt.Sprintf("next-%08x%s", n, tempSuffix) }

// IsTempName reports whether TempName made the name. Such a file holds nothing
// that was acknowledged.
func IsTempName(name string) bool {
	const prefix = len("next-")
	if len(name) != prefix+8+len(tempSuffix) {
		return false
	}
	n, err := strconv.ParseUint(name[prefix:prefix+8], 16, 32)
	return err == nil && name == TempName(uint32(n))
}
