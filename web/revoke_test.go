package web_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store/storetest"
)

// revoke asks for the end of a token; more are name, value, name, value of the form.
func (s *site) revoke(token, authorization string, more ...string) reply {
	s.t.Helper()
	var headers []string
	if authorization != "" {
		headers = []string{"Authorization", authorization}
	}
	return s.form("/oauth2/revoke", values(append(more, "token", token)...), headers...)
}

// isRevoked fails the test unless the answer is the one and only good one.
func (a reply) isRevoked(t *testing.T, what string) {
	t.Helper()
	h := a.Header
	if a.StatusCode != 200 || a.text != "" || h.Get("Content-Type") != "" || h.Get("Cache-Control") != "no-store" ||
		h.Get("Pragma") != "no-cache" || h.Get("Request-Id") == "" {
		t.Errorf("%s: %d %q %v", what, a.StatusCode, a.text, h)
	}
}

// active tells whether the service still takes an access token.
func (s *site) active(t *testing.T, token string) bool {
	t.Helper()
	info, err := s.Accounts.IntrospectToken(s.As(s.Root), &identityv1.IntrospectTokenRequest{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return info.GetActive()
}

func TestRevoke_RV01(t *testing.T) {
	s := newSite(t)
	m := s.NewMachine(s.Root, "", servicetest.MonitoringUser)
	good := basic(m.GetId(), m.Secret)
	for name, by := range map[string]struct{ authorization, id, secret string }{
		"basic":  {authorization: good},
		"post":   {id: m.GetId(), secret: m.Secret},
		"bearer": {authorization: "Bearer " + s.Token(m, "")},
	} {
		for _, hint := range []string{"", "access_token", "refresh_token", "urn:example:unknown", "ф"} {
			token := s.Token(m, "")
			if !s.active(t, token) {
				t.Fatalf("%s: not active to begin with", name)
			}
			more := []string{"token_type_hint", hint, "unknown", "x", "client_id", by.id, "client_secret", by.secret}
			s.revoke(token, by.authorization, more...).isRevoked(t, name+" "+hint)
			if s.active(t, token) {
				t.Errorf("%s %s: still active", name, hint)
			}
			s.revoke(token, by.authorization, more...).isRevoked(t, name+" again")
		}
	}
	own := s.Token(m, "")
	s.revoke(own, "Bearer "+own).isRevoked(t, "the token that authenticates")
	s.revoke(own, "Bearer "+own).is(t, 401, "invalid_token")
	for name, token := range map[string]string{
		"garbage": "nonsense", "a secret": m.Secret, "long": strings.Repeat("a", 15000), "altered": own[:len(own)-4] + "AAAA",
		"odd": "\u202e'\"; --",
	} {
		s.revoke(token, good).isRevoked(t, name)
	}
}

func TestRevoke_Refresh(t *testing.T) {
	s := newSite(t)
	person := s.NewPerson("")
	tokens := s.Tokens(person.GetEmail(), person.Password)
	m := s.NewMachine(s.Root, "", servicetest.MonitoringUser)
	s.revoke(tokens.GetRefreshToken(), basic(m.GetId(), m.Secret)).isRevoked(t, "RV-02 by another")
	if !s.active(t, tokens.GetAccessToken()) {
		t.Error("RV-02: ended by another")
	}
	s.revoke(tokens.GetRefreshToken(), "Bearer "+person.Token, "token_type_hint", "access_token").isRevoked(t, "by its owner")
	if s.active(t, tokens.GetAccessToken()) || !s.active(t, person.Token) {
		t.Error("not this session, and only this one, has ended")
	}
	_, err := s.Sessions.Refresh(t.Context(), &identityv1.RefreshRequest{RefreshToken: tokens.GetRefreshToken()})
	servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
	s.revoke(tokens.GetRefreshToken(), "Bearer "+person.Token).isRevoked(t, "again")
}

// RV-02: what is not the client's stays, and looks like what is not there.
func TestRevoke_RV02(t *testing.T) {
	s := newSite(t)
	m, neighbour := s.NewMachine(s.Root, "", servicetest.MonitoringUser), s.NewMachine(s.Root, "", servicetest.MonitoringUser)
	org := s.NewOrg()
	foreign := s.NewMachine(org.Admin.Token, "", servicetest.MonitoringUser)
	good := basic(m.GetId(), m.Secret)
	unknown := s.revoke("nonsense", good)
	for name, token := range map[string]string{
		"a neighbour's": s.Token(neighbour, ""), "a person's": s.Root,
		"another organization's": s.Token(foreign, ""), "its administrator's": org.Admin.Token,
	} {
		a := s.revoke(token, good)
		a.isRevoked(t, name)
		for _, varies := range []string{"Request-Id", "Date"} {
			a.Header.Del(varies)
			unknown.Header.Del(varies)
		}
		if !maps.EqualFunc(a.Header, unknown.Header, slices.Equal[[]string]) {
			t.Errorf("%s: %v, unknown ones %v", name, a.Header, unknown.Header)
		}
		if !s.active(t, token) {
			t.Errorf("%s was ended", name)
		}
	}
}

// Who may end tokens of others, but holds less than their owner, is told so:
// the token lives on.
func TestRevoke_MoreThanOnesOwn(t *testing.T) {
	s := newSite(t)
	clerk := s.NewMachine(s.Root, "", servicetest.MonitoringUser)
	_, err := s.Roles.GrantRoles(s.As(s.Root), &identityv1.GrantRolesRequest{Id: clerk.GetId(), PermissionKeys: []string{"platform.tokens.write"}})
	if err != nil {
		t.Fatal(err)
	}
	by := basic(clerk.GetId(), clerk.Secret)
	s.revoke(s.Root, by).is(t, 400, "unauthorized_client")
	if !s.active(t, s.Root) {
		t.Error("was ended all the same")
	}
	other := s.NewMachine(s.Root, "", servicetest.MonitoringUser)
	token := s.Token(other, "")
	s.revoke(token, by).isRevoked(t, "one who holds no more")
	if s.active(t, token) {
		t.Error("still active")
	}
}

func TestRevoke_Refused(t *testing.T) {
	s := newSite(t)
	m, other := s.NewMachine(s.Root, ""), s.NewMachine(s.Root, "")
	token, good := s.Token(m, ""), basic(m.GetId(), m.Secret)
	for _, r := range []struct {
		rule, authorization string
		form                []string
		status              int
		word                string
	}{
		{"no client", "", nil, 401, "invalid_client"},
		{"only an id", "", []string{"client_id", m.GetId()}, 401, "invalid_client"},
		{"another's secret", basic(m.GetId(), other.Secret), nil, 401, "invalid_client"},
		{"another's secret in the form", "", []string{"client_id", m.GetId(), "client_secret", other.Secret}, 401, "invalid_client"},
		{"an unknown scheme", "Digest x", nil, 401, "invalid_client"},
		{"a bad access token", "Bearer nonsense", nil, 401, "invalid_token"},
		{"two ways", good, []string{"client_secret", m.Secret}, 400, "invalid_request"},
		{"two tokens", good, []string{"token", "x"}, 400, "invalid_request"},
		{"too long", good, []string{"padding", strings.Repeat("a", 16<<10)}, 413, "invalid_request"},
	} {
		t.Run(r.rule, func(t *testing.T) {
			a := s.revoke(token, r.authorization, r.form...)
			a.is(t, r.status, r.word)
			if (a.StatusCode == 401) != (a.Header.Get("WWW-Authenticate") != "") {
				t.Errorf("challenges %q", a.Header.Values("WWW-Authenticate"))
			}
		})
	}
	for _, none := range []string{"token_type_hint=access_token", "token=", "token=%00", "token=%ff"} {
		s.form("/oauth2/revoke", none, "Authorization", good).is(t, 400, "invalid_request")
	}
	s.form("/oauth2/revoke?"+values("token", token), "", "Authorization", good).is(t, 400, "invalid_request")
	for _, kind := range []string{"application/json", "text/plain", ""} {
		s.send("POST", "/oauth2/revoke", values("token", token), "Authorization", good, "Content-Type", kind).is(t, 400, "invalid_request")
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		a := s.send(method, "/oauth2/revoke", "", "Authorization", good)
		if a.StatusCode != 405 || a.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, a.StatusCode, a.Header.Get("Allow"))
		}
	}
	if !s.active(t, token) {
		t.Error("a refused request ended the token")
	}
	s.Clock.Add(16 * time.Minute)
	s.revoke(token, good).isRevoked(t, "one that is over")
}

