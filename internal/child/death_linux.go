package child

import "syscall"

// dieWithParent has the kernel kill a child when the thread that started it ends,
// which is when the parent does: goroutines that end while locked to a thread
// would end that, and nothing that starts children does it.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
