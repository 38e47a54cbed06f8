package child

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestDiesWithParent kills a child that has a child, which then ends, though it
// waits for nothing that its parent held.
func TestDiesWithParent(t *testing.T) {
	calls, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer calls.Close()
	p, _ := start(t, deed{Do: "have a child", With: calls.Addr().String()})
	c, err := calls.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	kill(t, p)
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read %d bytes, %v, want the end of the one who called", n, err)
	}
}
