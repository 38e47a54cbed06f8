//go:build (linux || darwin || freebsd) && !race

package offheap

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// heapBacked says whether mapped memory belongs to the Go heap and has to be
// kept reachable.
const heapBacked = false

// chunkBits covers 8 TiB on 64-bit machines, the whole address space elsewhere.
const chunkBits = 10 + 11*(^uint(0)>>63)

const hugePage = 2 << 20

// sysMap returns size bytes of zeroed memory; from 2 MiB on it is aligned to
// 2 MiB, so that the kernel can use huge pages.
func sysMap(size uintptr) (unsafe.Pointer, error) {
	const (
		prot  = unix.PROT_READ | unix.PROT_WRITE
		flags = unix.MAP_ANON | unix.MAP_PRIVATE
	)
	if size < hugePage {
		return unix.MmapPtr(-1, 0, nil, size, prot, flags)
	}
	p, err := unix.MmapPtr(-1, 0, nil, size+hugePage, prot, flags)
	if err != nil {
		return nil, err
	}
	// Cut off what is in front of and behind the aligned range. Should the
	// kernel refuse, only address space is lost: the rest is never touched.
	front := -uintptr(p) & (hugePage - 1)
	base := unsafe.Add(p, front)
	if front > 0 {
		_ = unix.MunmapPtr(p, front)
	}
	if back := hugePage - front; back > 0 {
		_ = unix.MunmapPtr(unsafe.Add(base, size), back)
	}
	return base, nil
}

// sysUnmap gives a whole mapping back. When the kernel refuses (it may run out
// of map entries by splitting one), the pages at least are given back.
func sysUnmap(p unsafe.Pointer, size uintptr) {
	if unix.MunmapPtr(p, size) != nil {
		sysDiscard(p, size)
	}
}

// sysDiscard gives the pages of a range back; the range stays mapped and its
// content is undefined.
func sysDiscard(p unsafe.Pointer, size uintptr) {
	_ = unix.Madvise(unsafe.Slice((*byte)(p), size), discardAdvice)
}
