package door

import (
	"context"
	"net"
	"net/netip"
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

// Source is the address of the client: the peer's, or where the peer is a
// trusted proxy, the last address of the forwarding header that is none.
func (s *Door) Source(addr string, forwarded []string) string {
	addr = hostOf(addr)
	if len(forwarded) == 0 || len(s.proxies) == 0 {
		return addr
	}
	if len(forwarded) > 8 {
		forwarded = forwarded[len(forwarded)-8:]
	}
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for i := len(hops) - 1; i >= 0 && s.trusted(addr); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = next.Unmap().WithZone("").String()
	}
	return addr
}

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
		return ip.Unmap().WithZone("").String()
	}
	return host
}
