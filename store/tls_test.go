package store_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates of servers.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its certificate as PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert, a.key = certify(t, nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	noError(t, os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600))
	return a
}

// certify makes a key and its certificate, signed by the authority or by itself.
func certify(t *testing.T, by *authority, want *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(t, err)
	want.SerialNumber = big.NewInt(time.Now().UnixNano())
	if want.NotAfter.IsZero() {
		want.NotBefore, want.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := want, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, want, parent, &key.PublicKey, signer)
	noError(t, err)
	cert, err := x509.ParseCertificate(der)
	noError(t, err)
	return cert, key
}

// server makes the certificate of a server with the names.
func (a *authority) server(t *testing.T, change func(*x509.Certificate), names ...string) tls.Certificate {
	t.Helper()
	want := &x509.Certificate{
		Subject: pkix.Name{CommonName: "localhost"}, DNSNames: names, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(want)
	}
	cert, key := certify(t, a, want)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// fakeServer speaks PostgreSQL just far enough to be asked for TLS, and tells
// what a client sent it afterwards.
type fakeServer struct {
	port string
	got  chan string
}

// newFakeServer answers requests for TLS with the answer ('S': go on), and
// then with the configuration.
func newFakeServer(t *testing.T, answer byte, config *tls.Config) *fakeServer {
	t.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	noError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	noError(t, err)
	s := &fakeServer{port: port, got: make(chan string, 100)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn, answer, config)
		}
	}()
	return s
}

func (s *fakeServer) serve(conn net.Conn, answer byte, config *tls.Config) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	first := make([]byte, 8)
	if _, err := io.ReadFull(conn, first); err != nil || binary.BigEndian.Uint32(first[4:]) != 80877103 {
		s.got <- "in plain: " + string(first) // no SSLRequest
		return
	}
	if _, err := conn.Write([]byte{answer}); err != nil || answer != 'S' {
		rest, _ := io.ReadAll(conn)
		if len(rest) > 0 {
			s.got <- "in plain: " + string(rest)
		}
		return
	}
	secured := tls.Server(conn, config)
	if err := secured.Handshake(); err != nil { //nolint:noctx // the deadline of the connection bounds it
		return
	}
	size := make([]byte, 4)
	if _, err := io.ReadFull(secured, size); err != nil {
		return
	}
	message := make([]byte, min(binary.BigEndian.Uint32(size), 4096)-4)
	if _, err := io.ReadFull(secured, message); err == nil {
		s.got <- "secured: " + string(message)
	}
}

// The database must prove who it is before it hears who we are.
func TestOpen_TL01_Certificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	good := ca.server(t, nil, "localhost")
	serve := func(cert tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{cert}} }
	old := serve(good)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	expired := ca.server(t, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}, "localhost")
	client := ca.server(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "localhost")
	rows := []struct {
		rule, query string
		answer      byte
		config      *tls.Config
		heard       bool
	}{
		{"the right one", "sslmode=verify-full&sslrootcert=" + url.QueryEscape(ca.file), 'S', serve(good), true},
		{"of another name", "sslmode=verify-full&sslrootcert=" + url.QueryEscape(ca.file), 'S', serve(ca.server(t, nil, "db.example.com")), false},
		{"of a name in the common name only", "sslmode=verify-full&sslrootcert=" + url.QueryEscape(ca.file), 'S', serve(ca.server(t, nil)), false},
		{"of a name above", "sslmode=verify-full&sslrootcert=" + url.QueryEscape(ca.file), 'S', serve(ca.server(t, nil, "*.localhost")), false},
		{"of an unknown authority", "sslmode=verify-full&sslrootcert=" + url.QueryEscape(other.file), 'S', serve(good), false},
		{"of an authority this machine does not know", "sslmode=verify-full", 'S', serve(good), false},
		{"of an unknown authority, by its authority alone", "sslmode=verify-ca&sslrootcert=" + url.QueryEscape(other.file), 'S', serve(good), false},
		{"signed by itself", "sslmode=verify-full&sslrootcert=" + url.QueryEscape(ca.file), 'S', serve((*authority)(nil).server(t, nil, "localhost")), false},
		{"expired", "sslmode=verify-full&sslrootcert=" + url.QueryEscape(ca.file), 'S', serve(expired), false},
		{"of a client", "sslmode=verify-full&sslrootcert=" + url.QueryEscape(ca.file), 'S', serve(client), false},
		{"by TLS 1.1", "sslmode=verify-full&sslrootcert=" + url.QueryEscape(ca.file), 'S', old, false},
		{"by no TLS", "sslmode=verify-full&sslrootcert=" + url.QueryEscape(ca.file), 'N', nil, false},
		{"by an error in place of TLS", "sslmode=verify-full&sslrootcert=" + url.QueryEscape(ca.file), 'E', nil, false},
	}
	for _, row := range rows {
		t.Run(row.rule, func(t *testing.T) {
			server := newFakeServer(t, row.answer, row.config)
			_ = refusedOpen(t.Context(), t, fmt.Sprintf("postgres://identity:%s@localhost:%s/identity?%s", canary, server.port, row.query))
			heard := ""
			select {
			case heard = <-server.got:
			case <-time.After(100 * time.Millisecond): // an open that failed sends no more
			}
			if strings.HasPrefix(heard, "secured: ") != row.heard || strings.HasPrefix(heard, "in plain") {
				t.Errorf("the server heard %q", heard)
			}
			if strings.Contains(heard, canary) {
				t.Error("the server heard the password unasked")
			}
		})
	}
}
