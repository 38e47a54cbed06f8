package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// errMissing: this machine cannot do what is needed, which is not a failure.
var errMissing = errors.New("not possible here")

// The ioctl that shuts a file system down is XFS_IOC_GOINGDOWN, which ext4 took
// over as EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32). The flag leaves what the
// journal holds in memory unwritten.
const (
	ioctlShutdown   = 0x8004587d
	flagsNoLogFlush = 2
)

// sizes of images. XFS refuses less than 300 MiB.
const (
	imageSize = 512 << 20
	innerSize = 384 << 20
)

// layer is a file system in an image.
type layer struct {
	fs      string
	options string // of the mount
	image   string
	point   string // where it is mounted
	mounted bool
}

// disk is a file system whose power can be cut: the last layer holds the files,
// the first is shut down.
type disk struct{ layers []*layer }

// makeDisk makes a file system and mounts it, in an image on an outer ext4 if it
// is nested. work is a directory of its own.
func makeDisk(ctx context.Context, work, kind, options string, nested bool) (d *disk, err error) {
	d = &disk{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.down())
		}
	}()
	top := &layer{fs: kind, options: options, image: filepath.Join(work, "image"), point: filepath.Join(work, "mnt")}
	size := int64(imageSize)
	if nested {
		outer := &layer{fs: "ext4", image: filepath.Join(work, "outer"), point: filepath.Join(work, "outer-mnt")}
		if err := d.add(ctx, outer, imageSize); err != nil {
			return d, err
		}
		top.image = filepath.Join(outer.point, "image")
		size = innerSize
	}
	if err := d.add(ctx, top, size); err != nil {
		return d, err
	}
	return d, nil
}

// add makes a layer, on those that are there, and mounts it.
func (d *disk) add(ctx context.Context, l *layer, size int64) error {
	err := errors.Join(os.MkdirAll(l.point, 0o700), makeImage(l.image, size, len(d.layers) > 0))
	if err != nil {
		return err
	}
	if err := mkfs(ctx, l.fs, l.image); err != nil {
		return err
	}
	d.layers = append(d.layers, l)
	return l.mount()
}

// makeImage makes an empty image. A written one has all its blocks, so that
// what the inner file system writes goes to its place on the outer one, as it
// does on a device.
func makeImage(name string, size int64, written bool) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zeros := make([]byte, 1<<20)
	for at := int64(0); written && at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros, at); err != nil {
			return err
		}
	}
	return errors.Join(f.Truncate(size), f.Sync())
}

// mkfs never discards: that would take the blocks of an image from it.
func mkfs(ctx context.Context, kind, image string) error {
	args := map[string][]string{
		"ext4":  {"mkfs.ext4", "-q", "-F", "-E", "nodiscard"},
		"xfs":   {"mkfs.xfs", "-q", "-f", "-K"},
		"btrfs": {"mkfs.btrfs", "-q", "-f", "-K"},
	}[kind]
	path, err := lookTool(args[0])
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, path, append(args[1:], image)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", args[0], err, bytes.TrimSpace(out))
	}
	return nil
}

// lookTool finds a command of the administrator, whose directories need not be
// in the path.
func lookTool(name string) (string, error) {
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: there is no %s", errMissing, name)
}

// mount attaches the image to a loop device and mounts that. The device lets
// go of the image when it is unmounted.
func (l *layer) mount() error {
	device, loop, err := attach(l.image)
	if err != nil {
		return fmt.Errorf("loop device for %s: %w", l.image, missing(err))
	}
	defer loop.Close() // the mount holds it
	if err := unix.Mount(device, l.point, l.fs, unix.MS_NOATIME, l.options); err != nil {
		return fmt.Errorf("mount %s with options %q: %w", l.fs, l.options, missing(err))
	}
	l.mounted = true
	return nil
}

// missing tells what the machine does not allow or have from what went wrong.
func missing(err error) error {
	for _, e := range []error{unix.EPERM, unix.EACCES, unix.ENODEV, fs.ErrNotExist} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", errMissing, err)
		}
	}
	return err
}

// attach finds a free loop device; others may be looking as well.
func attach(image string) (device string, loop *os.File, err error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", nil, err
	}
	defer control.Close()
	backing, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return "", nil, err
	}
	defer backing.Close()
	for range 20 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return "", nil, err
		}
		device = fmt.Sprintf("/dev/loop%d", n)
		if loop, err = os.OpenFile(device, os.O_RDWR, 0); err != nil {
			return "", nil, err
		}
		config := unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		if err = unix.IoctlLoopConfigure(int(loop.Fd()), &config); err == nil {
			return device, loop, nil
		}
		_ = loop.Close()
		if !errors.Is(err, unix.EBUSY) {
			return "", nil, err
		}
	}
	return "", nil, errors.New("every free loop device is taken at once")
}

// root is the directory of the file system.
func (d *disk) root() string { return d.layers[len(d.layers)-1].point }

// shutDown cuts the power: nothing that the kernel has not written yet is
// written any more. The file system stays mounted, dead.
func (d *disk) shutDown() (err error) {
	dir, err := os.Open(d.layers[0].point)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.IoctlSetPointerInt(int(dir.Fd()), ioctlShutdown, flagsNoLogFlush); err != nil {
		return fmt.Errorf("shut down %s: %w", d.layers[0].fs, err)
	}
	return nil
}

// restart brings the power back.
func (d *disk) restart() error {
	if err := d.down(); err != nil {
		return err
	}
	for _, l := range d.layers {
		if err := l.mount(); err != nil {
			return err
		}
	}
	return nil
}

// down unmounts what is mounted.
func (d *disk) down() error {
	for _, l := range slices.Backward(d.layers) {
		if err := l.unmount(); err != nil {
			return err
		}
	}
	return nil
}

// unmount waits for what a killed process or a loop device still holds.
func (l *layer) unmount() (err error) {
	for range 1000 {
		if !l.mounted {
			return nil
		}
		if err = unix.Unmount(l.point, 0); !errors.Is(err, unix.EBUSY) {
			l.mounted = err != nil
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", l.point, err)
	}
	return nil
}
