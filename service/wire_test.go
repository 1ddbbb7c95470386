package service_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/bizmetry/identity/service/servicetest"
)

// wire is a connection that speaks HTTP/2 frame by frame, to say what no
// well-behaved client says.
type wire struct {
	t      *testing.T
	conn   net.Conn
	framer *http2.Framer
	stream uint32
}

// dialWire opens a connection to a world's server.
func dialWire(t *testing.T, w *servicetest.World) *wire {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", w.Conn.Target())
	noError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	noError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(conn, http2.ClientPreface)
	noError(t, err)
	f := http2.NewFramer(conn, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	noError(t, f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}))
	return &wire{t: t, conn: conn, framer: f, stream: 1}
}

// reply is how a stream ended.
type reply struct {
	status string // grpc-status; "" when there was none
	http   string // :status
	reset  http2.ErrCode
	gone   bool // the connection was closed
}

func (r reply) refused() bool {
	return r.status != "0" && (r.status != "" || r.reset != 0 || r.gone || r.http != "200")
}

// headers are those of a good call to a path, with the given ones in place of
// theirs; an empty value leaves one out, "=" stands for an empty one.
func headers(path, token string, changes ...string) []hpack.HeaderField {
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: path},
		{Name: ":authority", Value: "identity.test"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "te", Value: "trailers"},
	}
	if token != "" {
		fields = append(fields, hpack.HeaderField{Name: "authorization", Value: "Bearer " + token})
	}
	for i := 0; i+1 < len(changes); i += 2 {
		fields = append(fields, hpack.HeaderField{Name: changes[i], Value: changes[i+1]})
	}
	return fields
}

// open sends the headers of a new stream, in as many frames as they take.
func (c *wire) open(fields []hpack.HeaderField, end bool) uint32 {
	c.t.Helper()
	id := c.stream
	c.stream += 2
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range fields {
		noError(c.t, encoder.WriteField(f))
	}
	const most = 16 << 10
	first := block.Next(most)
	err := c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: first, EndHeaders: block.Len() == 0, EndStream: end,
	})
	for err == nil && block.Len() > 0 {
		part := block.Next(most)
		err = c.framer.WriteContinuation(id, block.Len() == 0, part)
	}
	if err != nil && !closed(err) {
		c.t.Fatal(err)
	}
	return id
}

// closed tells whether an error means that the other side hung up.
func closed(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) && !op.Timeout()
}

// message is one gRPC message behind its flag and length.
func message(compressed bool, body []byte) []byte {
	head := []byte{0}
	if compressed {
		head[0] = 1
	}
	return append(binary.BigEndian.AppendUint32(head, uint32(len(body))), body...)
}

// call opens a stream, sends a message and waits for the end. What the
// connection's window does not take at once is sent as it opens.
func (c *wire) call(fields []hpack.HeaderField, body []byte) reply {
	c.t.Helper()
	id := c.open(fields, false)
	window := 65535 // of connection and stream alike; a good answer comes before it is spent
	for len(body) > 0 && window > 0 {
		n := min(len(body), window, 16<<10)
		if err := c.framer.WriteData(id, n == len(body), body[:n]); err != nil {
			return reply{gone: true}
		}
		body, window = body[n:], window-n
	}
	return c.finish(id, body)
}

// finish reads until the stream has ended and sends the rest of the body
// whenever the server makes room.
func (c *wire) finish(id uint32, rest []byte) (r reply) {
	c.t.Helper()
	ofStream, ofConnection := 0, 0
	for range 100_000 {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			if !closed(err) {
				c.t.Fatal(err)
			}
			r.gone = true
			return r
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = c.framer.WritePing(true, f.Data)
			}
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				ofConnection += int(f.Increment)
			} else {
				ofStream += int(f.Increment)
			}
			for n := min(len(rest), ofStream, ofConnection, 16<<10); n > 0; n = min(len(rest), ofStream, ofConnection, 16<<10) {
				if c.framer.WriteData(id, n == len(rest), rest[:n]) != nil {
					break
				}
				rest, ofStream, ofConnection = rest[n:], ofStream-n, ofConnection-n
			}
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				r.gone = true
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				r.reset = f.ErrCode
				return r
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID != id {
				continue
			}
			for _, field := range f.Fields {
				switch field.Name {
				case ":status":
					r.http = field.Value
				case "grpc-status":
					r.status = field.Value
				}
			}
			if f.StreamEnded() {
				return r
			}
		}
	}
	c.t.Fatal("the stream does not end")
	return r
}

// alive fails unless the server still serves others.
func alive(t *testing.T, w *servicetest.World) {
	t.Helper()
	ctx, cancel := context.WithTimeout(w.As(w.Root), 20*time.Second)
	defer cancel()
	if err := usableWithin(ctx, w); err != nil {
		t.Errorf("the server does not serve others: %v", err)
	}
}
