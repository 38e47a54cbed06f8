package fuzz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/segment"
	"github.com/fastrestart/frs/vfs/memfs"
	"github.com/fastrestart/frs/wal"
)

// record is a frame of a log: where it is, and what is in it.
type record struct {
	lsn  segment.LSN
	kind segment.Kind
	hash uint64
}

// records returns the frames of a log up to the first that cannot be read.
func records(l *wal.Log) (list []record, err error) {
	s := l.Scan(0, 0)
	defer s.Close() // returns nil
	for {
		f, err := s.Next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		if n := len(list); n > 0 && f.LSN <= list[n-1].lsn {
			return list, fmt.Errorf("frame %d behind frame %d", f.LSN, list[n-1].lsn)
		}
		list = append(list, record{f.LSN, f.Kind, xxhash.Sum64(f.Payload)})
	}
}

// data returns the records of the layer above.
func data(list []record) []record {
	return slices.DeleteFunc(slices.Clone(list), func(r record) bool { return r.kind != segment.Data })
}

// refusal returns nil for the errors with which a log may refuse to open.
func refusal(err error) error {
	if errors.Is(err, segment.ErrCorrupt) || errors.Is(err, segment.ErrVersion) || errors.Is(err, wal.ErrForeign) ||
		errors.Is(err, fs.ErrNotExist) || errors.Is(err, wal.ErrFull) {
		return nil
	}
	return err
}

func logOptions(fs *memfs.FS) wal.Options {
	return wal.Options{FS: fs, SegmentSize: wal.MinSegmentSize}
}

// logMaker makes the files of a log by a program.
type logMaker struct {
	fs   *memfs.FS
	p    *program
	last segment.Header // of the newest segment that was made as one should be
	end  segment.LSN    // of its frames
	list []byte         // what TAIL says of the segments that were made, the newest last
	// forged: there is something, under a good checksum, that no writer writes.
	forged bool
}

var rawNames = append([]string{
	"TAIL", "TAIL.tmp", "LOCK", "rubbish",
	segment.FileName(4096, 1), segment.FileName(4096, 2), segment.FileName(8192, 1),
	segment.TempName(1), segment.TempName(77),
	segment.TornName(segment.FileName(4096, 1), 4200),
}, "0000000000001000-00000001.SEG")

// file makes one file.
func (m *logMaker) file() error {
	switch m.p.below(4) {
	case 0:
		name := one(m.p, rawNames...)
		return create(m.fs, filepath.Join(dir, name), m.p.take(m.p.below(300)))
	case 1:
		return m.tail()
	case 2:
		return m.segment(true)
	default:
		return m.segment(false)
	}
}

// segment makes a segment that continues the last one; patched: with other
// fields in its header.
func (m *logMaker) segment(patched bool) error {
	h := segment.Header{Base: 4096, Cut: 4096, LowWater: 4096, Epoch: 1, Salt: 7, Allocated: segment.HeaderSize}
	if m.end != 0 {
		h = m.last
		h.PredBase, h.PredEpoch = h.Base, h.Epoch
		h.Base, h.Cut, h.Salt = m.end, m.end, h.Salt+1
		if h.Epoch += uint32(m.p.below(2)); h.Epoch > h.PredEpoch {
			h.Base -= segment.LSN(m.p.below(40)) * 8 // cuts the end of the last one
			h.Base = max(h.Base, h.PredBase+8)
			h.Cut = h.Base
		}
	}
	if patched {
		m.forged = true
		m.forge(&h)
	}
	b := newBuilder(h)
	for range 1 + m.p.below(6) {
		b.add(m.p)
	}
	if m.p.byte()&1 == 0 {
		b.pad()
		b.footer(m.p, false)
	}
	if patched && m.p.byte()&1 == 1 {
		patch(m.p, b.file[:segment.HeaderSize])
	}
	m.forged = m.forged || b.lied
	m.last, m.end = h, framesEnd(b)
	m.list = appendOutline(m.list, &h, len(b.file))
	return create(m.fs, filepath.Join(dir, segment.FileName(h.Base, h.Epoch)), b.file)
}

