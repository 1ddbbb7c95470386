package web_test

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/web"
)

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

const grant = "grant_type=client_credentials"

func TestToken_OA01_OA02_OA03(t *testing.T) {
	s := newSite(t)
	m := s.NewMachine(s.Root, "", servicetest.MonitoringUser)
	good := basic(m.GetId(), m.Secret)
	post := grant + "&client_id=" + m.GetId() + "&client_secret=" + m.Secret
	rows := []struct {
		rule, body, authorization string
		status                    int
		word                      string
	}{
		{"OA-03 basic", grant, good, 200, ""},
		{"OA-03 basic, encoded", grant, basic(strings.ReplaceAll(m.GetId(), "-", "%2D"), strings.ReplaceAll(m.Secret, "_", "%5f")), 200, ""},
		{"OA-03 basic in other case", grant, "bAsIc" + strings.TrimPrefix(good, "Basic"), 200, ""},
		{"OA-03 post", post, "", 200, ""},
		{"OA-03 the id in both places", grant + "&client_id=" + m.GetId(), good, 200, ""},
		{"OA-03 both", post, good, 400, "invalid_request"},
		{"OA-03 another id in the body", grant + "&client_id=x", good, 400, "invalid_request"},
		{"OA-03 basic and assertion", grant + "&client_assertion=x", good, 400, "invalid_request"},
		{"OA-03 no base64", grant, "Basic !!!", 400, "invalid_request"},
		{"OA-03 no colon", grant, "Basic " + base64.StdEncoding.EncodeToString([]byte("x")), 400, "invalid_request"},
		{"OA-03 bad escape", grant, basic(m.GetId(), "%zz"), 400, "invalid_request"},
		{"OA-03 NUL", grant, basic(m.GetId(), "%00"), 400, "invalid_request"},
		{"OA-03 no client", grant, "", 401, "invalid_client"},
		{"OA-03 bearer", grant, "Bearer " + s.Root, 401, "invalid_client"},
		{"OA-02 a parameter twice", grant + "&scope=a&scope=b", good, 400, "invalid_request"},
		{"OA-02 an unknown parameter twice", grant + "&x=a&x=a", good, 400, "invalid_request"},
		{"OA-02 a parameter twice, once empty", grant + "&scope=&scope=", good, 400, "invalid_request"},
		{"OA-02 an unknown parameter", grant + "&x=y", good, 200, ""},
		{"OA-02 empty is absent", grant + "&scope=&resource=&client_secret=", good, 200, ""},
		{"OA-02 empty grant type", "grant_type=", good, 400, "invalid_request"},
		{"OA-02 two resources, not allowed", grant + "&resource=http://a&resource=http://b", good, 400, "invalid_target"},
		{"OA-01 no body", "", good, 400, "invalid_request"},
		{"OA-01 semicolon", grant + ";scope=a", good, 400, "invalid_request"},
		{"OA-01 bad escape", grant + "&scope=%zz", good, 400, "invalid_request"},
		{"OA-01 NUL", grant + "&scope=%00", good, 400, "invalid_request"},
		{"OA-01 invalid UTF-8", grant + "&scope=%ff", good, 400, "invalid_request"},
		{"OA-01 invalid UTF-8, raw", grant + "&scope=\xff", good, 400, "invalid_request"},
		{"OA-06 unknown grant", "grant_type=password", good, 400, "unsupported_grant_type"},
		{"OA-06 scope not held", grant + "&scope=platform.administer", good, 400, "invalid_scope"},
		{"OA-06 scope not there", grant + "&scope=nonsense", good, 400, "invalid_scope"},
		{"OA-06 two scopes", grant + "&scope=agents.read+profiles.read", good, 200, ""},
		{"OA-06 scopes with a tab", grant + "&scope=agents.read%09profiles.read", good, 400, "invalid_scope"},
		{"OA-06 scopes with NBSP", grant + "&scope=agents.read%c2%a0profiles.read", good, 400, "invalid_scope"},
		{"OA-06 scopes with a line", grant + "&scope=agents.read%0aprofiles.read", good, 400, "invalid_scope"},
		{"OA-06 scopes with two spaces", grant + "&scope=agents.read++profiles.read", good, 400, "invalid_scope"},
		{"OA-06 a scope and a space", grant + "&scope=agents.read+", good, 400, "invalid_scope"},
		{"OA-06 long scope", grant + "&scope=" + strings.Repeat("a", 5000), good, 400, "invalid_scope"},
		{"OA-06 foreign target", grant + "&resource=https://other.test", good, 400, "invalid_target"},
		{"OA-06 this service", grant + "&resource=" + servicetest.Issuer, good, 200, ""},
	}
	for _, r := range rows {
		t.Run(r.rule, func(t *testing.T) {
			var headers []string
			if r.authorization != "" {
				headers = []string{"Authorization", r.authorization}
			}
			a := s.form("/oauth2/token", r.body, headers...)
			a.is(t, r.status, r.word)
			checkTokenHeaders(t, a)
		})
	}
	s.form("/oauth2/token", grant, "Authorization", good, "Authorization", good).is(t, 400, "invalid_request")
	s.form("/oauth2/token?grant_type=client_credentials", "", "Authorization", good).is(t, 400, "invalid_request")
	s.form("/oauth2/token?x", grant, "Authorization", good).is(t, 400, "invalid_request")
	for _, kind := range []string{"application/json", "text/plain", "multipart/form-data; boundary=x", ""} {
		s.send("POST", "/oauth2/token", grant, "Authorization", good, "Content-Type", kind).is(t, 400, "invalid_request")
	}
	s.form("/oauth2/token", grant, "Authorization", good, "Content-Encoding", "gzip").is(t, 400, "invalid_request")
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"} {
		a := s.send(method, "/oauth2/token", "", "Authorization", good)
		if a.StatusCode != 405 || a.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, a.StatusCode, a.Header.Get("Allow"))
		}
	}
}

