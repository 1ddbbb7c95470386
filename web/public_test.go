package web_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/web"
)

const cached = "public, max-age=300"

func TestMetadata_MD(t *testing.T) {
	for _, issued := range []string{servicetest.Issuer, "https://id.example.com", "https://id.example.com/a/b", "https://id.example.com/a/"} {
		t.Run(issued, func(t *testing.T) {
			s := newSite(t, issuer(issued))
			u, _ := url.Parse(issued)
			base := strings.TrimSuffix(u.Path, "/")
			common := s.document(t, "/.well-known/oauth-authorization-server"+base)
			openID := s.document(t, base+"/.well-known/openid-configuration")
			if common["issuer"] != issued {
				t.Errorf("MD-01: issuer %v", common["issuer"])
			}
			for name, value := range common {
				if !reflect.DeepEqual(openID[name], value) {
					t.Errorf("MD-03: %s is %v and %v", name, value, openID[name])
				}
			}
			for _, document := range []map[string]any{common, openID} {
				if value, there := document["response_types_supported"]; there {
					t.Errorf("MD-02: response types %v, of which there are none", value)
				}
			}
			for name, path := range map[string]string{
				"token_endpoint": "/oauth2/token", "introspection_endpoint": "/oauth2/introspect", "revocation_endpoint": "/oauth2/revoke",
				"jwks_uri": "/.well-known/jwks.json",
			} {
				if common[name] != strings.TrimSuffix(issued, "/")+path {
					t.Errorf("MD-01: %s is %v", name, common[name])
				}
				if a := s.send("GET", base+path, ""); a.StatusCode == 404 {
					t.Errorf("MD-02: %s is not there", base+path)
				}
			}
			for name, want := range map[string]string{
				"grant_types_supported":                         "[client_credentials]",
				"token_endpoint_auth_methods_supported":         "[client_secret_basic client_secret_post]",
				"introspection_endpoint_auth_methods_supported": "[client_secret_basic client_secret_post Bearer]",
				"revocation_endpoint_auth_methods_supported":    "[client_secret_basic client_secret_post]",
				"subject_types_supported":                       "[public]", "id_token_signing_alg_values_supported": "[ES256]",
			} {
				if got := fmt.Sprint(openID[name]); got != want {
					t.Errorf("MD-02: %s is %s, want %s", name, got, want)
				}
			}
			hsts := s.send("GET", "/v1/me", "").Header.Get("Strict-Transport-Security")
			if want := u.Scheme == "https"; want != strings.Contains(hsts, "max-age=31536000") {
				t.Errorf("WB-05: Strict-Transport-Security %q", hsts)
			}
			s.call(s.Root, "GET", base+"/v1/me", "").is(t, 200, "")
		})
	}
}

// document fetches a public document under a foreign Host.
func (s *site) document(t *testing.T, path string) map[string]any {
	t.Helper()
	a := s.send("GET", path, "", "Host", "evil.test", "X-Forwarded-Host", "evil.test", "X-Forwarded-Proto", "gopher")
	var v map[string]any
	if err := json.Unmarshal([]byte(a.text), &v); err != nil || a.StatusCode != 200 || strings.Contains(a.text, "evil") {
		t.Fatalf("%s: %d %s", path, a.StatusCode, a.text)
	}
	if a.Header.Get("Cache-Control") != cached {
		t.Errorf("%s: Cache-Control %q", path, a.Header.Get("Cache-Control"))
	}
	return v
}

func TestJWKS_JK01(t *testing.T) {
	s := newSite(t)
	keys, _ := s.document(t, "/.well-known/jwks.json")["keys"].([]any)
	if len(keys) == 0 {
		t.Fatal("no keys")
	}
	seen := map[any]bool{}
	for _, k := range keys {
		key := k.(map[string]any)
		if got := slices.Sorted(maps.Keys(key)); !slices.Equal(got, []string{"alg", "crv", "kid", "kty", "use", "x", "y"}) {
			t.Errorf("members %v", got)
		}
		if key["use"] != "sig" || key["alg"] != "ES256" || seen[key["kid"]] {
			t.Errorf("key %v", key)
		}
		seen[key["kid"]] = true
	}
}

