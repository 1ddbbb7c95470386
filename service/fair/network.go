package fair

import "net/netip"

// Network is what a source is counted by: whoever has an address mostly has its
// neighbours too, of IPv4 a /24 and of IPv6 a /56.
func Network(source string) string {
	ip, err := netip.ParseAddr(source)
	if err != nil {
		return source
	}
	bits := 56
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		bits = 24
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return source
	}
	return prefix.String()
}

// Plain is a network as addresses are compared with it: that of IPv4 addresses which
// are written as IPv6 is one of IPv4.
func Plain(network netip.Prefix) netip.Prefix {
	const mapped = 96 // bits before the IPv4 address
	if network.Addr().Is4In6() && network.Bits() >= mapped {
		return netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-mapped)
	}
	return network
}
