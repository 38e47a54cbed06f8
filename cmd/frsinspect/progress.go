package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	barWidth    = 30
	barInterval = 100 * time.Millisecond
	barDelay    = 300 * time.Millisecond // what is done before shows no bar
)

// bar is a progress bar on one line of a terminal.
type bar struct {
	w           io.Writer
	what        string
	start, last time.Time
	drawn       bool
}

// progress returns the function that draws a bar on the terminal, and the one
// that removes it. Without a terminal both do nothing.
func (c *command) progress(what string) (step func(done, total int64), end func()) {
	if !c.terminal {
		return nil, func() {}
	}
	b := &bar{w: c.err, what: what, start: time.Now()}
	return b.step, b.end
}

func (b *bar) step(done, total int64) {
	now := time.Now()
	if now.Sub(b.start) < barDelay || now.Sub(b.last) < barInterval {
		return
	}
	b.last, b.drawn = now, true
	_, _ = fmt.Fprintf(b.w, "\r%s %s\x1b[K", b.what, drawBar(done, total, now.Sub(b.start)))
}

func (b *bar) end() {
	if b.drawn {
		_, _ = io.WriteString(b.w, "\r\x1b[K")
	}
}

// drawBar is the picture: [####......]  40 %  1.2 GiB  312.0 MiB/s.
func drawBar(done, total int64, took time.Duration) string {
	share := 1.0
	if total > 0 {
		share = min(float64(done)/float64(total), 1)
	}
	full := int(share * barWidth)
	speed := int64(float64(done) / max(took.Seconds(), 1e-9))
	return fmt.Sprintf("[%s%s] %3.0f %%  %s  %s/s",
		strings.Repeat("#", full), strings.Repeat(".", barWidth-full), share*100, size(done), size(speed))
}

// isTerminal reports whether f is a character device that can draw a line.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
