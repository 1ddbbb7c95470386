package web_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/web"
)

func TestRoutes_EachReachesItsDoor(t *testing.T) {
	s := newSite(t)
	routes, err := web.Routes()
	if err != nil || len(routes) < 30 {
		t.Fatalf("%d routes, %v", len(routes), err)
	}
	id := "00000000-0000-7000-8000-00000000ffff"
	for _, rt := range routes {
		path := strings.NewReplacer("{user.id}", id, "{service_account_id}", id, "{id}", id).Replace(rt.Path)
		body := ""
		if rt.Body != "" {
			body = "{}"
		}
		a := reply{}
		if strings.HasSuffix(path, ":import") { // its body is the file
			a = s.send(rt.Method, path, "email\n", "Content-Type", "text/csv")
		} else {
			a = s.call("", rt.Method, path, body)
		}
		if a.StatusCode != http.StatusUnauthorized && a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s %s: %d %s", rt.Method, path, a.StatusCode, a.text)
		}
		dot := strings.LastIndexByte(rt.RPC, '.')
		want := "/" + rt.RPC[:dot] + "/" + rt.RPC[dot+1:]
		line := s.log.last()
		if line["method"] != want || line["request_id"] != a.Header.Get("Request-Id") {
			t.Errorf("%s %s: logged %v (%s), answered %s, want %s", rt.Method, path, line["method"], line["request_id"], a.Header.Get("Request-Id"), want)
		}
	}
}

func TestREST(t *testing.T) {
	s := newSite(t)
	create := `{"email":"ann@people.test","firstName":"Ann","last_name":"Other","roleIds":["` + servicetest.MonitoringUser + `"]}`
	first := s.call(s.Root, "POST", "/v1/users", create, "Idempotency-Key", "key-1")
	id, _ := first.get("id").(string)
	if first.StatusCode != 200 || id == "" || first.get("enabled") != true || first.get("confirmed") != false || first.get("phone") != nil {
		t.Fatalf("created %d %s", first.StatusCode, first.text)
	}
	if again := s.call(s.Root, "POST", "/v1/users", create, "Idempotency-Key", "key-1"); again.get("id") != id {
		t.Errorf("a repeat made %s", again.text)
	}
	s.call(s.Root, "POST", "/v1/users?requestId=key-2", create, "Idempotency-Key", "key-1").is(t, 400, "INVALID_FIELDS")
	s.call(s.Root, "POST", "/v1/users", create, "Idempotency-Key", "ключ").is(t, 400, "MALFORMED_REQUEST")

	for _, step := range []struct{ body, first, last string }{
		{`{"firstName":"Anna"}`, "Anna", "Other"},
		{`{"last_name":"Else"}`, "Anna", "Else"},
		{` { } `, "Anna", "Else"},
		{``, "Anna", "Else"},
		{`{"firstName":"Bea","lastName":"Both","roleIds":["` + servicetest.MonitoringUser + `"]}`, "Bea", "Both"},
	} {
		a := s.call(s.Root, "PATCH", "/v1/users/"+id, step.body)
		if a.StatusCode != 200 || a.get("firstName") != step.first || a.get("lastName") != step.last {
			t.Errorf("PATCH %s: %d %s", step.body, a.StatusCode, a.text)
		}
	}
	s.call(s.Root, "PATCH", "/v1/users/"+id+"?updateMask=firstName", `{"firstName":"Cleo","lastName":"Un"}`).is(t, 400, "MALFORMED_REQUEST")

	list := s.call(s.Root, "GET", "/v1/users?pageSize=1&filter.email=ann@&with_summary=true&orderBy=email", "")
	if list.StatusCode != 200 || list.get("totalSize") != 1.0 {
		t.Errorf("list: %d %s", list.StatusCode, list.text)
	}
	s.call(s.Root, "POST", "/v1/users/"+id+":disable", "").is(t, 200, "")
	s.call(s.Root, "POST", "/v1/users/"+id+":enable", "{}").is(t, 200, "")
	s.call(s.Root, "DELETE", "/v1/users/"+id, "").is(t, 200, "")
	if gone := s.call(s.Root, "GET", "/v1/users/"+id, ""); gone.StatusCode != 200 || gone.get("state") != "DELETED" {
		t.Errorf("deleted: %d %s", gone.StatusCode, gone.text)
	}
	s.call(s.Root, "PATCH", "/v1/users/"+id, `{"firstName":"Bea"}`).is(t, 404, "NOT_FOUND")
	if me := s.call(s.Root, "GET", "/v1/me", ""); me.get("user", "email") != servicetest.RootEmail {
		t.Errorf("me: %s", me.text)
	}
}

