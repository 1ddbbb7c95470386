package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func TestTrustedProxies_Fair06(t *testing.T) {
	for _, row := range []struct {
		rule, insecure string
		texts          []string
		want, refused  string
	}{
		{"none said, on this machine", "", nil, "[]", ""},
		{"none said, behind a proxy", "behind-proxy", nil, "", "IDENTITY_TRUSTED_PROXIES"},
		{"none on purpose", "behind-proxy", []string{"none"}, "[]", ""},
		{"networks", "behind-proxy", []string{"10.0.0.0/8", "fd00::/8"}, "[10.0.0.0/8 fd00::/8]", ""},
		{"addresses", "behind-proxy", []string{"192.0.2.1", "2001:db8::1"}, "[192.0.2.1/32 2001:db8::1/128]", ""},
		{"blanks around commas", "behind-proxy", []string{"10.0.0.0/8 ", " 192.0.2.1", "\tfd00::/8\n"}, "[10.0.0.0/8 192.0.2.1/32 fd00::/8]", ""},
		{"IPv4-mapped network and address", "behind-proxy", []string{"::ffff:10.0.0.0/104", "::ffff:192.0.2.1"}, "[10.0.0.0/8 192.0.2.1/32]", ""},
		{"the same in other spellings", "behind-proxy", []string{"10.0.0.0/8", "::ffff:10.0.0.0/104", "10.1.2.3/8"}, "[10.0.0.0/8]", ""},
		{"none with blanks", "behind-proxy", []string{" none "}, "[]", ""},
		{"a comma too many", "behind-proxy", []string{"10.0.0.0/8", " "}, "", `" "`},
		{"an address with a zone", "behind-proxy", []string{"fe80::1%eth0"}, "", `"fe80::1%eth0"`},
		{"none among others", "behind-proxy", []string{"10.0.0.0/8", "none"}, "", `"none"`},
		{"a name", "", []string{"proxy.internal"}, "", `"proxy.internal"`},
	} {
		got, err := trustedProxies(row.texts, row.insecure)
		if row.refused != "" {
			if err == nil || !strings.Contains(err.Error(), row.refused) {
				t.Errorf("%s: %v", row.rule, err)
			}
		} else if text := fmt.Sprint(got); err != nil || text != row.want {
			t.Errorf("%s: %s, %v", row.rule, text, err)
		}
	}
	err := run(t.Context(), []string{"serve", "--http-addr=0.0.0.0:0", "--insecure=behind-proxy"}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "IDENTITY_TRUSTED_PROXIES") {
		t.Errorf("serve: %v", err)
	}
}

func TestPublicURL(t *testing.T) {
	for _, row := range []struct{ rule, text, want, refused string }{
		{"as it is", "https://id.example.com", "https://id.example.com", ""},
		{"with a path", "https://example.com/identity", "https://example.com/identity", ""},
		{"the default", "http://localhost:8080", "http://localhost:8080", ""},
		{"upper case, but for the path", "HTTP://X.Example/ID", "http://x.example/ID", ""},
		{"a final slash", "https://x.example/", "https://x.example", ""},
		{"a final slash of a path", "https://x.example/id/", "https://x.example/id", ""},
		{"the default port of https", "https://x.example:443", "https://x.example", ""},
		{"the default port of http", "http://x.example:80/", "http://x.example", ""},
		{"the port of the other scheme", "http://x.example:443", "http://x.example:443", ""},
		{"a port with zeros", "http://x.example:0080", "http://x.example", ""},
		{"a colon without a port", "http://x.example:", "http://x.example", ""},
		{"blanks around", " https://x.example\n", "https://x.example", ""},
		{"an umlaut", "https://bücher.example", "https://xn--bcher-kva.example", ""},
		{"an umlaut in percents", "https://b%C3%BCcher.example", "https://xn--bcher-kva.example", ""},
		{"IPv6", "http://[2001:DB8::1]:8080", "http://[2001:db8::1]:8080", ""},
		{"two dots", "https://x.example/a/../b", "", `".."`},
		{"one dot", "https://x.example/./a", "", `"."`},
		{"escaped dots", "https://x.example/%2e%2e/b", "", "escaped"},
		{"doubled slashes", "https://x.example//a", "", "slashes"},
		{"a user", "https://ann@x.example", "", "a user or password"},
		{"a password", "https://ann:secret@x.example", "", "a user or password"},
		{"a query", "https://x.example?a=b", "", "a query"},
		{"an empty query", "https://x.example?", "", "a query"},
		{"a fragment", "https://x.example#a", "", "a fragment"},
		{"an empty fragment", "https://x.example/#", "", "a fragment"},
		{"another scheme", "ftp://x.example", "", "must be a URL"},
		{"no scheme", "x.example", "", "must be a URL"},
		{"no host", "https:///a", "", "must be a URL"},
		{"no host but a port", "https://:443", "", "must be a URL"},
		{"no port", "https://x.example:65536", "", "no port"},
		{"no name", "https://x..example", "", "name of a host"},
		{"a full stop at the end", "https://x.example.", "", "name of a host"},
	} {
		got, err := publicURL(row.text)
		if row.refused != "" {
			if err == nil || !strings.Contains(err.Error(), row.refused) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %q, %v", row.rule, got, err)
			}
		} else if err != nil || got != row.want {
			t.Errorf("%s: %q, %v, want %q", row.rule, got, err, row.want)
		}
		if again, err := publicURL(got); row.want != "" && (err != nil || again != got) {
			t.Errorf("%s: %q is %q, %v", row.rule, got, again, err)
		}
	}
}

