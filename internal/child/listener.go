package child

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// What every child says.
const (
	WordStart  = "start"
	WordReady  = "ready"
	WordClosed = "closed"
	WordError  = "error"
)

// Listener hears what a child says.
type Listener struct {
	// Started, Ready and Closed are closed when the child has said so.
	Started, Ready, Closed <-chan struct{}

	hear   func(word, rest string) error
	unsaid map[string]chan<- struct{} // what will be closed, by word
	failed context.Context            // done after the first error, which is its cause
	fail   context.CancelCauseFunc
}

// NewListener returns a Listener that calls hear, in one goroutine, with each
// line: the first word, and what follows after a space. hear has to pass on to
// [Listener.Milestone] what it does not know itself. Its first error is what the
// child has failed with.
func NewListener(hear func(word, rest string) error) *Listener {
	started, ready, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	l := &Listener{
		Started: started, Ready: ready, Closed: closed, hear: hear,
		unsaid: map[string]chan<- struct{}{WordStart: started, WordReady: ready, WordClosed: closed},
	}
	l.failed, l.fail = context.WithCancelCause(context.Background())
	return l
}

// Milestone hears the words that are said once. It returns an error for all
// others, and for an error of the child. Only the function that hears may call
// it.
func (l *Listener) Milestone(word, rest string) error {
	if c, ok := l.unsaid[word]; ok {
		delete(l.unsaid, word)
		close(c)
		return nil
	}
	switch word {
	case WordStart, WordReady, WordClosed:
		return fmt.Errorf("it says %s twice", word)
	case WordError:
		if text, err := strconv.Unquote(rest); err == nil {
			rest = text
		}
		return fmt.Errorf("%s", rest)
	}
	return fmt.Errorf("unknown word")
}

// IsReady reports whether the child has said that it is ready.
func (l *Listener) IsReady() bool { return isClosed(l.Ready) }

// Failed returns a channel that is closed when the child has failed.
func (l *Listener) Failed() <-chan struct{} { return l.failed.Done() }

// Err returns what the child has failed with; nil if it has not.
func (l *Listener) Err() error { return context.Cause(l.failed) }

// Listen reads to the end of a pipe. It goes on when the child has failed, and
// returns only what kept it from reading.
func (l *Listener) Listen(pipe io.Reader) error {
	b := bufio.NewReaderSize(pipe, 64<<10)
	for {
		line, err := b.ReadString('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		word, rest, _ := strings.Cut(line, " ")
		if err := l.hear(word, rest); err != nil {
			l.fail(fmt.Errorf("the child: %w, in line %.80q", err, line))
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
