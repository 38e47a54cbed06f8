// Command powerloss cuts the power of real file systems under a store that is
// being written, and checks what is left.
//
//	sudo go run ./internal/powerloss
//	sudo go run ./internal/powerloss -ext4 1000 -xfs 0 -btrfs 0 -seed 7
//
// It needs Linux, root, loop devices and mkfs.ext4, mkfs.xfs and mkfs.btrfs; it
// says what is missing, leaves that out and exits with 0. "make powerloss"
// installs what a Debian system lacks.
//
// # A cycle
//
// A file system is made in an image behind a loop device. A child process opens
// a store on it, tells what it found, and writes: from four goroutines, puts,
// deletes and atomic batches over two regions, in sync or in batched mode, with
// segments of every size, compression, compaction and checkpoints all the time,
// closing and reopening. It says on a pipe what it is about to do, what returned
// with which LSN, and how far the store says the log is durable. At a random
// moment, also of an open, of a close or just after one, the file system is shut
// down by ioctl without writing its journal: from then on nothing reaches the
// image. The child is killed, the file system unmounted and mounted again, and
// the next child opens what is there. Some children are killed without a cut, so
// that the next one meets, and makes durable, files that are not on disk.
//
// In nested runs, which are all on btrfs and a quarter of the others, the image
// lies on an outer ext4 and that one is shut down. So the device under the inner
// file system loses its volatile cache.
//
// A cut is real if a file written just before it without a sync is gone, and one
// that was synced is there. Cuts that a canary survived are not counted.
//
// # What must hold
//
// Only what was read from the pipe before the cut began counts as acknowledged:
// a sync that meets the ioctl halfway can return success and do nothing. Each
// write has an LSN and values can be made anew from key and version, so:
//
//   - each key holds a version that was written to it, right in every byte;
//   - one position in the log divides what is there from what is not, over all
//     keys and writers, batches whole;
//   - that position is not before anything that was durable: a Sync write that
//     returned, anything before an answer of WaitDurable, Sync, DurableLSN or
//     Close;
//   - acknowledged batched writes that are lost span at most 3 s; some lives are
//     longer, and nothing but that bound syncs;
//   - single keys are linearizable across the crash in sync mode, by the checker
//     of package crashtest;
//   - what an open found and made durable stays;
//   - every checksum of the log is right after a close;
//   - the store goes on.
//
// With -lie the store's syncs do nothing. A run that does not find that is no
// proof of anything; "make powerloss" begins with one.
//
// # Failures
//
// Exit status 1 means that something was lost or wrong. The message names the
// seed of the campaign (twenty cuts of one file system) and how to run it again,
// and where the last stores as the cuts left them were copied to. The seed fixes
// the plan, not the timing: repeat it.
//
// All mounts are in a mount namespace of their own and loop devices let go when
// unmounted, so that the kernel cleans up however the run ends.
//
// Reading order: plan.go (what is drawn), wire.go (what parent and child say),
// writer.go (the child), linear.go (a second ledger), listener.go and
// life_linux.go (what package child leaves to the parent), campaign_linux.go,
// disk_linux.go (file systems), main_linux.go.
package main
