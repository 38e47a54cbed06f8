//go:build darwin || freebsd || linux

package vfs

import "golang.org/x/sys/unix"

func statfs(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	for {
		err = unix.Statfs(dir, &st)
		if err != unix.EINTR {
			break
		}
	}
	// The fields' types differ between systems, and free blocks may be
	// negative where a reserve for root is in use.
	block := int64(st.Bsize)
	return max(0, int64(st.Bavail)) * block, int64(st.Blocks) * block, err
}
