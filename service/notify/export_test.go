package notify

import (
	"context"
	"crypto/x509"
	"net"
)

// NewTestMailer is Mail that trusts other roots and reaches every host at one address.
func NewTestMailer(setting, from, address string, roots *x509.CertPool) (Sender, error) {
	s, err := Mail(setting, from)
	if err != nil {
		return nil, err
	}
	m := s.(*mailer)
	m.tls.RootCAs = roots
	m.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return m, nil
}

// CheckAddress is what a client of a host asks of the address it is to connect to.
var CheckAddress = checkAddress
