package index_test

import (
	"testing"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/offheap"
)

// FuzzHash runs a string of operations, two bytes each, against a map: what to
// do, and which of 256 keys. A mode in the first byte makes the keys collide.
func FuzzHash(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 2, 2, 1, 4, 0})
	f.Add([]byte("\x01\x00a\x00b\x00c\x00d\x00e\x00f\x00g\x00h\x00i\x02a\x02b\x03c\x01d"))
	f.Add([]byte("\x02\x04a\x04b\x04c\x04d\x05\x00\x03\x00\x06z"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) == 0 || len(ops) > 4096 {
			return
		}
		mask := [...]uint64{^uint64(0), 0, 0xffffff << 40, 3 << 36}[ops[0]&3]
		tb := collide(t, func(x uint64) uint64 { return x & mask })
		var scanned []offheap.Ref
		from := uint32(0)
		for lsn := uint64(0); len(ops) > 2; lsn++ {
			op, key := ops[1]%7, string(ops[2:3])
			ops = ops[2:]
			switch op {
			case 0:
				tb.put(key, lsn)
			case 1:
				tb.delete(key)
			case 2:
				tb.get(key)
			case 3: // a step of a scan
				scanned, from = tb.h.Scan(from, 3, scanned[:0])
				if from %= index.EndTag; len(scanned) > len(tb.want) {
					t.Fatal("scan returned too much")
				}
			case 4: // many keys at once
				for i := range byte(32) {
					tb.put(key+string(i), lsn)
				}
			case 5:
				for i := range byte(32) {
					tb.delete(key + string(i))
				}
			case 6:
				if err := tb.h.Grow(tb.hash([]byte(key))); err != nil {
					t.Fatal(err)
				}
			}
		}
		tb.compare()
		for key := range tb.want {
			tb.delete(key)
		}
		tb.h.Reset()
		if tb.pool.Used() != 0 {
			t.Fatalf("%d bytes used by an empty table", tb.pool.Used())
		}
	})
}
