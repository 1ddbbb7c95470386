package door

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
)

func TestSource(t *testing.T) {
	for _, r := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no header", "10.0.0.1:80", nil, "10.0.0.1"},
		{"an address", "10.0.0.1:80", []string{"203.0.113.7"}, "203.0.113.7"},
		{"a peer that is not trusted", "192.0.2.1:80", []string{"203.0.113.7"}, "192.0.2.1"},
		{"a port", "10.0.0.1:80", []string{"203.0.113.7:4711"}, "203.0.113.7"},
		{"a port and blanks", "10.0.0.1:80", []string{" \t203.0.113.7:4711 "}, "203.0.113.7"},
		{"brackets and a port", "10.0.0.1:80", []string{"[2001:db8::1]:443"}, "2001:db8::1"},
		{"brackets", "10.0.0.1:80", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"IPv6", "10.0.0.1:80", []string{"2001:DB8::1"}, "2001:db8::1"},
		{"a zone", "10.0.0.1:80", []string{"[fe80::1%eth0]:443"}, "fe80::1"},
		{"IPv4 as IPv6", "10.0.0.1:80", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{"IPv4 as IPv6, with a port", "10.0.0.1:80", []string{"[::ffff:203.0.113.7]:1"}, "203.0.113.7"},
		{"a proxy as IPv6", "[::ffff:10.0.0.1]:80", []string{"203.0.113.7, ::ffff:10.0.0.2"}, "203.0.113.7"},
		{"another network of proxies", "172.16.0.9:80", []string{"203.0.113.7"}, "203.0.113.7"},
		{"a comma at the end", "10.0.0.1:80", []string{"203.0.113.7,"}, "203.0.113.7"},
		{"empty elements", "10.0.0.1:80", []string{",, 203.0.113.7 ,,10.0.0.2,"}, "203.0.113.7"},
		{"an empty line", "10.0.0.1:80", []string{"203.0.113.7", ""}, "203.0.113.7"},
		{"what the client sent counts for nothing", "10.0.0.1:80", []string{"nonsense, 203.0.113.7:1"}, "203.0.113.7"},
		{"proxies only", "10.0.0.1:80", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"a word", "10.0.0.1:80", []string{"203.0.113.7, nonsense"}, Nobody},
		{"a word behind a proxy", "10.0.0.1:80", []string{"unknown, 10.0.0.2"}, Nobody},
		{"no end", "10.0.0.1:80", []string{"[2001:db8::1"}, Nobody},
		{"IPv4 in brackets", "10.0.0.1:80", []string{"[203.0.113.7]"}, Nobody},
		{"no port", "10.0.0.1:80", []string{"203.0.113.7:"}, Nobody},
		{"a port that is none", "10.0.0.1:80", []string{"203.0.113.7:70000"}, Nobody},
		{"nothing is as no header", "10.0.0.1:80", []string{""}, "10.0.0.1"},
		{"only commas", "10.0.0.1:80", []string{" , ,"}, "10.0.0.1"},
	} {
		t.Run(r.name, func(t *testing.T) {
			d, err := New(Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12")}})
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			d.Log = slog.New(slog.NewTextHandler(&log, nil))
			for range 2 {
				if got := d.Source(r.peer, r.forwarded); got != r.want {
					t.Errorf("%q, want %q", got, r.want)
				}
			}
			said := 0
			if r.want == Nobody {
				said = 1
			}
			if n := strings.Count(log.String(), "cannot be read"); n != said || strings.Contains(log.String(), "nonsense") {
				t.Errorf("said %d times: %s", n, log.String())
			}
		})
	}
}
