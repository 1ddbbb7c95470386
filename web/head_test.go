package web_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/bizmetry/identity/web"
)

// HEAD is answered wherever GET is: the same status and headers, without a body.
func TestHead(t *testing.T) {
	s := newSite(t)
	paths := []string{
		"/healthz", "/readyz", "/docs", "/docs.css", "/page.css", "/openapi.yaml", "/activate?token=x",
		"/.well-known/jwks.json", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server",
		"/v1/users?pageSize=1000", "/v1/users:export?format=csv&filter.name=root", "/v1/users?pageSize=x", "/nothing", "/oauth2/token",
	}
	routes, err := web.Routes()
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range routes {
		if rt.Method == http.MethodGet {
			paths = append(paths, rt.Path)
		}
	}
	for _, path := range paths {
		for _, token := range []string{s.Root, ""} {
			get, head := s.call(token, "GET", path, ""), s.call(token, "HEAD", path, "")
			if head.text != "" || get.StatusCode != head.StatusCode {
				t.Errorf("%s: %d, HEAD %d %q", path, get.StatusCode, head.StatusCode, head.text)
			}
			for _, a := range []reply{get, head} { // differ from call to call
				for _, name := range []string{"Request-Id", "Date"} {
					a.Header.Del(name)
				}
			}
			if !maps.EqualFunc(get.Header, head.Header, slices.Equal[[]string]) {
				t.Errorf("%s: %v, HEAD %v", path, get.Header, head.Header)
			}
		}
	}
}
