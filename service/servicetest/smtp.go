package servicetest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/mail"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// What SMTPServer takes as login, and whose certificate it has.
const (
	SMTPUser     = "mailer"
	SMTPPassword = "smtp-canary-password" //nolint:gosec // of a test's own server
	SMTPHost     = "mail.identity.test"
)

// SMTPServer is a real SMTP listener whose faults tests choose.
type SMTPServer struct {
	Address string
	// Roots verify its certificate, which is that of SMTPHost and 127.0.0.1.
	Roots *x509.CertPool

	mu sync.Mutex
	// Each is asked, where set, before the server goes on.
	atMail func(from string) error
	atRcpt func(to string) error
	// atData may close the connection.
	atData func(close func()) error
	mails  []Mail
	logins int
}

// Mail is one that was accepted.
type Mail struct {
	From, To  string
	Encrypted bool
	// UTF8: it was announced as internationalized (RFC 6531).
	UTF8 bool
	Raw  []byte
}

// Message is the mail as its reader sees it.
func (m Mail) Message(t testing.TB) *mail.Message {
	t.Helper()
	msg, err := mail.ReadMessage(bytes.NewReader(m.Raw))
	check(t, err)
	return msg
}

// NewSMTP starts a server with STARTTLS; edits come before it listens.
func NewSMTP(t testing.TB, edits ...func(*smtp.Server)) *SMTPServer {
	t.Helper()
	s := &SMTPServer{Roots: x509.NewCertPool()}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &smtpSession{s: s, c: c}, nil }))
	server.Domain, server.EnableSMTPUTF8 = SMTPHost, true
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{s.certificate(t)}, MinVersion: tls.VersionTLS12}
	server.ErrorLog = silent{}
	for _, edit := range edits {
		edit(server)
	}
	var config net.ListenConfig
	port, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	check(t, err)
	s.Address = port.Addr().String()
	go func() { _ = server.Serve(port) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return s
}

type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

func (s *SMTPServer) certificate(t testing.TB) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: SMTPHost}, DNSNames: []string{SMTPHost}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	s.Roots.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Fail sets what goes wrong from now on; nil is nothing.
func (s *SMTPServer) Fail(atMail, atRcpt func(string) error, atData func(close func()) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.atMail, s.atRcpt, s.atData = atMail, atRcpt, atData
}

// Mails are those that were accepted so far.
func (s *SMTPServer) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Logins counts who signed in.
func (s *SMTPServer) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// smtpSession is one connection.
type smtpSession struct {
	s *SMTPServer
	c *smtp.Conn
	m Mail
}

func (x *smtpSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (x *smtpSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != SMTPUser || password != SMTPPassword {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no login " + user + " " + password}
		}
		x.s.mu.Lock()
		defer x.s.mu.Unlock()
		x.s.logins++
		return nil
	}), nil
}

func (x *smtpSession) Mail(from string, options *smtp.MailOptions) error {
	x.s.mu.Lock()
	at := x.s.atMail
	x.s.mu.Unlock()
	_, encrypted := x.c.TLSConnectionState()
	x.m = Mail{From: from, Encrypted: encrypted, UTF8: options.UTF8}
	if at != nil {
		return at(from)
	}
	return nil
}

func (x *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	x.s.mu.Lock()
	at := x.s.atRcpt
	x.s.mu.Unlock()
	if at != nil {
		if err := at(to); err != nil {
			return err
		}
	}
	if x.m.To != "" {
		return errors.New("a second recipient")
	}
	x.m.To = to
	return nil
}

func (x *smtpSession) Data(r io.Reader) (err error) {
	if x.m.Raw, err = io.ReadAll(r); err != nil {
		return err
	}
	x.s.mu.Lock()
	at := x.s.atData
	x.s.mu.Unlock()
	if at != nil {
		if err := at(func() { _ = x.c.Conn().Close() }); err != nil {
			return err
		}
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.mails = append(x.s.mails, x.m)
	return nil
}

func (x *smtpSession) Reset()        {}
func (x *smtpSession) Logout() error { return nil }

// InFrontOf listens with TLS from the first byte, and passes on to a server
// what comes, on loopback. It returns its address.
func InFrontOf(t testing.TB, s *SMTPServer) string {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{s.certificate(t)}, MinVersion: tls.VersionTLS12}
	port, err := tls.Listen("tcp", "127.0.0.1:0", config)
	check(t, err)
	t.Cleanup(func() { _ = port.Close() })
	go func() {
		for {
			in, err := port.Accept()
			if err != nil {
				return
			}
			var dialer net.Dialer
			out, err := dialer.DialContext(t.Context(), "tcp", s.Address)
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		}
	}()
	return port.Addr().String()
}
