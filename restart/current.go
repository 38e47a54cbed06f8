package restart

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/fsync"
	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs"
)

// Names in a store's directory. docs/format/store.md draws it.
const (
	lockName    = "LOCK"
	currentName = "CURRENT"
	logName     = "log"
)

// generationName is the directory of one generation of the store's files.
func generationName(n uint32) string { return fmt.Sprintf("gen-%06d", n) }

func logDir(dir string, generation uint32) string {
	return filepath.Join(dir, generationName(generation), logName)
}

// lineage is one link of the chain of histories that led to the store's
// present content. A restore starts a new one.
type lineage struct {
	id    [16]byte
	first LSN
}

// current says which files are the store. It is published atomically; the one
// rename is what a restore consists of.
type current struct {
	storeID    [16]byte
	generation uint32
	lineages   []lineage // oldest first, never empty
}

// Part of the file format: never change.
const (
	currentMagic   = "frsCURR\x00"
	currentVersion = 1
	// magic 8, version 4, generation 4, store id 16, number of lineages 4,
	// reserved 4; then per lineage id 16 and first LSN 8; then xxhash64 of all
	// of it. Integers are little-endian.
	currentFixed   = 40
	lineageSize    = 24
	maxLineages    = 1 << 16
	maxCurrentSize = currentFixed + maxLineages*lineageSize + 8
)

func (c current) encode() []byte {
	b := make([]byte, 0, currentFixed+len(c.lineages)*lineageSize+8)
	b = append(b, currentMagic...)
	b = binary.LittleEndian.AppendUint32(b, currentVersion)
	b = binary.LittleEndian.AppendUint32(b, c.generation)
	b = append(b, c.storeID[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.lineages)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	for _, l := range c.lineages {
		b = append(b, l.id[:]...)
		b = binary.LittleEndian.AppendUint64(b, uint64(l.first))
	}
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}

// decodeCurrent is the inverse of encode. The error is ErrUnsupported for a
// later version and says what is wrong for anything else.
func decodeCurrent(b []byte) (c current, err error) {
	if len(b) < currentFixed+lineageSize+8 || string(b[:8]) != currentMagic {
		return c, errors.New("not a CURRENT file")
	}
	// The checksum ends the file in every version, so that an intact file of a
	// later version is told from a damaged one.
	body, sum := b[:len(b)-8], binary.LittleEndian.Uint64(b[len(b)-8:])
	if xxhash.Sum64(body) != sum {
		return c, errors.New("checksum of CURRENT")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != currentVersion {
		return c, fmt.Errorf("%w: CURRENT version %d, this program reads %d", ErrUnsupported, v, currentVersion)
	}
	c.generation = binary.LittleEndian.Uint32(b[12:])
	copy(c.storeID[:], b[16:])
	n := binary.LittleEndian.Uint32(b[32:])
	if binary.LittleEndian.Uint32(b[36:]) != 0 || n == 0 || n > maxLineages || len(body) != currentFixed+int(n)*lineageSize {
		return c, errors.New("fields of CURRENT")
	}
	for at := currentFixed; at < len(body); at += lineageSize {
		l := lineage{first: LSN(binary.LittleEndian.Uint64(b[at+16:]))}
		copy(l.id[:], b[at:])
		c.lineages = append(c.lineages, l)
	}
	return c, nil
}

// lineage returns the store's present lineage.
func (c current) lineage() lineage { return c.lineages[len(c.lineages)-1] }

// readCurrent returns the store's CURRENT file; found is false when there is
// none.
func readCurrent(fsys vfs.FS, dir string) (c current, found bool, err error) {
	b, err := fsync.ReadFile(fsys, filepath.Join(dir, currentName), maxCurrentSize)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	c, err = decodeCurrent(b)
	if err != nil && !errors.Is(err, ErrUnsupported) {
		err = &segment.CorruptionError{File: filepath.Join(dir, currentName), Reason: err.Error()}
	}
	return c, true, err
}

func writeCurrent(fsys vfs.FS, dir string, c current) error {
	return fsync.PublishFile(fsys, dir, currentName, c.encode())
}
