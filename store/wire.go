package store

import (
	"context"
	"net"
	"time"

	"github.com/lib/pq"
)

// wire dials PostgreSQL and gives a connection up on which nothing comes or
// goes for a while. The driver waits in a read for as long as the network
// does, whatever became of the context: without this, connections that were
// cut without a word hold the pool for minutes.
type wire struct {
	dialer  *net.Dialer
	silence time.Duration // that ends a connection; 0: none does
}

var (
	_ pq.Dialer        = wire{}
	_ pq.DialerContext = wire{}
)

func newWire(silence time.Duration) wire {
	return wire{silence: silence, dialer: &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3,
	}}}
}

// DialContext implements pq.DialerContext.
func (w wire) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := w.dialer.DialContext(ctx, network, address)
	if err != nil || w.silence == 0 {
		return conn, err
	}
	return &watchedConn{Conn: conn, silence: w.silence}, nil
}

// Dial implements pq.Dialer.
func (w wire) Dial(network, address string) (net.Conn, error) {
	return w.DialContext(context.Background(), network, address)
}

// DialTimeout implements pq.Dialer.
func (w wire) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return w.DialContext(ctx, network, address)
}

// watchedConn bounds every single read and write. The driver reads only while
// it waits for an answer, so connections that rest in the pool stay.
type watchedConn struct {
	net.Conn
	silence time.Duration
	fixed   time.Time // what the driver set itself, while it connects
}

// SetDeadline implements net.Conn.
func (c *watchedConn) SetDeadline(t time.Time) error {
	c.fixed = t
	return c.Conn.SetDeadline(t)
}

func (c *watchedConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(c.next()); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *watchedConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(c.next()); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *watchedConn) next() time.Time {
	at := time.Now().Add(c.silence)
	if !c.fixed.IsZero() && c.fixed.Before(at) {
		return c.fixed
	}
	return at
}
