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
