package inspect

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/internal/op"
	"github.com/fastrestart/frs/segment"
)

// An image is verified in two steps. First every part of it is read: checksums,
// encodings, counts. What each entry claims to be in the log is remembered, 16
// bytes an entry, in the order of the log. Then the walk over the log looks for
// that.

// timeOnly is said of all damage of images.
const timeOnly = "; costs time only: a restart takes another image or the log"

// claim is what one entry says of the log: a record at a position, with these
// contents.
type claim struct {
	lsn LSN
	sum uint64 // of region, key, length and hash of the value, expiry, place in the batch
}

// imageCheck is the verification of one image.
type imageCheck struct {
	Image
	file   string
	damage []Damage
	claims []claim // not found in the log yet, in the order of the log
	absent int     // claims that the log does not bear out
	first  LSN     // the first of these
	buf    []byte
}

// checkImages reads every image of the store.
func (l *Log) checkImages(ctx context.Context, read func(bytes int64)) ([]*imageCheck, error) {
	names, err := l.imageNames()
	if err != nil {
		return nil, err
	}
	var list []*imageCheck
	for _, name := range names {
		c := &imageCheck{file: filepath.Join(l.images().Dir, name)}
		var f *index.Image
		c.Image, f = l.openImage(name)
		switch {
		case f != nil:
			err := c.read(ctx, f, l.tail.First, read)
			if err := errors.Join(err, f.Close()); err != nil {
				return nil, err
			}
		case errors.Is(c.err, index.ErrImage):
			c.bad(0, "%v", c.err)
		default: // of a later version, or not readable
			return nil, fmt.Errorf("%s: %w", c.file, c.err)
		}
		list = append(list, c)
	}
	return list, nil
}

func (c *imageCheck) bad(offset int64, format string, args ...any) {
	c.damage = append(c.damage, Damage{File: c.file, Offset: offset, Reason: fmt.Sprintf(format, args...) + timeOnly, TimeOnly: true})
}

// read verifies all parts and collects the claims. An entry below first is dead:
// its record left the log.
func (c *imageCheck) read(ctx context.Context, f *index.Image, first LSN, read func(bytes int64)) error {
	n := int64(0)
	for i := range f.Regions {
		r := &f.Regions[i]
		for at := range r.Parts {
			if err := ctx.Err(); err != nil {
				return err
			}
			p := r.Parts[at]
			n += int64(p.Entries)
			b, err := f.ReadPart(p, c.buf)
			if c.buf = b; errors.Is(err, index.ErrImage) {
				c.bad(p.Offset, "region %q, part %d: %v", r.Name, at, err)
			} else if err != nil {
				return err
			} else {
				c.part(r, at, b, max(first, LSN(r.Floor)))
			}
			read(p.Length)
		}
	}
	if n != c.Entries {
		c.bad(0, "the header says %d entries, the parts have %d", c.Entries, n)
	}
	slices.SortFunc(c.claims, func(a, b claim) int { return cmp.Or(cmp.Compare(a.lsn, b.lsn), cmp.Compare(a.sum, b.sum)) })
	return nil
}

// part verifies the entries of one part, and says no more than one thing of it.
func (c *imageCheck) part(r *index.ImageRegion, n int, b []byte, dead LSN) {
	p := r.Parts[n]
	say := func(format string, args ...any) {
		c.bad(p.Offset, "region %q, part %d: %s", r.Name, n, fmt.Sprintf(format, args...))
	}
	for range p.Entries {
		e, rest, err := index.NextImageEntry(b)
		switch {
		case err != nil:
			say("%v", err)
			return
		case LSN(e.LSN) >= c.To:
			say("key %q at LSN %d, above the end of what the image knows", e.Key, e.LSN)
			return
		case index.Part(index.HashKey(e.Key), r.PartBits) != n:
			say("key %q belongs to another part", e.Key)
			return
		}
		if b = rest; LSN(e.LSN) >= dead && c.Fits {
			c.claims = append(c.claims, claim{LSN(e.LSN), sumOf(r.ID, e)})
		}
	}
	if len(b) > 0 {
		say("%d bytes behind the entries", len(b))
	}
}

// sumOf is a checksum of what an entry says of its record.
func sumOf(region uint32, e index.ImageEntry) uint64 {
	var b [33]byte
	le := binary.LittleEndian
	le.PutUint32(b[0:], region)
	le.PutUint32(b[4:], uint32(e.ValueLen))
	le.PutUint64(b[8:], e.ValueHash)
	le.PutUint64(b[16:], uint64(e.Expiry))
	le.PutUint32(b[24:], e.Op)
	if e.InBatch {
		b[32] = 1
	}
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write(b[:]) // never fails
	_, _ = d.Write(e.Key)
	return d.Sum64()
}

// frame looks for what is claimed to be in a frame.
func (c *imageCheck) frame(f segment.Frame, o op.Op) {
	for len(c.claims) > 0 && c.claims[0].lsn < f.LSN {
		c.miss(1)
	}
	n := 0
	for n < len(c.claims) && c.claims[n].lsn == f.LSN {
		n++
	}
	if n == 0 {
		return
	}
	found := 0
	if o.Kind != op.KindBatch {
		found = c.has(n, o, 0, false)
	}
	for i := range o.Batch.Len() {
		one, err := o.Batch.At(i)
		if err == nil { // else it is reported as the log's damage
			found += c.has(n, one, uint32(i), true)
		}
	}
	c.miss(n - min(found, n))
	c.claims = c.claims[min(found, n):]
}

// has returns 1 if an operation is among the next n claims.
func (c *imageCheck) has(n int, o op.Op, number uint32, inBatch bool) int {
	if o.Kind != op.KindPut {
		return 0
	}
	sum := sumOf(o.Region, index.ImageEntry{
		Key: o.Key, ValueLen: len(o.Value), ValueHash: index.HashValue(o.Value), Expiry: o.Expiry, Op: number, InBatch: inBatch,
	})
	_, ok := slices.BinarySearchFunc(c.claims[:n], sum, func(c claim, sum uint64) int { return cmp.Compare(c.sum, sum) })
	if ok {
		return 1
	}
	return 0
}

// miss counts the next n claims as not borne out.
func (c *imageCheck) miss(n int) {
	if n > 0 && c.absent == 0 {
		c.first = c.claims[0].lsn
	}
	c.absent += n
	c.claims = c.claims[n:]
}

// finish reports entries that the log does not bear out. In a damaged log their
// records may be what is lost, so it says nothing then.
func (c *imageCheck) finish(logDamaged bool) {
	c.miss(len(c.claims))
	if c.absent > 0 && !logDamaged {
		c.bad(-1, "%d of its entries do not agree with the log, the first at LSN %d", c.absent, c.first)
	}
	c.Damaged = len(c.damage)
}
