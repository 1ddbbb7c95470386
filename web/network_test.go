package web_test

import (
	"testing"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// Wherever a client authenticates with its secret, it has to come from a network
// that its account allows.
func TestOAuth_AllowedNetworks(t *testing.T) {
	s := newSite(t, trusting("127.0.0.0/8"))
	name := "Bound"
	account, err := s.Accounts.CreateServiceAccount(s.As(s.Root), &identityv1.CreateServiceAccountRequest{
		ServiceAccount: &identityv1.ServiceAccount{
			DisplayName: &name, AllowedNetworks: []string{"203.0.113.0/24"}, RoleIds: []string{servicetest.MonitoringUser},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.Accounts.CreateCredential(s.As(s.Root), &identityv1.CreateCredentialRequest{ServiceAccountId: account.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	good := basic(account.GetId(), made.GetSecret())
	for path, body := range map[string]string{
		"/oauth2/token": "grant_type=client_credentials", "/oauth2/introspect": "token=nonsense", "/oauth2/revoke": "token=nonsense",
	} {
		for forwarded, inside := range map[string]bool{
			"203.0.113.7": true, "203.0.113.7:4711": true, "::ffff:203.0.113.7": true, "203.0.113.7,": true,
			"198.51.100.1": false, "": false, "203.0.113.7, nonsense": false, "203.0.113.7, [2001:db8::1]:443": false,
		} {
			a := s.form(path, body, "Authorization", good, "X-Forwarded-For", forwarded)
			if inside && a.StatusCode != 200 || !inside && (a.StatusCode != 401 || a.reason() != "invalid_client") {
				t.Errorf("%s from %q: %d %s", path, forwarded, a.StatusCode, a.text)
			}
		}
		access := s.form("/oauth2/token", "grant_type=client_credentials", "Authorization", good, "X-Forwarded-For", "203.0.113.7")
		token, _ := access.get("access_token").(string)
		if path != "/oauth2/token" { // the networks are those of the secret
			s.form(path, body, "Authorization", "Bearer "+token, "X-Forwarded-For", "198.51.100.1").is(t, 200, "")
		}
	}
}
