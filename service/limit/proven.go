package limit

import (
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/bizmetry/identity/service/fair"
)

// How long, and for how many, it is remembered who signed in from which network.
const (
	provenFor    = time.Hour
	provenAtMost = 100_000
)

// provenKey is a user who signed in, and the network that they came from.
type provenKey struct{ user, network string }

func newProven() *otter.Cache[provenKey, struct{}] {
	return otter.Must(&otter.Options[provenKey, struct{}]{
		MaximumSize: provenAtMost, ExpiryCalculator: otter.ExpiryWriting[provenKey, struct{}](provenFor),
	})
}

// Proved remembers that a user signed in from a source.
func (s *Limits) Proved(user, source string) {
	s.proven.Set(provenKey{user, fair.Network(source)}, struct{}{})
}

// PayerOf is who pays for a sign-in before the password is looked at: the user's
// organization where they come from a device or a network that they signed in from
// lately, and otherwise the network and the account that it claims. So an outsider
// spends nothing of an organization by naming its users.
func (s *Limits) PayerOf(a Attempt, org, user, source string, device bool) fair.Payer {
	network := fair.Network(source)
	if _, ok := s.proven.GetIfPresent(provenKey{user, network}); user != "" && (ok || device) {
		return fair.Payer{Group: org, Member: user}
	}
	return fair.Payer{Group: "network " + network, Member: a.Key}
}
