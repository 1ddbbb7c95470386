package store

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// A peer that takes what it is sent and says nothing is given up on; one that
// rests between calls is not.
func TestWire_SilenceEndsAConnection(t *testing.T) {
	var config net.ListenConfig
	port, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := port.Accept()
		if err == nil {
			accepted <- conn
		}
	}()
	const silence = 50 * time.Millisecond
	conn, err := newWire(silence).DialContext(t.Context(), "tcp", port.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer := <-accepted
	defer peer.Close()

	time.Sleep(2 * silence)
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := conn.Read(b); err != nil {
		t.Errorf("it did not outlive its rest: %v", err)
	}
	if _, err := conn.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(translate(err), ErrUnavailable) {
		t.Errorf("a silent peer: %v", err)
	}
	if err := conn.SetDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the driver's own deadline is not kept: %v", err)
	}
}
