package contact

import "testing"

func TestParseNetwork(t *testing.T) {
	for _, r := range []struct{ rule, text, want string }{
		{"IPv4", "10.0.0.0/8", "10.0.0.0/8"},
		{"IPv6", "fd00::/8", "fd00::/8"},
		{"bits behind the prefix", "10.1.2.3/8", "10.0.0.0/8"},
		{"bits behind the prefix, IPv6", "2001:db8::1/32", "2001:db8::/32"},
		{"IPv4-mapped", "::ffff:10.0.0.0/104", "10.0.0.0/8"},
		{"IPv4-mapped, in hexadecimal", "::ffff:c0a8:0/112", "192.168.0.0/16"},
		{"IPv4-mapped, all", "::ffff:0:0/96", "0.0.0.0/0"},
		{"IPv4-mapped, one address", "::ffff:192.0.2.1/128", "192.0.2.1/32"},
		{"IPv4-mapped with bits behind the prefix", "::ffff:10.1.2.3/104", "10.0.0.0/8"},
		{"wider than all of IPv4", "::ffff:0:0/80", "::/80"},
		{"everything", "::/0", "::/0"},
		{"blanks around", " 10.0.0.0/8\t", "10.0.0.0/8"},
		{"an address", "10.0.0.1", ""},
		{"too many bits", "10.0.0.0/33", ""},
		{"a zone", "fe80::1%eth0/64", ""},
		{"a leading zero", "010.0.0.0/8", ""},
		{"nothing", "", ""},
	} {
		got, ok := ParseNetwork(r.text)
		if ok != (r.want != "") || (ok && got.String() != r.want) {
			t.Errorf("%s: %q is %v, %v, want %q", r.rule, r.text, got, ok, r.want)
		}
	}
}