func checkTokenHeaders(t *testing.T, a reply) {
	t.Helper()
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Pragma") != "no-cache" {
		t.Errorf("may be kept: %v", a.Header)
	}
	if text, _ := a.get("error_description").(string); strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' || r > '~' || r == '"' || r == '\\'
	}) {
		t.Errorf("OA-06: description %q", text)
	}
	if a.StatusCode == http.StatusUnauthorized && a.Header.Get("WWW-Authenticate") != `Basic realm="identity"` {
		t.Errorf("OA-06: challenge %q", a.Header.Get("WWW-Authenticate"))
	}
}

func TestToken_OA04_OA05(t *testing.T) {
	s := newSite(t)
	m := s.NewMachine(s.Root, "", servicetest.MonitoringUser)
	me := s.call(s.Token(m, ""), "GET", "/v1/me", "")
	held, _ := me.get("effectivePermissions").([]any)
	if len(held) == 0 {
		t.Fatalf("holds nothing: %s", me.text)
	}
	for _, scope := range []string{"", held[0].(string)} {
		a := s.form("/oauth2/token", grant+"&scope="+scope, "Authorization", basic(m.GetId(), m.Secret))
		body, _ := a.get().(map[string]any)
		want := []string{"access_token", "expires_in", "token_type"}
		if scope != "" {
			want = []string{"access_token", "expires_in", "scope", "token_type"}
		}
		if got := slices.Sorted(maps.Keys(body)); !slices.Equal(got, want) {
			t.Errorf("OA-05: members %v", got)
		}
		if body["token_type"] != "Bearer" || body["expires_in"] != 900.0 || (scope != "" && body["scope"] != scope) {
			t.Errorf("OA-05: %s", a.text)
		}
		text, _ := body["access_token"].(string)
		s.call(text, "GET", "/v1/me", "").is(t, 200, "")
		if a.Header.Get("Request-Id") == "" || a.Header.Get("Request-Id") == s.call(text, "GET", "/v1/me", "").Header.Get("Request-Id") {
			t.Error("requests have no id of their own")
		}
	}
}