// appendOutline appends what TAIL says of a segment.
func appendOutline(b []byte, h *segment.Header, size int) []byte {
	le := binary.LittleEndian
	for _, v := range []uint64{uint64(h.Base), uint64(h.Cut), uint64(h.PredBase), h.Salt, uint64(size)} {
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(b, h.Epoch)
	b = le.AppendUint32(b, h.PredEpoch)
	return append(b, h.Lineage[:]...)
}

// framesEnd returns where the valid frames of a file end.
func framesEnd(b *builder) segment.LSN {
	s := segment.NewScanner(bytes.NewReader(b.file), int64(len(b.file)), b.h, segment.ScanOptions{Codecs: &codecs})
	for {
		if _, err := s.Next(); err != nil {
			return s.Pos()
		}
	}
}

// forge changes fields of a header.
func (m *logMaker) forge(h *segment.Header) {
	p := m.p
	for range 1 + p.below(3) {
		switch p.below(9) {
		case 0:
			h.Base = segment.LSN(p.uint64()) &^ 7
		case 1:
			h.Epoch = uint32(p.uint64())
		case 2:
			h.Cut = segment.LSN(p.uint16()) * 8
		case 3:
			h.PredBase, h.PredEpoch = segment.LSN(p.uint16())*8, uint32(p.byte())
		case 4:
			h.LowWater = segment.LSN(p.uint16()) * 8
		case 5:
			h.HighTime = int64(p.uint64())
		case 6:
			h.Allocated = int64(p.uint64())
		case 7:
			h.Store[0] ^= p.byte()
		case 8:
			h.Lineage[0] ^= p.byte()
		}
	}
}

// tail makes a TAIL that says something about the last segment, and lists the
// others.
func (m *logMaker) tail() error {
	const fixed, outline = 72, 64
	older := m.list[:max(0, len(m.list)-outline)]
	b := append(make([]byte, fixed, fixed+len(older)+8), older...)
	b = b[:len(b)+8]
	copy(b, "frs-tail")
	le := binary.LittleEndian
	le.PutUint32(b[8:], 1)
	le.PutUint32(b[12:], m.last.Epoch)
	copy(b[16:], m.last.Store[:])
	le.PutUint64(b[32:], uint64(m.last.Base))
	le.PutUint64(b[40:], uint64(max(m.end, m.last.Base)-segment.LSN(m.p.below(9))*8))
	le.PutUint32(b[64:], uint32(len(older)/outline))
	if n := m.p.below(21); n > 0 {
		m.forged = true
		patch(&program{m.p.take(n)}, b)
	}
	seal(b)
	return create(m.fs, filepath.Join(dir, "TAIL"), b)
}

// FuzzLogFiles: a directory with any files in it is refused as a log, or it is
// one: reading changes nothing and shows what an open for writing shows; what
// is appended then is there behind it, unless something lies under a good checksum.
func FuzzLogFiles(f *testing.F) {
	const seg, forged, raw, tail = 3, 2, 0, 1
	f.Add([]byte{seg, 2, shapeData, 0, 50, shapeData, 0, 60, shapeData, 0, 9, 0})
	f.Add([]byte{seg, 1, shapeData, 0, 50, shapeData, 0, 60, 0, seg, 0, 1, shapeData, 0, 50, shapeData, 0, 60, 1, tail, 0, 0})
	f.Add([]byte{seg, 1, shapeData, 0, 50, shapeData, 0, 60, 0, seg, 1, 3, 1, shapeData, 0, 50, shapeRaw, 0, 8, 9, 9, 9, 9, 9, 9, 9, 9, 1, raw, 9, 30, 1, 2})
	f.Add([]byte{forged, 1, 4, 2, 0, 1, shapeControl, 0, 1, 2, 0, shapeData, 0, 60, 0, 0})
	f.Add([]byte{forged, 0, 6, 1, 0, 0, 0, 0, 0, 0, 0, 1, shapeData, 0, 60, 1, 0})
	f.Add([]byte{tail, 0, 0, raw, 4, 20, 1, 2, 3})
	f.Add([]byte{seg, 0, shapeData, 0, 50, 0, tail, 1, 20, 0, 40, 8})
	f.Add([]byte{seg, 1, shapePacked, 0, 0, 4, 30, 0, shapeLie, 0, 2, 9, 5, 1})
	addRandom(f, 20, 150)
	f.Fuzz(func(t *testing.T, input []byte) {
		m := &logMaker{fs: memfs.New(), p: &program{input}}
		if err := m.fs.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		for range 6 {
			if m.p.done() {
				break
			}
			if err := m.file(); err != nil {
				t.Fatal(err)
			}
		}
		bounded(t, 64*mib, func() { openAny(t, m.fs, m.forged) })
		noOpenFiles(t, m.fs)
	})
}

// openAny opens a log of unknown content for reading, for writing, and again.
func openAny(t *testing.T, fs *memfs.FS, forged bool) {
	before := fs.Fingerprint()
	o := logOptions(fs)
	o.ReadOnly = true
	shown, damaged, readable := look(t, o)
	if fs.Fingerprint() != before {
		t.Fatal("a read-only open changed a file")
	}
	o.TrustTail = true
	trusted, broken, opened := look(t, o)
	if whole := readable && !damaged; whole || opened && !broken && !forged {
		if !forged && (whole != opened || broken) || opened && !broken && whole && !slices.Equal(data(trusted), data(shown)) {
			t.Fatalf("TAIL trusted: %d records, damaged %v, readable %v; every header read: %d, %v, %v",
				len(trusted), broken, opened, len(shown), damaged, readable)
		}
	}
	l, err := wal.Open(dir, logOptions(fs))
	if err != nil {
		if err := refusal(err); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := records(l)
	if (err != nil) != damaged || readable && !slices.Equal(data(got), data(shown)) || !readable && len(data(got)) > 0 {
		t.Fatalf("opened for writing: %d records, %v; for reading: %d, damaged %v", len(got), err, len(shown), damaged)
	}
	added, err := appendTwo(l)
	if err := errors.Join(err, l.Close()); err != nil {
		if refusal(err) != nil && !damaged {
			t.Fatal(err)
		}
		return
	}
	if damaged || forged {
		return
	}
	o = logOptions(fs)
	o.ReadOnly = true
	again, damaged, readable := look(t, o)
	if damaged || !readable || !slices.Equal(data(again), append(data(got), added...)) {
		t.Fatalf("opened again: %d records, damaged %v, readable %v; there were %d", len(data(again)), damaged, readable, len(data(got)))
	}
}

// look opens a log, reads it and closes it.
func look(t *testing.T, o wal.Options) (list []record, damaged, readable bool) {
	l, err := wal.Open(dir, o)
	if err != nil {
		if err := refusal(err); err != nil {
			t.Fatal(err)
		}
		return nil, false, false
	}
	list, err = records(l)
	if err != nil && refusal(err) != nil {
		t.Fatal(err)
	}
	if cerr := l.Close(); cerr != nil {
		t.Fatal(cerr)
	}
	return list, err != nil, true
}

func appendTwo(l *wal.Log) (list []record, err error) {
	for i := range 2 {
		payload := noise(uint64(i), 100)
		p, err := l.Prepare(payload, wal.WriteOptions{Durability: wal.Sync})
		if err != nil {
			return list, err
		}
		lsn, end := l.Append(&p)
		if err := l.Wait(end, wal.Sync); err != nil {
			return list, err
		}
		list = append(list, record{lsn, segment.Data, xxhash.Sum64(payload)})
	}
	return list, nil
}
