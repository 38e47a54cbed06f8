package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// child is a running writer.
type child struct {
	cmd   *exec.Cmd
	ready chan struct{} // closed when it has opened the store
	acked chan struct{} // closed when it has acknowledged what was asked for
	done  chan error    // what ended the reading of its lines
	// progress is the last that it said of itself. Read it once done has.
	progress progress
}

// killOnce lets a child write, kills it, and checks what is left.
func (r *runner) killOnce(ctx context.Context) error {
	before := r.ledger.acked
	// Now and then a child is killed while it opens the store that a kill left.
	opening := r.entries == nil && r.result.Kills > 0 && r.rng.IntN(3) == 0
	said, err := r.killWriting(ctx)
	if err != nil {
		return err
	}
	r.result.Kills++
	if opening {
		if err := r.killOpening(ctx); err != nil {
			return err
		}
	}
	inFlight := r.ledger.inFlight()
	r.result.Issued, r.result.Acked = r.ledger.issued, r.ledger.acked
	r.result.InFlight += inFlight
	f := &findings{out: r.out}
	o, err := r.checkStore(ctx, f, said)
	if err == nil && (r.entries == nil || r.result.Kills >= r.kills) { // with many entries only the last time
		err = verify(ctx, r.dir, f)
	}
	if err != nil {
		return err
	}
	r.result.add(f)
	fmt.Fprintf(r.out, "kill %2d: %5d acknowledged, %d in flight; predicted %.1f ms; %v; lost %d, wrong %d\n",
		r.result.Kills, r.ledger.acked-before, inFlight, milliseconds(said.predicted), o, f.nLost, f.nWrong)
	return nil
}

// killWriting kills a child at a random moment after it acknowledged its share
// of the writes, more or less. It returns the last that the child said of
// itself.
func (r *runner) killWriting(ctx context.Context) (said progress, err error) {
	left := max(r.config.acks-r.ledger.acked, 0)
	kills := r.config.kills - r.result.Kills
	share := (left + kills - 1) / kills
	if kills > 1 {
		share = share/2 + r.rng.IntN(share+1)
	}
	c, err := r.start(ctx, max(share, 1))
	if err != nil {
		return said, err
	}
	select {
	case <-c.acked:
	case err := <-c.done:
		return said, c.died(err)
	}
	wait := time.Duration(r.rng.Int64N(int64(5 * time.Millisecond)))
	if r.entries != nil { // there should be something to replay
		wait = r.load/2 + time.Duration(r.rng.Int64N(int64(r.load)))
	}
	select {
	case <-time.After(wait):
	case err := <-c.done:
		return said, c.died(err)
	}
	err = c.kill()
	return c.progress, err
}

// killOpening kills a child at a random moment of its recovery.
func (r *runner) killOpening(ctx context.Context) error {
	c, err := r.start(ctx, 0)
	if err != nil {
		return err
	}
	// The process itself takes some milliseconds to start.
	delay := 5*time.Millisecond + time.Duration(r.rng.Int64N(int64(r.opens)+1))
	select {
	case <-time.After(delay):
		r.result.KillsOpening++
	case <-c.ready:
		r.result.Kills++ // it was quicker, and writes
	case err := <-c.done:
		return c.died(err)
	}
	return c.kill()
}

// start starts a child that signals when it has acknowledged n writes.
func (r *runner) start(ctx context.Context, n int) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{
		cmd: exec.CommandContext(ctx, self, writerCommand, "--dir", r.dir,
			"--version", strconv.FormatUint(r.ledger.version, 10),
			"--seed", strconv.FormatUint(r.rng.Uint64(), 10),
			"--compact="+strconv.FormatBool(r.entries == nil && r.rng.IntN(2) == 0),
			"--entries", strconv.Itoa(r.config.entries),
			"--overwritten", strconv.FormatUint(r.entries.overwritten(), 10)),
		ready: make(chan struct{}),
		acked: make(chan struct{}),
		done:  make(chan error, 1),
	}
	c.cmd.Stderr = os.Stderr
	pipe, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	target := r.ledger.acked + n
	go func() {
		c.done <- readLines(pipe, func(line string) error {
			if p, ok := parseProgress(line); ok {
				c.progress = p
				return nil
			}
			word, w, err := parseLine(line)
			switch {
			case err != nil:
				return err
			case word == wordReady:
				close(c.ready)
			case word == wordIssue:
				r.ledger.issue(w)
			default:
				if err := r.ledger.ack(w); err != nil {
					return err
				}
				if r.ledger.acked == target {
					close(c.acked)
				}
			}
			return nil
		})
	}()
	return c, nil
}

// kill kills the child and reads what it still had said. Afterwards nobody
// else uses the ledger.
func (c *child) kill() error {
	killed := c.cmd.Process.Kill()
	err := <-c.done
	_ = c.cmd.Wait() // "signal: killed"
	return errors.Join(killed, err)
}

// died says why a child ended that was not killed.
func (c *child) died(err error) error {
	if err != nil { // its lines made no sense: it may be alive
		_ = c.cmd.Process.Kill()
	}
	return errors.Join(errors.New("the writing child ended by itself"), err, c.cmd.Wait())
}
