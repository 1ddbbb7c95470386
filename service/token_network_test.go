package service_test

import (
	"net/netip"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
)

// behindProxy has X-Forwarded-For of this machine believed.
func behindProxy(c *service.Config) {
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

// inNetworks makes a machine that may come from some networks only.
func inNetworks(t *testing.T, w *servicetest.World, networks ...string) servicetest.Machine {
	t.Helper()
	a, err := w.Accounts.CreateServiceAccount(w.As(w.Root), &identityv1.CreateServiceAccountRequest{
		ServiceAccount: &identityv1.ServiceAccount{
			DisplayName: ptr("Bound"), AllowedNetworks: networks, RoleIds: []string{servicetest.MonitoringUser},
		},
	})
	noError(t, err)
	c, err := w.Accounts.CreateCredential(w.As(w.Root), &identityv1.CreateCredentialRequest{ServiceAccountId: a.GetId()})
	noError(t, err)
	return servicetest.Machine{ServiceAccount: a, Secret: c.GetSecret(), Credential: c.GetCredential().GetId()}
}

func TestIssueToken_AllowedNetworks(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url, behindProxy)
		for _, r := range []struct {
			name      string
			networks  []string
			forwarded string
			in        bool
		}{
			{"inside", []string{"203.0.113.0/24"}, "203.0.113.7:4711", true},
			{"inside, as IPv6", []string{"::ffff:203.0.113.0/120"}, "203.0.113.7", true},
			{"the second network", []string{"10.0.0.0/8", "2001:db8::/32"}, "[2001:db8::1]:443", true},
			{"outside", []string{"203.0.113.0/24"}, "198.51.100.1", false},
			{"the proxy is not the client", []string{"127.0.0.0/8"}, "198.51.100.1, nonsense", false},
			{"nobody is in any network", []string{"0.0.0.0/0", "::/0"}, "unknown", false},
		} {
			t.Run(r.name, func(t *testing.T) {
				m := inNetworks(t, w, r.networks...)
				ctx := metadata.AppendToOutgoingContext(t.Context(), "x-forwarded-for", r.forwarded)
				_, err := w.Accounts.IssueToken(ctx, &identityv1.IssueTokenRequest{ClientId: m.GetId(), ClientSecret: m.Secret})
				if r.in {
					noError(t, err)
				} else {
					servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_CREDENTIALS_INVALID)
				}
				w.Service.Flush(t.Context())
				a, err := w.Accounts.GetServiceAccount(w.As(w.Root), &identityv1.GetServiceAccountRequest{Id: m.GetId()})
				noError(t, err)
				refused := 0
				noError(t, secondConnection(t, url).QueryRowContext(t.Context(),
					`SELECT COUNT(*) FROM activity WHERE principal_id = '`+m.GetId()+`' AND type = 'token' AND outcome = 'refused'`).Scan(&refused))
				if (a.GetLastUsedTime() != nil) != r.in || (refused == 1) == r.in {
					t.Errorf("last used %v, %d refusals noted", a.GetLastUsedTime(), refused)
				}
			})
		}
	})
}
