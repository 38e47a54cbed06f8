package child

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// What a parent says.
const (
	Go    = "go"
	Close = "close"
)

// Plan returns the plan that this process was started with, if it is a child.
func Plan(args []string) (plan string, ok bool) {
	if len(args) != 2 || args[0] != command {
		return "", false
	}
	return args[1], true
}

// Live is the life of a child with a plan: it says an error of live before it
// returns it.
func Live[P any](plan string, live func(p P, said Voice, commands io.Reader) error) error {
	var p P
	said := Voice{os.Stdout}
	err := json.Unmarshal([]byte(plan), &p)
	if err == nil {
		err = live(p, said, os.Stdin)
	}
	if err != nil {
		err = errors.Join(err, said.Say("%s %q", WordError, err.Error()))
	}
	return err
}

// Voice is what a child speaks with. Lines of several goroutines never mix,
// because each is one write; they are heard in the order of these.
type Voice struct{ io.Writer }

// Say says one line, of at most 4095 bytes.
func (v Voice) Say(format string, args ...any) error {
	_, err := v.Write(append(fmt.Appendf(nil, format, args...), '\n'))
	return err
}

// Ready says that the child is ready and returns when it is told to go. Later,
// when it is told to close or its parent is gone, told is called, by another
// goroutine.
func (v Voice) Ready(commands io.Reader, told func()) error {
	if err := v.Say(WordReady); err != nil {
		return err
	}
	lines := bufio.NewScanner(commands)
	if !lines.Scan() || lines.Text() != Go {
		return errors.Join(errors.New("the parent is gone"), lines.Err())
	}
	go func() {
		lines.Scan()
		told()
	}()
	return nil
}
