package web_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store/storetest"
	"github.com/bizmetry/identity/web"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// site is a world with its HTTP port on loopback.
type site struct {
	*servicetest.World
	t       *testing.T
	url     string
	handler http.Handler
	log     *lines
}

// lines is a log that tests read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// last is the newest line.
func (l *lines) last() map[string]any {
	all := strings.Split(strings.TrimSpace(l.String()), "\n")
	var line map[string]any
	if err := json.Unmarshal([]byte(all[len(all)-1]), &line); err != nil {
		panic(err)
	}
	return line
}

func newSite(t *testing.T, options ...func(*service.Config)) *site {
	t.Helper()
	return newSiteOn(t, storetest.SQLite(t), options...)
}

// newSiteOn makes a site on a database.
func newSiteOn(t *testing.T, database string, options ...func(*service.Config)) *site {
	t.Helper()
	log := &lines{}
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	options = append([]func(*service.Config){func(c *service.Config) { c.Log = logger }}, options...)
	w := servicetest.New(t, database, options...)
	handler, err := web.New(web.Config{Service: w.Service, Log: logger, Now: w.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config = web.Server(handler)
	server.Start()
	t.Cleanup(server.Close)
	return &site{w, t, server.URL, handler, log}
}

func issuer(text string) func(*service.Config) { return func(c *service.Config) { c.Issuer = text } }

func trusting(cidr string) func(*service.Config) {
	return func(c *service.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(cidr)} }
}

// reply is a response that was read.
type reply struct {
	*http.Response
	text string
}

// get is a member of a JSON body, by path.
func (a reply) get(path ...string) any {
	var v any
	_ = json.Unmarshal([]byte(a.text), &v)
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

// reason is the reason of an error, or the word of OAuth.
func (a reply) reason() string {
	var body struct {
		Error   string
		Details []struct {
			Type   string `json:"@type"`
			Reason string
		}
	}
	_ = json.Unmarshal([]byte(a.text), &body)
	for _, d := range body.Details {
		if d.Type == "type.googleapis.com/google.rpc.ErrorInfo" {
			return d.Reason
		}
	}
	return body.Error
}

// is fails the test unless the answer has a status and a reason.
func (a reply) is(t *testing.T, status int, reason string) {
	t.Helper()
	if a.StatusCode != status || a.reason() != reason {
		t.Errorf("%s %s: %d %s, want %d %s (%.300s)", a.Request.Method, a.Request.URL, a.StatusCode, a.reason(), status, reason, a.text)
	}
}

// send makes a request; headers are name, value, name, value. What must hold
// for every answer is checked for every answer.
func (s *site) send(method, path, body string, headers ...string) reply {
	s.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, reader)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := reply{resp, string(text)}
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge { // net/http's own
		checkAlways(s.t, a)
	}
	return a
}

// call sends JSON with an access token.
func (s *site) call(token, method, path, body string, headers ...string) reply {
	s.t.Helper()
	headers = append(headers, "Authorization", "Bearer "+token)
	if body != "" {
		headers = append(headers, "Content-Type", "application/json")
	}
	return s.send(method, path, body, headers...)
}

// form posts a form.
func (s *site) form(path, body string, headers ...string) reply {
	s.t.Helper()
	return s.send(http.MethodPost, path, body, append(headers, "Content-Type", "application/x-www-form-urlencoded")...)
}

func checkAlways(t *testing.T, a reply) {
	t.Helper()
	where := a.Request.Method + " " + a.Request.URL.Path
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("WB-05 %s: %s is %q", where, name, got)
		}
	}
	policy := a.Header.Get("Content-Security-Policy")
	page := strings.HasSuffix(a.Request.URL.Path, "/activate") && strings.HasPrefix(a.Header.Get("Content-Type"), "text/html")
	forms := "form-action 'none'"
	if page {
		forms = "form-action 'self'"
	}
	for _, part := range []string{"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", forms} {
		if !strings.Contains(policy, part) {
			t.Errorf("WB-05 %s: the policy %q lacks %s", where, policy, part)
		}
	}
	for name := range a.Header {
		if strings.HasPrefix(name, "Access-Control-") || strings.HasPrefix(name, "Grpc-") {
			t.Errorf("%s: answers with %s", where, name)
		}
	}
	if a.text != "" && !strings.Contains(a.Header.Get("Content-Type"), "charset=utf-8") {
		t.Errorf("WB-01 %s: Content-Type %q", where, a.Header.Get("Content-Type"))
	}
	if a.StatusCode >= 300 && a.StatusCode < 400 {
		t.Errorf("%s redirects to %s", where, a.Header.Get("Location"))
	}
	if a.StatusCode < 300 {
		return
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: an error may be kept: %q", where, a.Header.Get("Cache-Control"))
	}
	if a.Request.Method != http.MethodHead && a.Request.URL.Path != "/readyz" && !page {
		checkError(t, where, a)
	}
}

func checkError(t *testing.T, where string, a reply) {
	t.Helper()
	path := a.Request.URL.Path
	if strings.HasSuffix(path, "/oauth2/token") || strings.HasSuffix(path, "/oauth2/introspect") || strings.HasSuffix(path, "/oauth2/revoke") {
		word, _ := a.get("error").(string)
		if word == "" || a.Header.Get("Pragma") != "no-cache" {
			t.Errorf("%s: no OAuth error: %s", where, a.text)
		}
		return
	}
	var body struct {
		Code    int
		Message string
		Details []map[string]any
	}
	if err := json.Unmarshal([]byte(a.text), &body); err != nil || body.Code == 0 || body.Message == "" {
		t.Errorf("%s: no status: %s", where, a.text)
	}
	infos := 0
	for _, d := range body.Details {
		if d["@type"] != "type.googleapis.com/google.rpc.ErrorInfo" {
			continue
		}
		infos++
		reason, _ := d["reason"].(string)
		if identityv1.Error_Reason_value[reason] == 0 || d["domain"] != answer.Domain {
			t.Errorf("%s: ErrorInfo %v", where, d)
		}
	}
	if infos != 1 {
		t.Errorf("%s: %d ErrorInfo, want one: %s", where, infos, a.text)
	}
	for status, header := range map[int]string{401: "WWW-Authenticate", 403: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"} {
		if a.StatusCode == status && a.Header.Get(header) == "" {
			t.Errorf("%s: %d without %s", where, status, header)
		}
	}
}

// values makes a form of name, value, name, value.
func values(pairs ...string) string {
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return form.Encode()
}