func TestREST_IN05(t *testing.T) {
	s := newSite(t)
	rows := []struct{ name, method, path, body, reason string }{
		{"NUL in a field", "POST", "/v1/users", `{"email":"a\u0000b@x.test"}`, "INVALID_FIELDS"},
		{"NUL in the body", "POST", "/v1/users", "{\"email\":\"a\x00b\"}", "MALFORMED_REQUEST"},
		{"NUL in the query", "GET", "/v1/users?filter.name=a%00b", "", "MALFORMED_REQUEST"},
		{"NUL in the path", "GET", "/v1/users/a%00b", "", "MALFORMED_REQUEST"},
		{"invalid UTF-8 in a field", "POST", "/v1/users", "{\"email\":\"a\xffb\"}", "MALFORMED_REQUEST"},
		{"half a surrogate", "POST", "/v1/users", `{"email":"\ud800"}`, "MALFORMED_REQUEST"},
		{"invalid UTF-8 in the query", "GET", "/v1/users?filter.name=a%ffb", "", "MALFORMED_REQUEST"},
		{"invalid UTF-8 in the path", "GET", "/v1/users/a%ffb", "", "MALFORMED_REQUEST"},
		{"a key twice", "POST", "/v1/users", `{"email":"a@x.test","email":"b@x.test"}`, "MALFORMED_REQUEST"},
		{"a key twice, in both spellings", "POST", "/v1/users", `{"firstName":"A","first_name":"B"}`, "MALFORMED_REQUEST"},
		{"a key twice, escaped", "POST", "/v1/users", `{"email":"a@x.test","\u0065mail":"b@x.test"}`, "MALFORMED_REQUEST"},
		{"a nested key twice", "POST", "/v1/organizations", `{"organization":{"displayName":"A","displayName":"B"}}`, "MALFORMED_REQUEST"},
		{"a key twice in an update", "PATCH", "/v1/users/x", `{"firstName":"A","firstName":"B"}`, "MALFORMED_REQUEST"},
		{"an unknown key", "POST", "/v1/users", `{"email":"a@x.test","admin":true}`, "MALFORMED_REQUEST"},
		{"an unknown nested key", "POST", "/v1/organizations", `{"organization":{"admin":true}}`, "MALFORMED_REQUEST"},
		{"an unknown key in an update", "PATCH", "/v1/users/x", `{"admin":true}`, "MALFORMED_REQUEST"},
		{"a key in other case", "POST", "/v1/users", `{"Email":"a@x.test"}`, "MALFORMED_REQUEST"},
		{"two values", "POST", "/v1/users", `{"email":"a@x.test"}{"email":"b@x.test"}`, "MALFORMED_REQUEST"},
		{"no object", "POST", "/v1/users", `[]`, "MALFORMED_REQUEST"},
		{"null", "POST", "/v1/users", `null`, "MALFORMED_REQUEST"},
		{"no JSON", "POST", "/v1/users", `{"email":`, "MALFORMED_REQUEST"},
		{"a byte order mark", "POST", "/v1/users", "\xef\xbb\xbf{}", "INVALID_FIELDS"},
		{"a byte order mark and a blank", "POST", "/v1/users", "\xef\xbb\xbf {}", "INVALID_FIELDS"},
		{"a byte order mark inside", "POST", "/v1/users", "{\xef\xbb\xbf}", "MALFORMED_REQUEST"},
		{"two byte order marks", "POST", "/v1/users", "\xef\xbb\xbf\xef\xbb\xbf{}", "MALFORMED_REQUEST"},
		{"a byte order mark of UTF-16", "POST", "/v1/users", "\xff\xfe{}", "MALFORMED_REQUEST"},
		{"a wrong type", "POST", "/v1/users", `{"email":7}`, "MALFORMED_REQUEST"},
		{"a body where none is taken", "GET", "/v1/me", `{}`, "MALFORMED_REQUEST"},
		{"an unknown parameter", "GET", "/v1/users?filter.nmae=a", "", "MALFORMED_REQUEST"},
		{"a token in the query (OA-08)", "GET", "/v1/me?access_token=x", "", "MALFORMED_REQUEST"},
		{"a parameter that is in the path", "GET", "/v1/users/x?id=y", "", "MALFORMED_REQUEST"},
		{"a parameter that is in the body", "POST", "/v1/users?user.email=a@x.test", `{}`, "MALFORMED_REQUEST"},
		{"a parameter beside a whole body", "POST", "/v1/users/x:enable?etag=1", `{}`, "MALFORMED_REQUEST"},
		{"a message as parameter", "GET", "/v1/users?filter=x", "", "MALFORMED_REQUEST"},
		{"a parameter with brackets", "GET", "/v1/users?filter[name]=x", "", "MALFORMED_REQUEST"},
		{"a parameter twice", "GET", "/v1/users?pageSize=1&pageSize=2", "", "MALFORMED_REQUEST"},
		{"a parameter in both spellings", "GET", "/v1/users?pageSize=1&page_size=2", "", "MALFORMED_REQUEST"},
		{"a number that is none", "GET", "/v1/users?pageSize=many", "", "MALFORMED_REQUEST"},
		{"a bad escape", "GET", "/v1/users?pageSize=%zz", "", "MALFORMED_REQUEST"},
		{"a semicolon", "GET", "/v1/users?pageSize=1;skip=2", "", "MALFORMED_REQUEST"},
		{"no name", "GET", "/v1/users?=1", "", "MALFORMED_REQUEST"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) { s.call(s.Root, r.method, r.path, r.body).is(t, 400, r.reason) })
	}
}

