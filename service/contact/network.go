package contact

import (
	"net/netip"
	"strings"
)

// ParseNetwork is the one reading of networks in CIDR form. Bits behind the prefix
// are masked: 10.1.2.3/8 is 10.0.0.0/8. A network of IPv4-mapped addresses, such as
// ::ffff:10.0.0.0/104, is the IPv4 network that it maps, because addresses of callers
// are compared in that form.
func ParseNetwork(text string) (netip.Prefix, bool) {
	network, err := netip.ParsePrefix(strings.TrimSpace(text))
	if err != nil {
		return netip.Prefix{}, false
	}
	const mapped = 96 // bits in front of the IPv4 address
	if network.Addr().Is4In6() && network.Bits() >= mapped {
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-mapped)
	}
	return network.Masked(), true
}
