package service_test

import (
	"encoding/binary"
	"io"
	"net"
	neturl "net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// wiretap sits between the service and PostgreSQL and writes down every
// statement, in the order in which it is sent.
type wiretap struct {
	mu         sync.Mutex
	statements []string
}

// newWiretap returns the URL of a PostgreSQL database behind a wiretap.
func newWiretap(t *testing.T, url string) (*wiretap, string) {
	t.Helper()
	u, err := neturl.Parse(url)
	noError(t, err)
	q := u.Query()
	const socket = ".s.PGSQL.5432"
	server, folder := filepath.Join(q.Get("host"), socket), t.TempDir()
	q.Set("host", folder)
	u.RawQuery = q.Encode()
	var config net.ListenConfig
	port, err := config.Listen(t.Context(), "unix", filepath.Join(folder, socket))
	noError(t, err)
	t.Cleanup(func() { _ = port.Close() })
	tap := &wiretap{}
	go func() {
		for {
			client, err := port.Accept()
			if err != nil {
				return
			}
			go tap.carry(client, server)
		}
	}()
	return tap, u.String()
}

// carry copies both ways and reads what the client says: a start-up message,
// then messages of a type, a length and a body.
func (p *wiretap) carry(client net.Conn, address string) {
	defer client.Close()
	server, err := net.Dial("unix", address) //nolint:noctx // it ends with the client's connection
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
	head := make([]byte, 5)
	for first := true; ; first = false {
		at := head
		if first {
			at = head[:4]
		}
		if _, err := io.ReadFull(client, at); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(at[len(at)-4:])-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		if !first {
			p.note(at[0], body)
		}
		if _, err := server.Write(append(append([]byte{}, at...), body...)); err != nil {
			return
		}
	}
}

// note keeps the text of a Query, and of a Parse behind the statement's name.
func (p *wiretap) note(kind byte, body []byte) {
	text := string(body)
	switch kind {
	case 'P':
		_, text, _ = strings.Cut(text, "\x00")
	case 'Q':
	default:
		return
	}
	text, _, _ = strings.Cut(text, "\x00")
	text = strings.Join(strings.Fields(text), " ")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.statements = append(p.statements, text)
}

// take returns what was said since the last time.
func (p *wiretap) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	said := p.statements
	p.statements = nil
	return said
}