func TestMethods_WB03(t *testing.T) {
	s := newSite(t)
	for _, r := range []struct {
		path, allow string
	}{
		{"/v1/me", "GET, HEAD"},
		{"/v1/users/x", "DELETE, GET, HEAD, PATCH"},
		{"/v1/users/x:enable", "POST"},
		{"/v1/users", "GET, HEAD, POST"},
		{"/healthz", "GET, HEAD"},
		{"/docs", "GET, HEAD"},
		{"/.well-known/jwks.json", "GET, HEAD"},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get"} {
			if slices.Contains(strings.Split(r.allow, ", "), method) {
				continue
			}
			a := s.send(method, r.path, "", "Origin", "https://evil.test", "Access-Control-Request-Method", "POST", "X-HTTP-Method-Override", "GET")
			allow := strings.Split(a.Header.Get("Allow"), ", ")
			slices.Sort(allow)
			if a.StatusCode != 405 || strings.Join(allow, ", ") != r.allow {
				t.Errorf("%s %s: %d, Allow %q, want %q", method, r.path, a.StatusCode, allow, r.allow)
			}
		}
	}
	s.form("/v1/me", "", "X-HTTP-Method-Override", "GET").is(t, 405, "UNKNOWN_METHOD")
}

func TestPaths_Unknown(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{
		"/", "/v1", "/v1/", "/v1/users/", "/v1//users", "//v1/users", "/v1/users/../me", "/v1/./me", "/v1/users/%2e%2e", "/v1/users/a%2Fb",
		"/v1/users/a%5Cb", "/v1/me/", "/V1/me", "/v1/users/:enable", "/v1/users/x:nothing", "/v1/users:nothing", "/v1/me:", "/docs/", "/docs/../healthz",
		"/metrics", "/debug/pprof/", "/oauth2/authorize", "/.well-known/", "/.well-known/oauth-authorization-server/x", "/index.html",
	} {
		s.call(s.Root, "GET", path, "").is(t, 404, "NOT_FOUND")
	}
	s.call(s.Root, "GET", "/v1%2Fme", "").is(t, 404, "NOT_FOUND")
	s.call(s.Root, "GET", "/v1/m%65", "").is(t, 200, "")
	s.call(s.Root, "GET", "/v1/users/a%252Fb", "").is(t, 400, "INVALID_FIELDS")
}

func TestPublicPages(t *testing.T) {
	s := newSite(t)
	page := s.send("GET", "/docs", "")
	if page.StatusCode != 200 || page.Header.Get("Cache-Control") != cached || strings.Contains(page.text, "<script") {
		t.Errorf("docs: %d %v", page.StatusCode, page.Header)
	}
	protoregistry.GlobalFiles.RangeFilesByPackage("bizmetry.identity.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			for j := range f.Services().Get(i).Methods().Len() {
				m := f.Services().Get(i).Methods().Get(j)
				if id := fmt.Sprintf(`id="%s.%s"`, m.Parent().Name(), m.Name()); !strings.Contains(page.text, id) {
					t.Errorf("docs lack %s", id)
				}
			}
		}
		return true
	})
	routes, err := web.Routes()
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range routes {
		if !strings.Contains(page.text, "<b>"+rt.Method+"</b> "+rt.Path) {
			t.Errorf("docs lack %s %s", rt.Method, rt.Path)
		}
	}
	for _, text := range []string{"platform.users.write", "CreateUser adds a person", "anybody", "Login and contact address", "request only", "EMAIL_TAKEN"} {
		if !strings.Contains(page.text, text) {
			t.Errorf("docs lack %q", text)
		}
	}
	for _, anchor := range strings.Split(page.text, `href="#`)[1:] {
		anchor, _, _ = strings.Cut(anchor, `"`)
		if !strings.Contains(page.text, `id="`+anchor+`"`) {
			t.Errorf("docs link to #%s, which is not there", anchor)
		}
	}
	for path, kind := range map[string]string{"/docs.css": "text/css", "/openapi.yaml": "application/yaml", "/healthz": "text/plain", "/readyz": "text/plain"} {
		a := s.send("GET", path, "")
		if a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), kind) || len(a.text) == 0 {
			t.Errorf("%s: %d %v", path, a.StatusCode, a.Header)
		}
	}
}

func TestReadyz_WithoutDatabase(t *testing.T) {
	s := newSite(t)
	m := s.NewMachine(s.Root, "")
	if err := s.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if a := s.send("GET", "/readyz", ""); a.StatusCode != 503 || a.text != "not ready\n" {
		t.Errorf("readyz: %d %q", a.StatusCode, a.text)
	}
	if a := s.send("GET", "/healthz", ""); a.StatusCode != 200 {
		t.Errorf("healthz: %d", a.StatusCode)
	}
	for _, a := range []reply{
		s.form("/oauth2/token", grant, "Authorization", basic(m.GetId(), m.Secret)),
		s.call(s.Root, "GET", "/v1/me", ""),
	} {
		if a.StatusCode < 500 || strings.Contains(a.text, "sql") || strings.Contains(a.text, "database") {
			t.Errorf("%s: %d %s", a.Request.URL.Path, a.StatusCode, a.text)
		}
	}
}

