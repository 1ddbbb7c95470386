package fair_test

import (
	"testing"

	"github.com/bizmetry/identity/service/fair"
)

func TestNetwork(t *testing.T) {
	for source, want := range map[string]string{
		"192.0.2.77": "192.0.2.0/24", "::ffff:192.0.2.1": "192.0.2.0/24", "2001:db8:1:2ff::1": "2001:db8:1:200::/56",
		"fe80::1%eth0": "fe80::/56", "": "", "a name": "a name",
	} {
		if got := fair.Network(source); got != want {
			t.Errorf("%q: %q, want %q", source, got, want)
		}
	}
}
