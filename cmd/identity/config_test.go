package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
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
