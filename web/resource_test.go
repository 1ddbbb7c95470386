package web_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// audience is that of an access token.
func audience(t *testing.T, token string) []string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", token)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Aud []string }
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Aud
}

// RFC 8707: resource may come more than once, and audience is another name of it.
func TestToken_Resources(t *testing.T) {
	s := newSite(t)
	const one, two, own = "https://one.test/api", "https://two.test/", servicetest.Issuer
	name := "Of two"
	account, err := s.Accounts.CreateServiceAccount(s.As(s.Root), &identityv1.CreateServiceAccountRequest{
		ServiceAccount: &identityv1.ServiceAccount{DisplayName: &name, Audiences: []string{one, two}, RoleIds: []string{servicetest.MonitoringUser}},
	})
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.Accounts.CreateCredential(s.As(s.Root), &identityv1.CreateCredentialRequest{ServiceAccountId: account.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct {
		name string
		form []string
		want []string // nil: invalid_target
	}{
		{"none", nil, []string{own}},
		{"empty", []string{"resource", "", "audience", ""}, []string{own}},
		{"one", []string{"resource", one}, []string{one}},
		{"one with a slash more", []string{"resource", one + "/"}, []string{one}},
		{"one with a slash less", []string{"resource", strings.TrimSuffix(two, "/")}, []string{two}},
		{"this service with a slash", []string{"resource", own + "/"}, []string{own}},
		{"twice the same", []string{"resource", one, "resource", one}, []string{one}},
		{"twice the same, with a slash and without", []string{"resource", two, "resource", strings.TrimSuffix(two, "/")}, []string{two}},
		{"two", []string{"resource", one, "resource", two}, []string{one, two}},
		{"audience", []string{"audience", two}, []string{two}},
		{"the same by both names", []string{"resource", one, "audience", one}, []string{one}},
		{"two by both names", []string{"resource", one, "audience", two}, []string{one, two}},
		{"two of which one is not allowed", []string{"resource", one, "resource", "https://other.test"}, nil},
		{"an audience that is not allowed", []string{"audience", "https://other.test"}, nil},
		{"a path further", []string{"resource", one + "/x"}, nil},
		{"two slashes", []string{"resource", one + "//"}, nil},
		{"another case", []string{"resource", strings.ToUpper(one)}, nil},
	} {
		t.Run(r.name, func(t *testing.T) {
			a := s.form("/oauth2/token", values(append(r.form, "grant_type", "client_credentials")...), "Authorization", basic(account.GetId(), made.GetSecret()))
			if r.want == nil {
				a.is(t, 400, "invalid_target")
			} else {
				a.is(t, 200, "")
				token, _ := a.get("access_token").(string)
				if got := audience(t, token); !slices.Equal(got, r.want) {
					t.Errorf("%q, want %q", got, r.want)
				}
			}
			if len(r.form) != 2 || r.form[0] != "resource" {
				return // gRPC takes one
			}
			resp, err := s.Accounts.IssueToken(t.Context(), &identityv1.IssueTokenRequest{
				ClientId: account.GetId(), ClientSecret: made.GetSecret(), Resource: r.form[1],
			})
			if r.want == nil {
				servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_INVALID_TARGET)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := audience(t, resp.GetAccessToken()); !slices.Equal(got, r.want) {
				t.Errorf("over gRPC %q, want %q", got, r.want)
			}
		})
	}
}
