package overflow_test

import (
	"fmt"

	"github.com/fastrestart/frs/overflow"
)

// page is a cached page; used is its recency bit.
type page struct {
	name string
	used bool
	data []byte
}

// cache is the pages in a circle.
type cache struct {
	pages []*page
	hand  int
}

func (c *cache) Next() (*page, bool) {
	p := c.pages[c.hand]
	c.hand = (c.hand + 1) % len(c.pages)
	return p, true
}

func (c *cache) Touched(p *page) bool {
	was := p.used
	p.used = false
	return was
}

func (c *cache) Evict(p *page) int64 {
	n := len(p.data)
	p.data = nil
	return int64(n)
}

// Two pages of 100 bytes have to go. The first one was used and stays.
func Example() {
	c := &cache{}
	var account overflow.Account
	account.SetLimits(overflow.Limits{Bytes: 250})
	for _, name := range []string{"a", "b", "c", "d"} {
		c.pages = append(c.pages, &page{name: name, data: make([]byte, 100)})
		account.Add(1, 100)
	}
	c.pages[0].used = true

	s := overflow.Clock(c, account.Excess().Bytes, 2*len(c.pages))
	account.Add(-int64(s.Evicted), -s.Freed)

	for _, p := range c.pages {
		fmt.Println(p.name, len(p.data))
	}
	fmt.Println(account.Usage().Bytes, account.Over())
	// Output:
	// a 100
	// b 0
	// c 0
	// d 100
	// 200 false
}
