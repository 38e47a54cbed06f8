//go:build race || !(linux || darwin || freebsd || windows)

package offheap

import "unsafe"

// heapBacked says whether mapped memory belongs to the Go heap and has to be
// kept reachable. The race detector sees accesses to Go memory only.
const heapBacked = true

// chunkBits covers 64 GiB on 64-bit machines, the whole address space
// elsewhere: the table of chunks is Go memory here, so it is kept small.
const chunkBits = 10 + 4*(^uint(0)>>63)

// sysMap returns size bytes of zeroed memory without pointers.
func sysMap(size uintptr) (unsafe.Pointer, error) {
	return unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8))), nil
}

// sysUnmap has nothing to do: the pool forgets the memory.
func sysUnmap(unsafe.Pointer, uintptr) {}

// sysDiscard cannot give back a part of an object.
func sysDiscard(unsafe.Pointer, uintptr) {}

func sysHuge(unsafe.Pointer, uintptr) {}
