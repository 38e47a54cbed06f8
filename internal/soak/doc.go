// Command soak does everything to a store at once, for as long as it is told
// to, on real files, and checks it against a model.
//
//	go run -tags invariants ./internal/soak -time 1h
//	go run -tags invariants ./internal/soak -time 10m -seed 7 -dir /mnt/disk
//
// # A round
//
// A child process opens the store in a configuration drawn at random: segment
// size, memory limit, compression, compaction policy, durability, load mode,
// restart budget. It tells what it found, and works: from four goroutines it
// puts values of 0 bytes to 768 KiB, with and without a time to live, deletes,
// applies batches over three regions, reads, scans in order and without, each
// write with a durability of its own. Others take checkpoints, collect garbage,
// and scan what the rest changes. Now and then everybody stops, and a region is
// cleared, or dropped and created anew, or everything is compared, or the
// compactor is given time to do what its policy promises. The child closes the
// store and opens it in another configuration, again and again, until it is told
// to close, or is killed: while it writes, opens, loads or closes.
//
// # What must hold
//
// A worker owns its keys and knows what each of them holds: every read and scan
// of a worker is compared with that, while all goes on. Of the keys of others it
// knows that the value must be one that was written, right in every byte.
//
// The child says on a pipe what it is about to do, what has returned with which
// LSN, and how far the log is durable; so its parent knows what the store must
// hold after a kill (package ledger). Of batched writes and of those that nobody
// wants durable the process may have kept the last in memory: these may be
// missing, but only behind one position of the log, and batched ones for no more
// than 3 s. A time to live goes on where it was.
//
// After some rounds every byte of the files is verified, as frsinspect does it.
//
// All the time: open files, goroutines and resident memory go back to what they
// were when the store is closed; files, Go heap, resident memory and the store's
// own memory are bounded; when nobody writes, the log shrinks to what the
// compaction policy says.
//
// # Failures
//
// Exit status 1 means that something was lost, wrong or beyond its bound. The
// message says what, with the seed of the run, and where the store is kept: as
// the last child left it, and beside it ("before") as it found it. The seed fixes
// what is drawn, not the timing: repeat it.
//
// What depends on /proc is not looked at elsewhere, which the first line says.
//
// Reading order: plan.go (what is drawn), child.go (a child's life), worker.go,
// check.go, shared.go (what the workers stop for), bounds.go; life.go (what
// package child leaves to the parent), run.go (rounds and report), main.go.
package main
