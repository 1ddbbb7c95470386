package web_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

const formType = "application/x-www-form-urlencoded"

// invite makes a pending person, with a password or without, and returns the
// address and the token of the link.
func (s *site) invite(password string) (email, token string) {
	s.t.Helper()
	draft := s.Draft()
	draft.Confirmed, draft.Password = nil, &password
	_, err := s.Users.CreateUser(s.As(s.Root), &identityv1.CreateUserRequest{User: draft})
	if err != nil {
		s.t.Fatal(err)
	}
	return draft.GetEmail(), s.Link(draft.GetEmail())
}

func (s *site) show(token string) reply {
	return s.send("GET", "/activate?token="+url.QueryEscape(token), "")
}

func (s *site) submit(form url.Values, headers ...string) reply {
	return s.send("POST", "/activate", form.Encode(), append([]string{"Content-Type", formType}, headers...)...)
}

// The page works without a script: it shows a form that spends the link.
func TestActivatePage(t *testing.T) {
	s := newSite(t)
	email, token := s.invite("")
	for range 3 { // looking spends nothing
		a := s.show(token)
		if a.StatusCode != 200 || strings.Count(a.text, `type="password"`) != 2 || !strings.Contains(a.text, token) || strings.Contains(a.text, "<script") {
			t.Fatalf("%d %s", a.StatusCode, a.text)
		}
		csp := a.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "form-action 'self'") || strings.Contains(csp, "script-src") ||
			a.Header.Get("Referrer-Policy") != "no-referrer" || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", a.Header)
		}
	}
	good := url.Values{"token": {token}, "password": {servicetest.RootPassword}, "again": {servicetest.RootPassword}}
	for _, row := range []struct{ name, password, again, want string }{
		{"not the same", servicetest.RootPassword, "other", "The two passwords are not the same."},
		{"weak", "weak", "weak", "It is too short."},
		{"none", "", "", "A password must be chosen"},
	} {
		a := s.submit(url.Values{"token": {token}, "password": {row.password}, "again": {row.again}})
		if a.StatusCode != 400 || !strings.Contains(a.text, row.want) || strings.Count(a.text, `type="password"`) != 2 {
			t.Errorf("%s: %d %s", row.name, a.StatusCode, a.text)
		}
	}
	if a := s.submit(good); a.StatusCode != 200 || !strings.Contains(a.text, email) {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	s.SignIn(email, servicetest.RootPassword)
	if strings.Contains(s.log.String(), token) || strings.Contains(s.log.String(), servicetest.RootPassword) {
		t.Error("the log holds the token or the password")
	}
}

