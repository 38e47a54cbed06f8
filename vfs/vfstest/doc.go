// Package vfstest is the conformance suite of [vfs.FS]: what an implementation
// must do apart from what survives a power failure, which no test of a real
// file system can see.
//
//	func TestConformance(t *testing.T) {
//		vfstest.Run(t, func(t *testing.T) (vfs.FS, string) {
//			return vfs.Default, t.TempDir()
//		})
//	}
package vfstest
