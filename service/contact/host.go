package contact

import (
	"net/netip"
	"regexp"
	"strings"
)

// plainHost is a name that needs no IDNA. Names inside a network may have underscores.
var plainHost = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

// ASCIIHost brings a host to the one form in which it is used and compared: an
// address as it is written shortest, a name in lower case, its labels in ASCII
// (A-labels). It takes no zone and no full stop at the end.
func ASCIIHost(host string) (string, bool) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String(), ip.Zone() == ""
	}
	if len(host) > MaxEmail || strings.HasSuffix(host, ".") {
		return "", false
	}
	if lower := strings.ToLower(host); plainHost.MatchString(lower) && !strings.Contains(lower, "xn--") {
		return lower, !looksLikeIPv4(lower)
	}
	ascii, err := mailDomains.ToASCII(host)
	return ascii, err == nil && ascii != "" && !looksLikeIPv4(ascii)
}

// looksLikeIPv4 tells whether a name ends in a number. Programs read such names as
// addresses, each in a way of its own: 127.1, 0x7f.1.
func looksLikeIPv4(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return number.MatchString(last)
}

var number = regexp.MustCompile(`^(0x[0-9a-f]*|[0-9]+)$`)
