package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fastrestart/frs/internal/inspect"
)

// printJSON prints v as one line.
func (c *command) printJSON(v any) error {
	e := json.NewEncoder(c.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func (c *command) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, format, args...) // the buffer keeps the error for Flush
}

// data is a key or value in JSON: a string if it is valid UTF-8, else an object
// {"base64": "..."}.
type data []byte

// MarshalJSON implements json.Marshaler.
func (d data) MarshalJSON() ([]byte, error) {
	if utf8.Valid(d) {
		return json.Marshal(string(d))
	}
	return json.Marshal(map[string]string{"base64": base64.StdEncoding.EncodeToString(d)})
}

// text is a key or value on a line of text: as it is if it is printable, has no
// blank and cannot be taken for something else, else quoted as in Go; or in
// hexadecimal.
func (c *command) text(b []byte) string {
	if c.hex {
		return hex.EncodeToString(b)
	}
	s := string(b)
	if s == "" || strings.Contains(s, " ") || strconv.Quote(s) != `"`+s+`"` {
		return strconv.Quote(s)
	}
	return s
}

// bytes is a key as it was given.
func (c *command) bytes(arg string) ([]byte, error) {
	if !c.hex {
		return []byte(arg), nil
	}
	b, err := hex.DecodeString(arg)
	if err != nil {
		return nil, &usageError{msg: fmt.Sprintf("%q is not hexadecimal", arg)}
	}
	return b, nil
}

// size is a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, prefix := float64(n), 0
	for v >= unit && prefix < 5 {
		v, prefix = v/unit, prefix+1
	}
	return fmt.Sprintf("%.1f %ciB", v, " KMGTP"[prefix])
}

// instant is a time in Unix nanoseconds for people.
func instant(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

// printDamage prints one place of damage for people.
func (c *command) printDamage(d inspect.Damage) {
	c.printf("DAMAGE ")
	if d.File != "" {
		c.printf("%s ", d.File)
		if d.Offset >= 0 {
			c.printf("offset %d ", d.Offset)
		}
	}
	if d.LSN != 0 {
		c.printf("LSN %d ", d.LSN)
		if d.Last != 0 {
			c.printf("to %d ", d.Last)
		}
	}
	c.printf("%s\n", d.Reason)
}
