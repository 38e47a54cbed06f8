//go:build windows && !race

package offheap

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// heapBacked says whether mapped memory belongs to the Go heap and has to be
// kept reachable.
const heapBacked = false

// chunkBits covers 8 TiB on 64-bit machines, the whole address space elsewhere.
const chunkBits = 10 + 11*(^uint(0)>>63)

const memReset = 0x80000

// sysMap returns size bytes of zeroed memory, aligned to 64 KiB.
func sysMap(size uintptr) (unsafe.Pointer, error) {
	addr, err := windows.VirtualAlloc(0, size, windows.MEM_RESERVE|windows.MEM_COMMIT, windows.PAGE_READWRITE)
	if err != nil {
		return nil, err
	}
	// The address is not Go memory, so reading it back as a pointer is all
	// the conversion there is.
	return *(*unsafe.Pointer)(unsafe.Pointer(&addr)), nil
}

// sysUnmap gives a whole mapping back.
func sysUnmap(p unsafe.Pointer, size uintptr) {
	if windows.VirtualFree(uintptr(p), 0, windows.MEM_RELEASE) != nil {
		sysDiscard(p, size)
	}
}

// sysDiscard tells that the content of a range is not needed any more.
func sysDiscard(p unsafe.Pointer, size uintptr) {
	_, _ = windows.VirtualAlloc(uintptr(p), size, memReset, windows.PAGE_READWRITE)
}

// sysHuge does nothing: large pages need a privilege here.
func sysHuge(unsafe.Pointer, uintptr) {}