// LG-02: what was sent in the wrong place is neither answered nor logged.
func TestCanaries_LG02(t *testing.T) {
	s := newSite(t)
	web.Add(s.handler, "/panic", func(http.ResponseWriter, *http.Request) { panic("canary-panic") })
	const c = "canary-"
	answers := []reply{
		s.call(c+"token", "GET", "/v1/me", ""),
		s.call(s.Root, "GET", "/v1/me?"+c+"name=1", ""),
		s.call(s.Root, "GET", "/v1/me?access_token="+c+"query", ""),
		s.call(s.Root, "GET", "/v1/users?pageSize="+c+"value", ""),
		s.call(s.Root, "GET", "/"+c+"path", ""),
		s.call(s.Root, "GET", "/v1/users/x:"+c+"action", ""),
		s.call(s.Root, "POST", "/v1/sessions", `{"`+c+`key":1}`),
		s.call(s.Root, "POST", "/v1/sessions", `{"password":`+c+`bare}`),
		s.call(s.Root, "POST", "/v1/sessions", `{"password":{"a":"`+c+`typed"}}`),
		s.call(s.Root, "POST", "/v1/sessions", `{"email":"x@x.test","password":"`+c+`password"}`),
		s.call(s.Root, "POST", "/v1/serviceAccounts", `{"tokenLifetime":"`+c+`duration"}`),
		s.call(s.Root, "PATCH", "/v1/users/x", `{"password":7,"`+c+`":1}`),
		s.form("/oauth2/token", grant+"&client_id="+c+"id&client_secret="+c+"secret"),
		s.form("/oauth2/token", grant+"&scope=%zz"+c+"form"),
		s.form("/oauth2/token", "grant_type="+c+"grant"),
		s.form("/oauth2/token", grant, "Authorization", "Basic "+c+"basic"),
		s.form("/oauth2/token", grant, "Authorization", basic(c+"a", c+"b")),
		s.form("/oauth2/introspect", "token="+c+"subject", "Authorization", "Bearer "+c+"bearer"),
		s.form("/oauth2/revoke", "token="+c+"ended&token_type_hint="+c+"hint", "Authorization", "Bearer "+c+"bearer"),
		s.send("GET", "/panic", ""),
	}
	for _, a := range answers {
		if a.StatusCode < 400 || strings.Contains(a.text, "canary") || strings.Contains(fmt.Sprint(a.Header), "canary") {
			t.Errorf("%s %s: %d %s", a.Request.Method, a.Request.URL, a.StatusCode, a.text)
		}
	}
	answers[len(answers)-1].is(t, 500, "INTERNAL")
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "canary") {
			t.Errorf("logged %s", line)
		}
	}
}

// WB-04: requests that two parsers could read differently.
func TestSmuggling_WB04(t *testing.T) {
	s := newSite(t)
	address := strings.TrimPrefix(s.url, "http://")
	for name, head := range map[string]string{
		"two lengths":       "POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"a signed length":   "POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}",
		"unknown encoding":  "POST /v1/sessions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
		"space before ':'":  "GET /v1/me HTTP/1.1\r\nHost: a\r\nAuthorization : x\r\n\r\n",
		"a folded header":   "GET /v1/me HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n",
		"two hosts":         "GET /v1/me HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"a control in path": "GET /v1/me\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		var dial net.Dialer
		conn, err := dial.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, head); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = resp.Body.Close()
		_ = conn.Close()
		if resp.StatusCode != 400 && resp.StatusCode != 501 || !resp.Close {
			t.Errorf("%s: %d, closes: %v", name, resp.StatusCode, resp.Close)
		}
	}
}

func TestNew_Refuses(t *testing.T) {
	if _, err := web.New(web.Config{}); err == nil {
		t.Error("no error without a service")
	}
}

// A peer that is no address of TCP, and a request target without a path, are answered all the same.
func TestOddRequests(t *testing.T) {
	s := newSite(t)
	r := httptest.NewRequestWithContext(t.Context(), "OPTIONS", "/", nil)
	r.URL, r.RequestURI, r.RemoteAddr = &url.URL{Path: "*"}, "*", "@"
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if w.Code != 404 {
		t.Errorf("OPTIONS *: %d", w.Code)
	}
	r = httptest.NewRequestWithContext(t.Context(), "GET", "/v1/me", nil)
	r.RemoteAddr = "@"
	w = httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	if w.Code != 401 {
		t.Errorf("from a socket: %d %s", w.Code, w.Body)
	}
	limits := web.Server(s.handler)
	if limits.ReadHeaderTimeout == 0 || limits.ReadTimeout == 0 || limits.WriteTimeout == 0 || limits.IdleTimeout == 0 || limits.MaxHeaderBytes != door.MaxTransportHeaders {
		t.Errorf("GR-04: %+v", limits)
	}
}