func TestREST_SaysWhere(t *testing.T) {
	s := newSite(t)
	a := s.call(s.Root, "POST", "/v1/users", "{\"email\":\"a@x.test\",\n \"secret-of-mine\":1}")
	var body struct {
		Message string
		Details []struct{ Metadata map[string]string }
	}
	if err := json.Unmarshal([]byte(a.text), &body); err != nil || body.Details[0].Metadata["position"] != "2:2" {
		t.Errorf("%s, %v", a.text, err)
	}
	if line := s.log.last(); line["route"] != "/v1/users" || line["status"] != 400.0 || line["source"] != "127.0.0.1" {
		t.Errorf("logged %v", line)
	}
	if strings.Contains(a.text, "secret-of-mine") {
		t.Errorf("repeats the body: %s", a.text)
	}
}

func TestREST_ContentType(t *testing.T) {
	s := newSite(t)
	for kind, want := range map[string]int{
		"application/json": 401, "application/json; charset=UTF-8": 401, "Application/JSON": 401,
		"application/json; charset=utf8": 401, "application/json;charset=utf-8": 401, `application/json; charset="utf-8"`: 401, `application/json; charset="UTF8"`: 401,
		"application/json; charset=latin1": 415, `application/json; charset=""`: 415, "application/json; charset=utf-8; charset=utf-16": 415,
		"": 415, "text/json": 415, "text/plain": 415, "application/x-www-form-urlencoded": 415, "application/json; charset=utf-16": 415,
		"application/json;;": 415, "multipart/form-data; boundary=x": 415,
	} {
		headers := []string{"Content-Type", kind}
		if kind == "" {
			headers = nil
		}
		if a := s.send("POST", "/v1/sessions", fmt.Sprintf(`{"email":"%x@x.test","password":"wrong"}`, kind), headers...); a.StatusCode != want {
			t.Errorf("%q: %d, want %d", kind, a.StatusCode, want)
		}
	}
	s.send("POST", "/v1/sessions", "{}", "Content-Type", "application/json", "Content-Type", "text/plain").is(t, 415, "MALFORMED_REQUEST")
}