// RV-03: without the database nothing is said to have ended that has not.
func TestRevoke_RV03(t *testing.T) {
	cluster, err := storetest.StartCluster(t.Context()) // of its own: others are not to notice
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	if err := cluster.Create(t.Context(), "revoke", ""); err != nil {
		t.Fatal(err)
	}
	s := newSiteOn(t, cluster.URL("revoke"))
	person, m := s.NewPerson(""), s.NewMachine(s.Root, "", servicetest.MonitoringUser)
	token, refresh := s.Token(m, ""), s.Tokens(person.GetEmail(), person.Password).GetRefreshToken()
	cluster.Kill()
	for name, r := range map[string]struct{ token, authorization string }{
		"an access token":            {token, basic(m.GetId(), m.Secret)},
		"an access token, by itself": {token, "Bearer " + token},
		"a refresh token":            {refresh, "Bearer " + person.Token},
	} {
		a := s.revoke(r.token, r.authorization)
		a.is(t, 503, "temporarily_unavailable")
		if a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", name)
		}
	}
	if err := cluster.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !s.active(t, token) {
		t.Error("ended although the answer was another")
	}
	s.revoke(token, basic(m.GetId(), m.Secret)).isRevoked(t, "when the database is back")
	if s.active(t, token) {
		t.Error("still active")
	}
}
