package index_test

import (
	"testing"

	"github.com/fastrestart/frs/index"
	"github.com/fastrestart/frs/offheap"
)

// BenchmarkOrdered measures the tree on random 16-byte keys: one by one
// inserts into a full-size tree, whole scans in chunks, and the bulk load.
func BenchmarkOrdered(b *testing.B) {
	forSizes(b, func(b *testing.B, n int) {
		pool := offheap.NewPool(offheap.PoolOptions{})
		defer pool.Close()
		a := pool.NewArena()
		refs := make([]offheap.Ref, n)
		var buf [16]byte
		for i := range refs {
			key := benchKey(&buf, uint64(i))
			refs[i], _ = index.NewCell(a, index.CellSpec{Key: key, Value: key})
		}
		o := index.NewOrdered(a)
		perKey := func(b *testing.B, keys int) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(keys), "ns/key")
		}
		b.Run("bulk", func(b *testing.B) {
			for b.Loop() {
				o.Clear()
				o.BulkLoad(refs)
			}
			perKey(b, n)
		})
		b.Run("delete+insert", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				ref := refs[i%n]
				o.Delete(ref)
				o.Insert(ref)
			}
		})
		for _, values := range []bool{false, true} {
			name := "scan"
			if values {
				name = "scan+values"
			}
			b.Run(name, func(b *testing.B) {
				var c index.Chunk
				for b.Loop() {
					opt := index.ScanOptions{Values: values}
					var from []byte
					for more := true; more; {
						more = o.AscendFrom(from, opt, &c)
						from, opt.Exclusive = c.Key(c.Len()-1), true
					}
				}
				perKey(b, n)
			})
		}
	})
}
