package contact

import "testing"

func TestASCIIHost(t *testing.T) {
	for _, r := range []struct{ rule, text, want string }{
		{"a name", "id.example", "id.example"},
		{"upper case", "ID.Example", "id.example"},
		{"one label", "localhost", "localhost"},
		{"an underscore, as in networks of containers", "identity_service", "identity_service"},
		{"an umlaut", "bücher.example", "xn--bcher-kva.example"},
		{"an umlaut in upper case", "BÜCHER.example", "xn--bcher-kva.example"},
		{"an umlaut of two code points", "bu\u0308cher.example", "xn--bcher-kva.example"},
		{"an A-label", "xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"an ideographic full stop", "例え。テスト", "xn--r8jz45g.xn--zckzah"},
		{"IPv4", "192.0.2.1", "192.0.2.1"},
		{"IPv6, written long", "2001:DB8:0::1", "2001:db8::1"},
		{"a broken A-label", "xn--zz--zz.example", ""},
		{"half of an address", "127.1", ""},
		{"an address in hexadecimal", "0x7f.0x1", ""},
		{"an address with a zone", "fe80::1%eth0", ""},
		{"a full stop at the end", "id.example.", ""},
		{"two full stops", "id..example", ""},
		{"a hyphen in front", "-id.example", ""},
		{"a blank", "id example", ""},
		{"a zero-width space alone", "\u200b", ""},
		{"nothing", "", ""},
	} {
		got, ok := ASCIIHost(r.text)
		if ok != (r.want != "") || (ok && got != r.want) {
			t.Errorf("%s: %q is %q, %v, want %q", r.rule, r.text, got, ok, r.want)
		}
	}
}
