//go:build (darwin || freebsd) && !race

package offheap

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const discardAdvice = unix.MADV_FREE

// sysHuge does nothing: these systems promote aligned memory by themselves.
func sysHuge(unsafe.Pointer, uintptr) {}