func TestREST_GR04(t *testing.T) {
	s := newSite(t)
	pad := func(n int) string { return `{"email":"` + strings.Repeat("a", n-len(`{"email":""}`)) + `"}` }
	s.call(s.Root, "POST", "/v1/users", pad(1<<20)).is(t, 400, "INVALID_FIELDS")
	s.call(s.Root, "POST", "/v1/users", pad(1<<20+1)).is(t, 413, "TOO_LARGE")
	s.call(s.Root, "GET", "/v1/me", strings.Repeat("a", 1<<20+1)).is(t, 413, "TOO_LARGE")
	s.send("POST", "/v1/sessions", pad(16<<10+1), "Content-Type", "application/json").is(t, 413, "TOO_LARGE")
	s.send("POST", "/v1/users", strings.Repeat("a", 1<<20+1)).is(t, 401, "TOKEN_INVALID")
	s.send("GET", "/v1/me", "", "X-Padding", strings.Repeat("a", 17<<10)).is(t, 431, "TOO_LARGE")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(bytes.Repeat([]byte{' '}, 64<<20))
	_ = z.Close()
	s.call(s.Root, "POST", "/v1/users", packed.String(), "Content-Encoding", "gzip").is(t, 415, "MALFORMED_REQUEST")
	if a := s.send("GET", "/v1/me", "", "X-Padding", strings.Repeat("a", 64<<10)); a.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("64 KiB of headers: %d", a.StatusCode)
	}
	s.form("/oauth2/token", "a="+strings.Repeat("a", 16<<10)).is(t, 413, "invalid_request")
}

