package main

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/bizmetry/identity/service/contact"
)

// address is where the service listens for gRPC. Tokens are kept by it, so it has one form.
type address struct {
	hostPort string
	plain    bool // without TLS: on this machine
}

// UnmarshalText reads host:port, or a URL of nothing but that.
func (a *address) UnmarshalText(text []byte) error {
	rest := strings.TrimSpace(string(text))
	scheme, after, isURL := strings.Cut(rest, "://")
	if isURL {
		u, err := url.Parse(rest)
		if err != nil || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return errors.New("IDENTITY_ADDR must be host:port, such as id.example.com:443")
		}
		rest, scheme = strings.TrimRight(after, "/"), strings.ToLower(scheme)
		if scheme == "https" && u.Port() == "" {
			rest += ":443"
		}
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil || port == "" {
		return errors.New("IDENTITY_ADDR must be host:port, such as localhost:9090")
	}
	host, ok := contact.ASCIIHost(host)
	if !ok {
		return errors.New("IDENTITY_ADDR does not name a host")
	}
	ip, err := netip.ParseAddr(host)
	here := host == "localhost" || (err == nil && ip.IsLoopback())
	switch {
	case !isURL:
		a.plain = here
	case scheme == "https":
		a.plain = false
	case scheme != "http":
		return errors.New("IDENTITY_ADDR must be host:port, or begin with https:// or http://")
	case !here:
		return errors.New("IDENTITY_ADDR: http:// would send tokens that others can read; leave it out, or write https://")
	default:
		a.plain = true
	}
	a.hostPort = net.JoinHostPort(host, port)
	return nil
}

// anyCase is one of a few words, however it is written.
type anyCase string

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *anyCase) UnmarshalText(text []byte) error {
	*s = anyCase(strings.ToLower(strings.TrimSpace(string(text))))
	return nil
}