// OA-04, OA-06: whatever is wrong with a client, the answer is the same.
func TestToken_OA06_OneAnswer(t *testing.T) {
	s := newSite(t)
	m := s.NewMachine(s.Root, "")
	disabled := s.NewMachine(s.Root, "")
	s.call(s.Root, "POST", "/v1/serviceAccounts/"+disabled.GetId()+":disable", "").is(t, 200, "")
	deleted := s.NewMachine(s.Root, "")
	s.call(s.Root, "DELETE", "/v1/serviceAccounts/"+deleted.GetId(), "").is(t, 200, "")
	short, err := s.Accounts.CreateCredential(s.As(s.Root), &identityv1.CreateCredentialRequest{
		ServiceAccountId: m.GetId(), Credential: &identityv1.Credential{Expiration: &identityv1.Credential_Ttl{Ttl: durationpb.New(time.Minute)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	person := s.NewPerson("")
	s.Clock.Add(2 * time.Minute)
	var first reply
	for name, header := range map[string]string{
		"wrong secret":    basic(m.GetId(), disabled.Secret),
		"broken secret":   basic(m.GetId(), m.Secret+"x"),
		"unknown client":  basic("00000000-0000-7000-8000-00000000ffff", m.Secret),
		"no id":           basic("nobody", m.Secret),
		"empty":           basic("", ""),
		"disabled":        basic(disabled.GetId(), disabled.Secret),
		"deleted":         basic(deleted.GetId(), deleted.Secret),
		"expired secret":  basic(m.GetId(), short.GetSecret()),
		"OA-04 a person":  basic(person.GetId(), person.Password),
		"an access token": basic(m.GetId(), person.Token),
	} {
		a := s.form("/oauth2/token", grant, "Authorization", header)
		a.is(t, 401, "invalid_client")
		checkTokenHeaders(t, a)
		if first.Response == nil {
			first = a
		}
		a.Header.Del("Request-Id")
		a.Header.Del("Date")
		first.Header.Del("Request-Id")
		first.Header.Del("Date")
		if a.text != first.text || !maps.EqualFunc(a.Header, first.Header, slices.Equal[[]string]) {
			t.Errorf("%s: answers %s %v, others %s %v", name, a.text, a.Header, first.text, first.Header)
		}
	}
}

func TestToken_RateLimited(t *testing.T) {
	s := newSite(t)
	for range 500 {
		a := s.form("/oauth2/token", grant, "Authorization", basic("nobody", "x"))
		if a.StatusCode == http.StatusTooManyRequests {
			a.is(t, 429, "temporarily_unavailable")
			if a.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			b := s.send("POST", "/v1/sessions", `{"email":"a@x.test","password":"x"}`, "Content-Type", "application/json")
			b.is(t, 401, "CREDENTIALS_INVALID") // each purpose is counted apart
			return
		}
	}
	t.Error("was never slowed down")
}

func TestIntrospect(t *testing.T) {
	s := newSite(t)
	m := s.NewMachine(s.Root, "", servicetest.MonitoringUser)
	org := s.NewOrg()
	foreign := s.NewMachine(org.Admin.Token, "", servicetest.MonitoringUser)
	by := basic(m.GetId(), m.Secret)
	own := s.Token(m, "")
	const inactive = `{"active":false}`

	a := s.form("/oauth2/introspect", values("token", own, "token_type_hint", "refresh_token", "unknown", "x"), "Authorization", by)
	for member, want := range map[string]any{
		"active": true, "client_id": m.GetId(), "sub": m.GetId(), "iss": servicetest.Issuer, "token_type": "Bearer",
		"org": m.GetOrganizationId(), "principal_type": "service_account", "cred": m.Credential, "sid": nil, "scope": nil,
	} {
		if a.get(member) != want {
			t.Errorf("IN-R2: %s is %v, want %v", member, a.get(member), want)
		}
	}
	issued, _ := a.get("iat").(float64)
	if a.get("exp") != issued+900 || a.get("jti") == nil || a.get("aud") == nil {
		t.Errorf("IN-R2: %s", a.text)
	}
	for name, token := range map[string]string{
		"garbage": "nonsense", "a secret": m.Secret, "another organization's": s.Token(foreign, ""), "a session": org.Admin.Token,
		"long": strings.Repeat("a", 15000), "altered": own[:len(own)-4] + "AAAA",
	} {
		a := s.form("/oauth2/introspect", values("token", token), "Authorization", by)
		if a.StatusCode != 200 || a.text != inactive {
			t.Errorf("IN-R1 %s: %d %s", name, a.StatusCode, a.text)
		}
	}
	if a := s.form("/oauth2/introspect", values("token", own), "Authorization", "Bearer "+s.Root); a.get("active") != true {
		t.Errorf("by bearer: %s", a.text)
	}
	if a := s.form("/oauth2/introspect", values("token", s.Root), "Authorization", "Bearer "+s.Root); a.get("sid") == nil || a.get("client_id") != "identity" {
		t.Errorf("a session: %s", a.text)
	}
	if a := s.form("/oauth2/introspect", values("token", own, "client_id", m.GetId(), "client_secret", m.Secret)); a.get("active") != true {
		t.Errorf("by post: %s", a.text)
	}
	refusedIntrospections(t, s, by, own)
	s.Clock.Add(16 * time.Minute)
	if a := s.form("/oauth2/introspect", values("token", own), "Authorization", by); a.text != inactive {
		t.Errorf("IN-R1 expired: %s", a.text)
	}
}

func refusedIntrospections(t *testing.T, s *site, by, token string) {
	t.Helper()
	a := s.form("/oauth2/introspect", values("token", token, "access_token", token))
	a.is(t, 401, "invalid_client")
	if got := a.Header.Values("WWW-Authenticate"); !slices.Equal(got, []string{`Basic realm="identity"`, "Bearer"}) {
		t.Errorf("IN-R1: challenges %q", got)
	}
	s.form("/oauth2/introspect", values("token", token), "Authorization", basic("x", "y")).is(t, 401, "invalid_client")
	a = s.form("/oauth2/introspect", values("token", token), "Authorization", "Bearer nonsense")
	a.is(t, 401, "invalid_token")
	if got := a.Header.Get("WWW-Authenticate"); got != `Bearer error="invalid_token"` {
		t.Errorf("challenge %q", got)
	}
	s.form("/oauth2/introspect", values("token_type_hint", "x"), "Authorization", by).is(t, 400, "invalid_request")
	s.form("/oauth2/introspect", "token=a&token=b", "Authorization", by).is(t, 400, "invalid_request")
	s.form("/oauth2/introspect?token="+token, "", "Authorization", by).is(t, 400, "invalid_request")
	s.form("/oauth2/introspect", values("token", strings.Repeat("a", 16<<10)), "Authorization", by).is(t, 413, "invalid_request")
	s.send("GET", "/oauth2/introspect", "", "Authorization", by).is(t, 405, "invalid_request")
}

func TestParseBasic_OA03(t *testing.T) {
	for _, r := range []struct{ joined, id, secret string }{
		{"id:secret", "id", "secret"},
		{"id:a%3Ab%25c%2Bd+e%20f", "id", "a:b%c+d e f"},
		{"id:a:b", "id", "a:b"},
		{"%D1%84:%C3%A9", "ф", "é"},
		{":", "", ""},
	} {
		id, secret, ok := web.ParseBasic(base64.StdEncoding.EncodeToString([]byte(r.joined)))
		if !ok || id != r.id || secret != r.secret {
			t.Errorf("%q: %q %q %v", r.joined, id, secret, ok)
		}
	}
}

func FuzzParseBasic(f *testing.F) {
	f.Add("aWQ6c2VjcmV0")
	f.Add("aWQ6JTAw")
	f.Add("====")
	f.Fuzz(func(t *testing.T, text string) {
		id, secret, ok := web.ParseBasic(text)
		if !ok && id+secret != "" {
			t.Errorf("refused, but gives %q %q", id, secret)
		}
		checkText(t, id, secret)
	})
}

func FuzzParseForm(f *testing.F) {
	f.Add("grant_type=client_credentials&scope=a+b&scope=%zz")
	f.Add("a=1;b=2")
	f.Add("a&&=&b")
	f.Fuzz(func(t *testing.T, body string) {
		form, ok := web.ParseForm(body)
		if !ok && form != nil {
			t.Errorf("refused, but gives %v", form)
		}
		for key, list := range form {
			if len(list) == 0 || slices.Contains(list, "") || len(list) > 1 && key != "resource" && key != "audience" {
				t.Errorf("%q is %q", key, list)
			}
			checkText(t, append(list, key)...)
		}
	})
}

func checkText(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.ToValidUTF8(text, "") != text || strings.ContainsRune(text, 0) {
			t.Errorf("lets %q through", text)
		}
	}
}