func TestMailFrom(t *testing.T) {
	for _, row := range []struct{ rule, setting, public, want string }{
		{"by the public URL", "", "https://xn--bcher-kva.example", "noreply@xn--bcher-kva.example"},
		{"by an address", "", "http://[2001:db8::1]:8080", "noreply@localhost"},
		{"as set", "id@example.com", "https://x.example", "id@example.com"},
		{"with an umlaut", "id@bücher.example", "https://x.example", "id@xn--bcher-kva.example"},
		{"blanks around", " id@Example.com\n", "https://x.example", "id@example.com"},
		{"no domain", "id@", "https://x.example", ""},
		{"no address", "example.com", "https://x.example", ""},
	} {
		got, err := mailFrom(row.setting, row.public)
		if (err != nil) != (row.want == "") || got != row.want {
			t.Errorf("%s: %q, %v, want %q", row.rule, got, err, row.want)
		}
	}
}

func TestSwitches(t *testing.T) {
	type settings struct {
		Stands  bool  `name:"stands" env:"TEST_STANDS" negatable:""`
		Perhaps *bool `name:"perhaps" env:"TEST_PERHAPS" negatable:""`
		Valued  onOff `name:"valued" env:"TEST_VALUED" default:"on"`
	}
	read := func(t *testing.T, args ...string) (string, error) {
		var got settings
		parser, err := kong.New(&got, kong.KindMapper(reflect.Bool, switches{}))
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse(args)
		perhaps := "unset"
		if got.Perhaps != nil {
			perhaps = fmt.Sprint(*got.Perhaps)
		}
		return fmt.Sprint(got.Stands, " ", perhaps, " ", got.Valued), err
	}
	for _, row := range []struct {
		rule, value, want string
	}{
		{"on", "on", "true true true"},
		{"true", "true", "true true true"},
		{"one", "1", "true true true"},
		{"yes, in any case and with blanks", " YES\n", "true true true"},
		{"off", "off", "false false false"},
		{"false", "False", "false false false"},
		{"zero", "0", "false false false"},
		{"no", "no", "false false false"},
		{"neither", "maybe", ""},
		{"empty", "", ""},
		{"another number", "2", ""},
	} {
		t.Run(row.rule, func(t *testing.T) {
			for _, name := range []string{"STANDS", "PERHAPS", "VALUED"} {
				t.Setenv("TEST_"+name, row.value)
			}
			got, err := read(t)
			if row.want == "" {
				if err == nil || !strings.Contains(err.Error(), "must be on or off") {
					t.Errorf("%q is %s, %v", row.value, got, err)
				}
			} else if err != nil || got != row.want {
				t.Errorf("%q is %s, %v, want %s", row.value, got, err, row.want)
			}
		})
	}
	for _, row := range []struct{ args, want string }{
		{"", "false unset true"},
		{"--stands --perhaps --valued=off", "true true false"},
		{"--stands=off --perhaps=on --valued off", "false true false"},
		{"--no-stands --no-perhaps", "false false true"},
	} {
		if got, err := read(t, strings.Fields(row.args)...); err != nil || got != row.want {
			t.Errorf("%s: %s, %v, want %s", row.args, got, err, row.want)
		}
	}
}
