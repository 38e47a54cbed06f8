package memfs

import "bytes"

// SectorSize is the unit in which unsynced bytes survive a crash or do not.
const SectorSize = 512

const pageSize = 4096

// A page may be changed only by the content that owns it; contents share pages
// otherwise.
type page struct {
	owner *token
	data  [pageSize]byte
}

// token has a size so that each has an address of its own.
type token struct{ _ byte }

// zeroPage stands for a block that is allocated and reads as zeros. Nobody owns
// it, so it is never written.
var zeroPage = new(page)

// content is the bytes of a file, copied on write:
//
//	pages   | data | nil  | zeroPage | data |
//	         4 KiB   hole   allocated        ^ size
//
// Bytes of the last page beyond size are zero.
type content struct {
	size   int64
	pages  []*page
	blocks int    // pages that are not holes
	shared bool   // the slice belongs to another content as well
	own    *token // nil: owns no page yet
}

// share returns a copy in constant time. Both sides lose what they owned.
func (c *content) share() content {
	c.shared, c.own = true, nil
	return *c
}

// load fills p with the bytes at off; those beyond the end are zeros.
func (c *content) load(p []byte, off int64) {
	for len(p) > 0 {
		i, at := int(off/pageSize), int(off%pageSize)
		n := min(len(p), pageSize-at)
		if i < len(c.pages) && c.pages[i] != nil {
			copy(p[:n], c.pages[i].data[at:])
		} else {
			clear(p[:n])
		}
		p, off = p[n:], off+int64(n)
	}
}

// store writes p at off without a change of size.
// REQUIRES: off+len(p) <= size.
func (c *content) store(p []byte, off int64) {
	for len(p) > 0 {
		i, at := int(off/pageSize), int(off%pageSize)
		n := min(len(p), pageSize-at)
		c.reach(i + 1)
		if pg := c.pages[i]; (pg == nil || pg == zeroPage) && isZero(p[:n]) {
			c.setPage(i, zeroPage)
		} else {
			copy(c.writable(i).data[at:], p[:n])
		}
		p, off = p[n:], off+int64(n)
	}
}

// zero writes n zeros at off without a change of size.
func (c *content) zero(off, n int64) {
	for n > 0 {
		step := min(n, pageSize)
		c.store(zeroPage.data[:step], off)
		off, n = off+step, n-step
	}
}

// reserve turns the holes of the first size bytes into blocks and extends the
// content to size.
func (c *content) reserve(size int64) {
	n := pagesOf(size)
	c.reach(n)
	for i := range n {
		if c.pages[i] == nil {
			c.setPage(i, zeroPage)
		}
	}
	c.size = max(c.size, size)
}

// truncate sets the size.
func (c *content) truncate(size int64) {
	if n := pagesOf(size); size < c.size && n <= len(c.pages) {
		c.reach(len(c.pages))
		for i := n; i < len(c.pages); i++ {
			c.setPage(i, nil)
		}
		c.pages = c.pages[:n]
		if at := size % pageSize; at != 0 && c.pages[n-1] != nil && c.pages[n-1] != zeroPage {
			clear(c.writable(n - 1).data[at:])
		}
	}
	c.size = size
}

// holes returns how many of the pages [first, last] are holes.
func (c *content) holes(first, last int) int {
	n := 0
	for i := first; i <= last; i++ {
		if i >= len(c.pages) {
			return n + last - i + 1
		}
		if c.pages[i] == nil {
			n++
		}
	}
	return n
}

// adopt takes over the pages [first, last] of from, which then owns them no
// longer.
func (c *content) adopt(from *content, first, last int) {
	last = min(last, max(len(c.pages), len(from.pages))-1)
	for i := first; i <= last; i++ {
		var pg *page
		if i < len(from.pages) {
			pg = from.pages[i]
		}
		if pg != nil && pg.owner != nil && pg.owner == from.own {
			pg.owner = nil
		}
		c.reach(i + 1)
		c.setPage(i, pg)
	}
}

// reach makes the slice the content's own and at least n long.
func (c *content) reach(n int) {
	if c.shared {
		pages := make([]*page, max(n, len(c.pages)))
		copy(pages, c.pages)
		c.pages, c.shared = pages, false
	}
	for len(c.pages) < n {
		c.pages = append(c.pages, nil)
	}
}

// setPage replaces a page.
// REQUIRES: the slice is the content's own and long enough.
func (c *content) setPage(i int, pg *page) {
	if c.pages[i] != nil {
		c.blocks--
	}
	if pg != nil {
		c.blocks++
	}
	c.pages[i] = pg
}

// writable returns page i as one that only this content has.
func (c *content) writable(i int) *page {
	if c.own == nil {
		c.own = new(token)
	}
	c.reach(i + 1)
	pg := c.pages[i]
	if pg != nil && pg.owner == c.own {
		return pg
	}
	mine := &page{owner: c.own}
	if pg != nil {
		mine.data = pg.data
	}
	c.setPage(i, mine)
	return mine
}

func pagesOf(size int64) int { return int((size + pageSize - 1) / pageSize) }

func isZero(p []byte) bool {
	for len(p) > pageSize {
		if !isZero(p[:pageSize]) {
			return false
		}
		p = p[pageSize:]
	}
	return bytes.Equal(p, zeroPage.data[:len(p)])
}
