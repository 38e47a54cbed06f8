//go:build linux && !race

package offheap

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const discardAdvice = unix.MADV_DONTNEED

// sysHuge asks for huge pages. A refusal costs speed, nothing else.
func sysHuge(p unsafe.Pointer, size uintptr) {
	_ = unix.Madvise(unsafe.Slice((*byte)(p), size), unix.MADV_HUGEPAGE)
}
