package door

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/bizmetry/identity/service/wire"
)

// newCall notes what the transport knows about a call.
func (s *Door) newCall(ctx context.Context, md metadata.MD, fullMethod string) *Call {
	c := &Call{Method: unknown, start: time.Now()}
	if m := s.methods[fullMethod]; m != nil {
		c.Method = m
	}
	if agent := md.Get("user-agent"); len(agent) > 0 {
		c.UserAgent = wire.Cut(agent[0], 200)
	}
	if p, ok := peer.FromContext(ctx); ok {
		c.Source = s.Source(p.Addr.String(), md.Get("x-forwarded-for"))
	}
	c.RequestID = s.NewID()
	return c
}

// Nobody is the source of a call whose client cannot be told: an address that no
// network has, and with a share of its own.
const Nobody = "unknown"

// Source is the address of the client: the peer's, or where the peer is a
// trusted proxy, the last address of the forwarding header that is none. What such
// a proxy says and cannot be read makes it Nobody: the proxy itself is not the client.
func (s *Door) Source(addr string, forwarded []string) string {
	addr = hostOf(addr)
	if len(forwarded) == 0 || !s.trusted(addr) {
		return addr
	}
	for _, line := range slices.Backward(forwarded) {
		hops := strings.Split(line, ",")
		for _, hop := range slices.Backward(hops) {
			if hop = strings.TrimSpace(hop); hop == "" {
				continue
			}
			next, ok := readHop(hop)
			if !ok {
				return s.nobody(addr)
			}
			if addr = next; !s.trusted(addr) {
				return addr
			}
		}
	}
	return addr
}

// nobody says once which proxy sends what cannot be read: it does so with every call.
func (s *Door) nobody(proxy string) string {
	s.unreadable.Do(func() {
		s.Log.Warn("a trusted proxy sends X-Forwarded-For that cannot be read: calls like this have no source", "proxy", proxy)
	})
	return Nobody
}

// readHop reads an element of a forwarding header: an address, in brackets or not,
// with a port or without.
func readHop(text string) (addr string, ok bool) {
	if port, err := netip.ParseAddrPort(text); err == nil {
		return plain(port.Addr()), true
	}
	if inner, bracketed := strings.CutPrefix(text, "["); bracketed {
		if text, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(text, ":") {
			return "", false
		}
	}
	ip, err := netip.ParseAddr(text)
	return plain(ip), err == nil
}

// plain is the one way that an address is written.
func plain(ip netip.Addr) string { return ip.Unmap().WithZone("").String() }

func (s *Door) trusted(addr string) bool {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return false
	}
	for _, proxy := range s.proxies {
		if proxy.Contains(ip) {
			return true
		}
	}
	return false
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return plain(ip)
	}
	return host
}
