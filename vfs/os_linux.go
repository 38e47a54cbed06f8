package vfs

import "golang.org/x/sys/unix"

func syncData(f *osFile) error {
	return f.control("fdatasync", func(fd uintptr) error { return unix.Fdatasync(int(fd)) })
}

// reserve allocates blocks for [0, size) and extends the file to size. The
// blocks are unwritten extents: they read as zeros, and the first write to
// each changes metadata.
func reserve(f *osFile, size int64) error {
	if size == 0 {
		return nil // fallocate refuses it
	}
	return f.control("fallocate", func(fd uintptr) error {
		return unix.Fallocate(int(fd), 0, 0, size)
	})
}

var _ Prefetcher = (*osFile)(nil)

// Prefetch implements [Prefetcher].
func (f *osFile) Prefetch(off, n int64) {
	if n <= 0 {
		return // 0 would be all of the file
	}
	_ = f.control("fadvise", func(fd uintptr) error { // only a hint
		return unix.Fadvise(int(fd), off, n, unix.FADV_WILLNEED)
	})
}