// RG-46: what is large or deep is refused, never our fault.
func TestREST_RG46(t *testing.T) {
	s := newSite(t)
	for name, body := range map[string]string{
		"nested arrays":   strings.Repeat("[", 1e5),
		"nested objects":  strings.Repeat(`{"a":`, 1e5) + "1" + strings.Repeat("}", 1e5),
		"nested in depth": `{"user":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}",
		"many items":      `{"roleIds":[` + strings.Repeat(`"",`, 1e5) + `""]}`,
		"many keys":       "{" + strings.Repeat(`"email":"a",`, 8e4) + `"email":"a"}`,
		"large number":    `{"email":` + strings.Repeat("9", 1e5) + "}",
	} {
		if a := s.call(s.Root, "POST", "/v1/users", body); a.StatusCode != 400 {
			t.Errorf("%s: %d %.200s", name, a.StatusCode, a.text)
		}
	}
}

func TestREST_RG42(t *testing.T) {
	s := newSite(t)
	token := "Bearer " + s.Root
	for _, headers := range [][]string{
		{"Grpc-Metadata-Authorization", token},
		{"Grpcgateway-Authorization", token},
		{"Grpc-Metadata-Grpcgateway-Authorization", token},
		{"X-Authorization", token},
		{"X_Authorization", token},
		{"Proxy-Authorization", token},
		{"X-User-Id", "root", "Grpc-Metadata-X-User-Id", "root"},
		{"Cookie", "authorization=" + s.Root},
	} {
		a := s.send("GET", "/v1/me", "", headers...)
		a.is(t, 401, "TOKEN_INVALID")
		if got := a.Header.Get("WWW-Authenticate"); got != "Bearer" {
			t.Errorf("%v: challenge %q", headers, got)
		}
	}
	for _, headers := range [][]string{
		{"Grpc-Timeout", "1n"},
		{"Grpc-Timeout", "nonsense"},
		{"Grpc-Metadata-X-Bin", "%%%"},
		{"Grpc-Metadata-Idempotency-Key", strings.Repeat("x", 500)},
		{"Te", "trailers"},
		{"Accept", "text/html"},
		{"X-Http-Method-Override", "DELETE"},
		{"X-Forwarded-For", "203.0.113.7", "X-Forwarded-Host", "evil.test", "Forwarded", "for=203.0.113.7", "X-Real-Ip", "203.0.113.7"},
		{"X_forwarded_for", "203.0.113.7", "Grpc-Metadata-X-Forwarded-For", "203.0.113.7"},
		{"Connection", "authorization"},
		{"Host", "evil.test"},
	} {
		a := s.send("GET", "/v1/me", "", append(headers, "Authorization", token)...)
		a.is(t, 200, "")
		if line := s.log.last(); line["source"] != "127.0.0.1" {
			t.Errorf("%v: source %v", headers, line["source"])
		}
		if len(a.Trailer) > 0 || a.Header.Get("Trailer") != "" {
			t.Errorf("%v: trailers %v", headers, a.Header)
		}
	}
	s.send("GET", "/v1/me", "", "Authorization", token, "Authorization", token).is(t, 400, "MALFORMED_REQUEST")
	s.send("GET", "/v1/me", "", "Authorization", token, "Authorization", "Basic eDp5").is(t, 400, "MALFORMED_REQUEST")
}

func TestREST_TrustedProxy(t *testing.T) {
	s := newSite(t, trusting("127.0.0.0/8"))
	for _, r := range []struct{ forwarded, want string }{
		{"203.0.113.7", "203.0.113.7"},
		{"198.51.100.1, 203.0.113.7", "203.0.113.7"},
		{"", "127.0.0.1"},
		{"nonsense", "unknown"},
		{"203.0.113.7:4711", "203.0.113.7"},
		{"[2001:db8::1]:443", "2001:db8::1"},
		{"203.0.113.7,", "203.0.113.7"},
		{"::ffff:10.0.0.1", "10.0.0.1"},
	} {
		s.call(s.Root, "GET", "/v1/me", "", "X-Forwarded-For", r.forwarded).is(t, 200, "")
		if line := s.log.last(); line["source"] != r.want {
			t.Errorf("%q: source %v, want %s", r.forwarded, line["source"], r.want)
		}
		_, err := s.Users.GetUser(metadata.AppendToOutgoingContext(s.As(s.Root), "x-forwarded-for", r.forwarded), &identityv1.GetUserRequest{Id: "-"})
		if line := s.log.last(); status.Code(err) != codes.InvalidArgument || line["source"] != r.want {
			t.Errorf("gRPC %q: %v, source %v, want %s", r.forwarded, err, line["source"], r.want)
		}
		s.form("/oauth2/token", "grant_type=client_credentials", "X-Forwarded-For", r.forwarded)
		if line := s.log.last(); line["source"] != r.want {
			t.Errorf("OAuth %q: source %v, want %s", r.forwarded, line["source"], r.want)
		}
	}
}

func TestREST_OA08(t *testing.T) {
	s := newSite(t)
	person := s.NewPerson("", servicetest.MonitoringUser)
	for _, r := range []struct {
		name, authorization, path string
		status                    int
		challenge                 string
	}{
		{"no credentials", "", "/v1/me", 401, "Bearer"},
		{"another scheme", "Basic eDp5", "/v1/me", 401, "Bearer"},
		{"no token", "Bearer ", "/v1/me", 401, `Bearer error="invalid_token"`},
		{"a bad token", "Bearer nonsense", "/v1/me", 401, `Bearer error="invalid_token"`},
		{"a token that lacks", "Bearer " + person.Token, "/v1/users", 403, `Bearer error="insufficient_scope", scope="platform.users.read"`},
	} {
		t.Run(r.name, func(t *testing.T) {
			var headers []string
			if r.authorization != "" {
				headers = []string{"Authorization", r.authorization}
			}
			a := s.send("GET", r.path, "", headers...)
			if a.StatusCode != r.status || a.Header.Get("WWW-Authenticate") != r.challenge {
				t.Errorf("%d %q, want %d %q", a.StatusCode, a.Header.Get("WWW-Authenticate"), r.status, r.challenge)
			}
		})
	}
	s.form("/v1/sessions?access_token="+s.Root, "").is(t, 400, "MALFORMED_REQUEST")
	s.form("/v1/tokens:introspect", "access_token="+s.Root).is(t, 401, "TOKEN_INVALID")
	s.send("POST", "/v1/tokens:introspect", "access_token="+s.Root, "Authorization", "Bearer "+s.Root,
		"Content-Type", "application/x-www-form-urlencoded").is(t, 415, "MALFORMED_REQUEST")
}

// A client that sends all of a body before it reads finds the answer to one that is too large.
func TestREST_TooLargeIsAnswered(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"/v1/users", "/v1/sessions", "/oauth2/token"} {
		for _, size := range []int{1<<20 + 1, 8 << 20, 40 << 20} {
			kind := "application/json"
			if path == "/oauth2/token" {
				kind = "application/x-www-form-urlencoded"
			}
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, s.Root, kind, size)
			if err == nil {
				_, err = conn.Write(bytes.Repeat([]byte("a"), size))
			}
			if err != nil {
				t.Errorf("%s, %d bytes: %v", path, size, err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("%s, %d bytes: %v", path, size, err)
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			_ = conn.Close()
			if err != nil || resp.StatusCode != 413 || !strings.Contains(string(text), "too large") {
				t.Errorf("%s, %d bytes: %d %s, %v", path, size, resp.StatusCode, text, err)
			}
		}
	}
}
