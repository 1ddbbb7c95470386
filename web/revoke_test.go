package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store/storetest"
	"github.com/bizmetry/identity/web"
)

// revoker is a world whose revocation endpoint is asked.
type revoker struct {
	*servicetest.World
	handler http.Handler
}

func newRevoker(t *testing.T, url string) *revoker {
	t.Helper()
	w := servicetest.New(t, url)
	handler, err := web.New(web.Config{Service: w.Service, Now: w.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return &revoker{w, handler}
}

// post sends a form with an Authorization header, unless that is empty.
func (s *revoker) post(path, form, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(s.T.Context(), http.MethodPost, path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// revoked fails the test unless the answer is the one and only good one.
func (s *revoker) revoked(t *testing.T, what, form, authorization string) {
	t.Helper()
	w := s.post("/oauth2/revoke", form, authorization)
	if w.Code != http.StatusOK || w.Body.Len() != 0 || w.Header().Get("Content-Type") != "" ||
		w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Pragma") != "no-cache" || w.Header().Get("Request-Id") == "" {
		t.Errorf("%s: %d %q %v", what, w.Code, w.Body, w.Header())
	}
}

// refused fails the test unless the answer has a status and an error word.
func (s *revoker) refused(t *testing.T, what string, w *httptest.ResponseRecorder, status int, word string) {
	t.Helper()
	if w.Code != status || !strings.HasPrefix(w.Body.String(), `{"error":"`+word+`"`) || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %d %s, want %d %s", what, w.Code, w.Body, status, word)
	}
}

// active tells whether the service still takes an access token.
func (s *revoker) active(t *testing.T, token string) bool {
	t.Helper()
	info, err := s.Accounts.IntrospectToken(s.As(s.Root), &identityv1.IntrospectTokenRequest{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return info.GetActive()
}

func basicOf(m servicetest.Machine) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(m.GetId(), m.Secret)
	return r.Header.Get("Authorization")
}

func tokenForm(token string, more ...string) string {
	form := url.Values{"token": {token}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form.Encode()
}

func TestRevoke_RV01(t *testing.T) {
	s := newRevoker(t, storetest.SQLite(t))
	m := s.NewMachine(s.Root, "", servicetest.MonitoringUser)
	for name, by := range map[string]struct{ authorization, id, secret string }{
		"basic":  {authorization: basicOf(m)},
		"post":   {id: m.GetId(), secret: m.Secret},
		"bearer": {authorization: "Bearer " + s.Token(m, "")},
	} {
		for _, hint := range []string{"", "access_token", "refresh_token", "urn:example:unknown", "ф"} {
			token := s.Token(m, "")
			form := tokenForm(token, "token_type_hint", hint, "unknown", "x", "client_id", by.id, "client_secret", by.secret)
			if !s.active(t, token) {
				t.Fatalf("%s: not active to begin with", name)
			}
			s.revoked(t, name+" "+hint, form, by.authorization)
			if s.active(t, token) {
				t.Errorf("%s %s: still active", name, hint)
			}
			s.revoked(t, name+" again", form, by.authorization)
		}
	}
	own := s.Token(m, "")
	s.revoked(t, "the token that authenticates", tokenForm(own), "Bearer "+own)
	s.refused(t, "the same again", s.post("/oauth2/revoke", tokenForm(own), "Bearer "+own), 401, "invalid_token")
	s.revoked(t, "an expired one", tokenForm(own), basicOf(m))
	for name, token := range map[string]string{
		"garbage": "nonsense", "a secret": m.Secret, "long": strings.Repeat("a", 15000), "altered": own[:len(own)-4] + "AAAA",
		"odd": "\u202e'\"; --",
	} {
		s.revoked(t, name, tokenForm(token), basicOf(m))
	}
}

func TestRevoke_Refresh(t *testing.T) {
	s := newRevoker(t, storetest.SQLite(t))
	person := s.NewPerson("")
	tokens := s.Tokens(person.GetEmail(), person.Password)
	machine := basicOf(s.NewMachine(s.Root, "", servicetest.MonitoringUser))
	s.revoked(t, "RV-02 by another", tokenForm(tokens.GetRefreshToken()), machine)
	if !s.active(t, tokens.GetAccessToken()) {
		t.Error("RV-02: ended by another")
	}
	s.revoked(t, "by its owner", tokenForm(tokens.GetRefreshToken(), "token_type_hint", "access_token"), "Bearer "+person.Token)
	if s.active(t, tokens.GetAccessToken()) || !s.active(t, person.Token) {
		t.Error("not this session, and only this one, has ended")
	}
	_, err := s.Sessions.Refresh(t.Context(), &identityv1.RefreshRequest{RefreshToken: tokens.GetRefreshToken()})
	servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
	s.revoked(t, "again", tokenForm(tokens.GetRefreshToken()), "Bearer "+person.Token)
}

// RV-02: what is not the client's stays, and looks like what is not there.
func TestRevoke_RV02(t *testing.T) {
	s := newRevoker(t, storetest.SQLite(t))
	m := s.NewMachine(s.Root, "", servicetest.MonitoringUser)
	org := s.NewOrg()
	foreign := s.NewMachine(org.Admin.Token, "", servicetest.MonitoringUser)
	unknown := s.post("/oauth2/revoke", tokenForm("nonsense"), basicOf(m))
	for name, token := range map[string]string{
		"a neighbour's":          s.Token(s.NewMachine(s.Root, "", servicetest.MonitoringUser), ""),
		"a person's":             s.Root,
		"another organization's": s.Token(foreign, ""),
		"its administrator's":    org.Admin.Token,
	} {
		w := s.post("/oauth2/revoke", tokenForm(token), basicOf(m))
		for _, h := range []http.Header{w.Header(), unknown.Header()} {
			h.Del("Request-Id")
		}
		if w.Code != unknown.Code || w.Body.String() != unknown.Body.String() || !sameHeader(w.Header(), unknown.Header()) {
			t.Errorf("%s: %d %s %v, unknown ones %d %s %v", name, w.Code, w.Body, w.Header(), unknown.Code, unknown.Body, unknown.Header())
		}
		if !s.active(t, token) {
			t.Errorf("%s was ended", name)
		}
	}
	// Who may end tokens of others, but holds less than their owner, is told.
	clerk := s.NewMachine(s.Root, "", servicetest.MonitoringUser)
	_, err := s.Roles.GrantRoles(s.As(s.Root), &identityv1.GrantRolesRequest{Id: clerk.GetId(), PermissionKeys: []string{"platform.tokens.write"}})
	if err != nil {
		t.Fatal(err)
	}
	s.refused(t, "more than one's own", s.post("/oauth2/revoke", tokenForm(s.Root), basicOf(clerk)), 400, "unauthorized_client")
	if !s.active(t, s.Root) {
		t.Error("was ended all the same")
	}
}

func sameHeader(a, b http.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for name := range a {
		if !slices.Equal(a[name], b[name]) {
			return false
		}
	}
	return true
}

func TestRevoke_Refused(t *testing.T) {
	s := newRevoker(t, storetest.SQLite(t))
	m, other := s.NewMachine(s.Root, ""), s.NewMachine(s.Root, "")
	token, good := s.Token(m, ""), basicOf(m)
	wrong := m
	wrong.Secret = other.Secret
	for _, r := range []struct {
		rule, form, authorization string
		status                    int
		word                      string
	}{
		{"no client", tokenForm(token), "", 401, "invalid_client"},
		{"only an id", tokenForm(token, "client_id", m.GetId()), "", 401, "invalid_client"},
		{"another's secret", tokenForm(token), basicOf(wrong), 401, "invalid_client"},
		{"another's secret in the body", tokenForm(token, "client_id", m.GetId(), "client_secret", other.Secret), "", 401, "invalid_client"},
		{"an unknown scheme", tokenForm(token), "Digest x", 401, "invalid_client"},
		{"a bad access token", tokenForm(token), "Bearer nonsense", 401, "invalid_token"},
		{"two ways", tokenForm(token, "client_secret", m.Secret), good, 400, "invalid_request"},
		{"no token", "token_type_hint=access_token", good, 400, "invalid_request"},
		{"an empty token", "token=", good, 400, "invalid_request"},
		{"two tokens", tokenForm(token) + "&token=x", good, 400, "invalid_request"},
		{"a NUL", "token=%00", good, 400, "invalid_request"},
		{"too long", tokenForm(strings.Repeat("a", 16<<10)), good, 413, "invalid_request"},
	} {
		w := s.post("/oauth2/revoke", r.form, r.authorization)
		s.refused(t, r.rule, w, r.status, r.word)
		if (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("%s: challenge %q", r.rule, w.Header().Values("WWW-Authenticate"))
		}
	}
	s.refused(t, "in the query", s.post("/oauth2/revoke?"+tokenForm(token), "", good), 400, "invalid_request")
	for _, kind := range []string{"application/json", "text/plain", ""} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth2/revoke", strings.NewReader(tokenForm(token)))
		r.Header.Set("Authorization", good)
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		s.refused(t, "as "+kind, w, 400, "invalid_request")
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		r := httptest.NewRequestWithContext(t.Context(), method, "/oauth2/revoke", nil)
		r.Header.Set("Authorization", good)
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		s.refused(t, method, w, 405, "invalid_request")
		if w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: Allow %q", method, w.Header().Get("Allow"))
		}
	}
	if !s.active(t, token) {
		t.Error("a refused request ended the token")
	}
}

// RV-03: without the database nothing is said to have ended that has not.
func TestRevoke_RV03(t *testing.T) {
	cluster, err := storetest.StartCluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	if err := cluster.Create(t.Context(), "revoke", ""); err != nil {
		t.Fatal(err)
	}
	s := newRevoker(t, cluster.URL("revoke"))
	person, m := s.NewPerson(""), s.NewMachine(s.Root, "", servicetest.MonitoringUser)
	token, refresh := s.Token(m, ""), s.Tokens(person.GetEmail(), person.Password).GetRefreshToken()
	cluster.Kill()
	for name, r := range map[string]struct{ token, authorization string }{
		"an access token":            {token, basicOf(m)},
		"an access token, by itself": {token, "Bearer " + token},
		"a refresh token":            {refresh, "Bearer " + person.Token},
	} {
		w := s.post("/oauth2/revoke", tokenForm(r.token), r.authorization)
		s.refused(t, name, w, 503, "temporarily_unavailable")
		if w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", name)
		}
	}
	if err := cluster.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !s.active(t, token) {
		t.Error("ended although the answer was another")
	}
	s.revoked(t, "when it is back", tokenForm(token), basicOf(m))
	if s.active(t, token) {
		t.Error("still active")
	}
}

func TestRevoke_Announced(t *testing.T) {
	s := newRevoker(t, storetest.SQLite(t))
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		for _, member := range []string{
			`"revocation_endpoint":"` + servicetest.Issuer + `/oauth2/revoke"`,
			`"revocation_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"]`,
		} {
			if !strings.Contains(w.Body.String(), member) {
				t.Errorf("MD-02 %s lacks %s", path, member)
			}
		}
	}
}