// Who has a password already only confirms.
func TestActivatePage_WithPassword(t *testing.T) {
	s := newSite(t)
	_, token := s.invite(servicetest.RootPassword)
	if a := s.show(token); a.StatusCode != 200 || strings.Contains(a.text, `type="password"`) {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if a := s.submit(url.Values{"token": {token}, "password": {"Another#Horse8battery"}, "again": {"Another#Horse8battery"}}); a.StatusCode != 400 {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if a := s.submit(url.Values{"token": {token}}); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

// PW-09: replaced, unknown and misshapen tokens look alike, shown or spent.
func TestActivatePage_PW09_Alike(t *testing.T) {
	s := newSite(t)
	email, replaced := s.invite(servicetest.RootPassword)
	found, err := s.Users.ListUsers(s.As(s.Root), &identityv1.ListUsersRequest{Filter: &identityv1.ListUsersRequest_Filter{EmailExact: &email}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Users.SendActivation(s.As(s.Root), &identityv1.SendActivationRequest{Id: found.GetUsers()[0].GetId()}); err != nil {
		t.Fatal(err)
	}
	want := s.show(replaced)
	if want.StatusCode != 400 || !strings.Contains(want.text, "invalid or has expired") {
		t.Errorf("%d %s", want.StatusCode, want.text)
	}
	for _, token := range []string{replaced, "", "x", strings.Repeat("A", 43), strings.Repeat("A", 1000), "a&token=b", "<script>alert(1)</script>", "\x00", "é"} {
		for _, a := range []reply{s.show(token), s.submit(url.Values{"token": {token}, "password": {"x"}, "again": {"x"}})} {
			if a.StatusCode != want.StatusCode || (a.text != want.text && token != "\x00") {
				t.Errorf("%s of %q: %d %s", a.Request.Method, token, a.StatusCode, a.text)
			}
		}
	}
	for _, query := range []string{"", "?", "?token", "?token=" + replaced + "&token=" + replaced, "?token=" + replaced + "&x=1", "?%zz"} {
		if a := s.send("GET", "/activate"+query, ""); a.StatusCode != want.StatusCode || a.text != want.text {
			t.Errorf("%q: %d %s", query, a.StatusCode, a.text)
		}
	}
}

// Only a form of the page itself spends a link.
func TestActivatePage_Forms(t *testing.T) {
	s := newSite(t)
	_, token := s.invite(servicetest.RootPassword)
	good := url.Values{"token": {token}}
	for _, row := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Sec-Fetch-Site", "none"},
		{"Sec-Fetch-Site", "cross-site", "Origin", servicetest.Issuer},
		{"Origin", "https://evil.test"},
		{"Origin", servicetest.Issuer + ".evil.test"},
		{"Content-Encoding", "gzip"},
		{"Content-Type", formType},
	} {
		if a := s.submit(good, row...); a.StatusCode != 400 {
			t.Errorf("%q: %d", row, a.StatusCode)
		}
	}
	for name, a := range map[string]reply{
		"JSON":            s.send("POST", "/activate", `{"token":"`+token+`"}`, "Content-Type", "application/json"),
		"in the query":    s.send("POST", "/activate?token="+token, "", "Content-Type", formType),
		"twice":           s.send("POST", "/activate", "token="+token+"&token="+token, "Content-Type", formType),
		"too large":       s.send("POST", "/activate", "token="+token+"&password="+strings.Repeat("x", 20<<10), "Content-Type", formType),
		"another content": s.send("POST", "/activate", good.Encode(), "Content-Type", "text/plain"),
	} {
		if a.StatusCode != 400 {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
	}
	s.send("PUT", "/activate", good.Encode(), "Content-Type", formType).is(t, 405, "UNKNOWN_METHOD")
	if a := s.submit(good, "Sec-Fetch-Site", "same-origin", "Origin", "null"); a.StatusCode != 200 {
		t.Errorf("of the page itself: %d %s", a.StatusCode, a.text)
	}
}

// The issuer's path leads to the page, its style and its form.
func TestActivatePage_UnderPath(t *testing.T) {
	s := newSite(t, issuer("https://id.example.com/a/b"))
	a := s.send("GET", "/a/b/activate?token=x", "")
	if a.StatusCode != 400 || !strings.Contains(a.text, `href="/a/b/page.css"`) {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if a := s.send("GET", "/a/b/page.css", ""); a.StatusCode != 200 || a.Header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("%d %v", a.StatusCode, a.Header)
	}
}

// TestLinks_RG06: whatever a request says of its host, links lead to the
// public URL, from every call that mails.
func TestLinks_RG06(t *testing.T) {
	const public = "https://id.example.com/base"
	s := newSite(t, issuer(public), trusting("127.0.0.0/8"))
	for i, header := range []string{
		"Host: evil.test", "Host: identity.test@evil.test", "X-Forwarded-Host: evil.test", "X-Forwarded-Proto: http", "X-Forwarded-Prefix: /evil",
		"X-Forwarded-Port: 1", "X-Forwarded-Server: evil.test", "Forwarded: host=evil.test;proto=http", "X-Original-Host: evil.test", "X-Host: evil.test",
		"X-Rewrite-Url: http://evil.test/", "Origin: https://evil.test", "Referer: https://evil.test/",
	} {
		name, value, _ := strings.Cut(header, ": ")
		email := fmt.Sprintf("rg06-%d@people.test", i)
		s.post(s.Root, "/v1/users", fmt.Sprintf(`{"email":%q,"firstName":"Ann","lastName":"Ng","roleIds":[%q]}`, email, servicetest.MonitoringUser), name, value)
		var id string
		if a := s.call(s.Root, "GET", "/v1/users?filter.emailExact="+email, ""); true {
			users, _ := a.get("users").([]any)
			id, _ = users[0].(map[string]any)["id"].(string)
		}
		s.post(s.Root, "/v1/users/"+id+":sendActivation", `{}`, name, value)
		for range 2 {
			l := s.Letter(email, "token=")
			if strings.Count(l.Text, "://") != 1 || !strings.Contains(l.Text, public+"/activate?token=") || strings.Contains(l.Text, "evil") {
				t.Errorf("%s: %s", header, l.Text)
			}
		}
	}
}

// post posts with one more header, and fails the test unless it works.
func (s *site) post(token, path, body, name, value string) {
	s.t.Helper()
	if a := s.send("POST", path, body, "Authorization", "Bearer "+token, "Content-Type", "application/json", name, value); a.StatusCode != 200 {
		s.t.Fatalf("%s with %s: %d %s", path, name, a.StatusCode, a.text)
	}
}

// What mail programs, trackers and readers add to a link does not spoil it, and who
// clicks twice is told that all is well.
func TestActivatePage_AsPeopleFollowIt(t *testing.T) {
	s := newSite(t)
	_, token := s.invite("")
	for rule, query := range map[string]string{
		"a tracker's parameter":      "token=" + token + "&utm_source=x",
		"a parameter before":         "utm_medium=mail&token=" + token,
		"a parameter that is broken": "token=" + token + "&a=%zz;b",
		"a full stop":                "token=" + token + ".",
		"a bracket":                  "token=" + token + ")",
		"a bracket and a comma":      "token=" + token + "%3E,",
	} {
		if a := s.send("GET", "/activate?"+query, ""); a.StatusCode != 200 || strings.Count(a.text, `type="password"`) != 2 {
			t.Errorf("%s: %d %s", rule, a.StatusCode, a.text)
		}
	}
	for rule, query := range map[string]string{
		"two tokens": "token=" + token + "&token=" + token, "a part of it": "token=" + token[:42], "no token": "utm_source=x", "another": "token=A" + token,
	} {
		if a := s.send("GET", "/activate?"+query, ""); a.StatusCode != 400 || !strings.Contains(a.text, "invalid or has expired") {
			t.Errorf("%s: %d %s", rule, a.StatusCode, a.text)
		}
	}
	form := url.Values{"token": {token + "."}, "password": {servicetest.RootPassword}, "again": {servicetest.RootPassword}}
	if a := s.submit(form); a.StatusCode != 200 || !strings.Contains(a.text, "Your account is active") {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	for rule, a := range map[string]reply{"a second click": s.submit(form), "following it again": s.show(token)} {
		if a.StatusCode != 200 || !strings.Contains(a.text, "already activated") || strings.Contains(a.text, "<form") {
			t.Errorf("%s: %d %s", rule, a.StatusCode, a.text)
		}
	}
}
