package web_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/web"
)

// filePort serves a world with the limits of a public port.
func filePort(t *testing.T, w *servicetest.World) string {
	t.Helper()
	handler, err := web.New(web.Config{Service: w.Service})
	if err != nil {
		t.Fatal(err)
	}
	server := web.Server(handler)
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server.WriteTimeout, server.ReadTimeout = 300*time.Millisecond, 300*time.Millisecond // a long file is cut at once, if they hold for it
	go func() { _ = server.Serve(l) }()                                                  // ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + l.Addr().String()
}

func fileRequest(t *testing.T, method, url, token, contentType string, body io.Reader) (got fetched) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fetched{resp.StatusCode, resp.Header, resp.Trailer, string(text)}
}

// fetched is an answer that was read to its end.
type fetched struct {
	status          int
	header, trailer http.Header
	body            string
}

const fileHeader = "email,first_name,last_name,roles\n"

func TestFiles(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		base := filePort(t, w)
		a := w.NewOrg()
		resp := fileRequest(t, "POST", base+"/v1/users:import", a.Admin.Token, "text/csv; charset=utf-8",
			strings.NewReader(fileHeader+"ann@import.test,Ann,Ng,Monitoring User\nx,Ann,Ng,Agent\n"))
		lines := strings.Split(resp.body, "\n")
		if resp.status != 200 || resp.header.Get("Content-Type") != "application/x-ndjson" || resp.header.Get("Request-Id") == "" || len(lines) != 4 {
			t.Fatalf("%d %v %q", resp.status, resp.header, lines)
		}
		for i, want := range []string{
			`{"row":"1", "email":"ann@import.test", "outcome":"CREATED"`,
			`{"row":"2", "email":"x", "outcome":"REFUSED", "id":"", "reason":"INVALID_FIELDS", "violations":["email: email"], "activationSent":false, "line":`,
			`{"summary":{"rows":"2", "created":"1", "existing":"0", "refused":"1"}}`,
		} {
			if got := strings.ReplaceAll(lines[i], " ", ""); !strings.HasPrefix(got, strings.ReplaceAll(want, " ", "")) || !json.Valid([]byte(lines[i])) {
				t.Errorf("line %d is %s", i, lines[i])
			}
		}
		if resp.trailer.Get("Identity-Revision") == "" {
			t.Errorf("trailer %v", resp.trailer)
		}
		for query, want := range map[string][2]string{
			"":                                    {"text/csv; charset=utf-8", "id,email,"},
			"?format=csv&filter.email=ann":        {"text/csv; charset=utf-8", "id,email,"},
			"?format=CSV":                         {"text/csv; charset=utf-8", "id,email,"},
			"?bom=true":                           {"text/csv; charset=utf-8", "\ufeffid,email,"},
			"?format=json_lines&filter.name=ann":  {"application/x-ndjson", `{"id":`},
			"?format=JSON_LINES&filter.name=none": {"application/x-ndjson", ""},
		} {
			resp := fileRequest(t, "GET", base+"/v1/users:export"+query, a.Admin.Token, "", nil)
			text := resp.body
			if resp.status != 200 || resp.header.Get("Content-Type") != want[0] || !strings.HasPrefix(text, want[1]) ||
				!strings.HasPrefix(resp.header.Get("Content-Disposition"), "attachment; filename=") || resp.header.Get("Request-Id") == "" {
				t.Errorf("%s: %d %v %s", query, resp.status, resp.header, text)
			}
			if strings.Contains(query, "filter") && strings.Contains(text, "admin") {
				t.Errorf("%s: %s", query, text)
			}
		}
		resp = fileRequest(t, "POST", base+"/v1/users:import?validateOnly=true&organizationId="+a.GetId(), w.Root, "application/x-ndjson",
			strings.NewReader(`{"email":"bob@import.test","first_name":"Bob","last_name":"Ng","roles":["Agent"]}`))
		if text := resp.body; resp.status != 200 || !strings.Contains(text, `CREATED`) {
			t.Errorf("%d %s", resp.status, text)
		}
		if all := fileRequest(t, "GET", base+"/v1/users:export", a.Admin.Token, "", nil).body; strings.Contains(all, "bob") {
			t.Error("a dry run left somebody")
		}
	})
}

// What goes wrong before the first byte is the usual Status.
func TestFiles_Refused(t *testing.T) {
	w := servicetest.SQLite(t)
	base := filePort(t, w)
	poor := w.NewPerson("", servicetest.MonitoringUser).Token
	long := fileHeader + strings.Repeat("x", 1<<20)
	for _, row := range []struct {
		name, method, path, token, contentType, body string
		status                                       int
		reason                                       string
	}{
		{"no token", "GET", "/v1/users:export", "", "", "", 401, "TOKEN_INVALID"},
		{"no permission", "GET", "/v1/users:export", poor, "", "", 403, "PERMISSION_DENIED"},
		{"a foreign organization", "GET", "/v1/users:export?organizationId=01890000-0000-7000-8000-000000000000", w.Root, "", "", 404, "NOT_FOUND"},
		{"an unknown parameter", "GET", "/v1/users:export?colour=red", w.Root, "", "", 400, "MALFORMED_REQUEST"},
		{"an unknown format", "GET", "/v1/users:export?format=xlsx", w.Root, "", "", 400, "MALFORMED_REQUEST"},
		{"a mark of JSON lines", "GET", "/v1/users:export?format=json_lines&bom=true", w.Root, "", "", 400, "INVALID_FIELDS"},
		{"a body", "GET", "/v1/users:export", w.Root, "text/csv", "x", 400, "MALFORMED_REQUEST"},
		{"no token, import", "POST", "/v1/users:import", "", "text/csv", fileHeader, 401, "TOKEN_INVALID"},
		{"no permission, import", "POST", "/v1/users:import", poor, "text/csv", fileHeader, 403, "PERMISSION_DENIED"},
		{"no permission, a long body", "POST", "/v1/users:import", poor, "text/csv", strings.Repeat(long, 8), 403, "PERMISSION_DENIED"},
		{"no type", "POST", "/v1/users:import", w.Root, "", fileHeader, 415, "MALFORMED_REQUEST"},
		{"JSON", "POST", "/v1/users:import", w.Root, "application/json", "{}", 415, "MALFORMED_REQUEST"},
		{"another charset", "POST", "/v1/users:import", w.Root, "text/csv; charset=latin1", fileHeader, 415, "MALFORMED_REQUEST"},
		{"another format", "POST", "/v1/users:import?format=JSON_LINES", w.Root, "text/csv", fileHeader, 400, "MALFORMED_REQUEST"},
		{"the file as a parameter", "POST", "/v1/users:import?data=x", w.Root, "text/csv", fileHeader, 400, "MALFORMED_REQUEST"},
		{"a bad organization", "POST", "/v1/users:import?organizationId=x", w.Root, "text/csv", fileHeader, 400, "INVALID_FIELDS"},
		{"an unknown column", "POST", "/v1/users:import", w.Root, "text/csv", "email,colour\n", 400, "MALFORMED_REQUEST"},
		{"nothing", "POST", "/v1/users:import", w.Root, "text/csv", "", 400, "MALFORMED_REQUEST"},
		{"a line of 1 MiB", "POST", "/v1/users:import", w.Root, "text/csv", long, 400, "MALFORMED_REQUEST"},
		{"another method", "PUT", "/v1/users:import", w.Root, "text/csv", fileHeader, 405, "UNKNOWN_METHOD"},
	} {
		t.Run(row.name, func(t *testing.T) {
			resp := fileRequest(t, row.method, base+row.path, row.token, row.contentType, strings.NewReader(row.body))
			text := resp.body
			if resp.status != row.status || !strings.Contains(text, `"`+row.reason+`"`) || resp.header.Get("Content-Disposition") != "" {
				t.Errorf("%d %s", resp.status, text)
			}
			if row.status == 401 && resp.header.Get("Www-Authenticate") == "" {
				t.Error("no challenge")
			}
		})
	}
}

// After the first byte an error is the last line. The statuses before it hold.
func TestFiles_ErrorOnTheWay(t *testing.T) {
	w := servicetest.SQLite(t)
	base := filePort(t, w)
	var file strings.Builder
	file.WriteString(fileHeader)
	for i := range 1000 {
		fmt.Fprintf(&file, "way%d@import.test,Ann,Ng,Agent\n", i)
	}
	resp := fileRequest(t, "POST", base+"/v1/users:import", w.Root, "text/csv", strings.NewReader(file.String()+strings.Repeat("x", 1<<20)))
	lines := strings.Split(strings.TrimSpace(resp.body), "\n")
	if last := lines[len(lines)-1]; resp.status != 200 || len(lines) != 1001 || !strings.HasPrefix(last, `{"error":`) || !strings.Contains(last, "MALFORMED_REQUEST") {
		t.Errorf("%d, %d lines, the last one %s", resp.status, len(lines), last)
	}

	// So is a quote that is not closed, with the rows that it takes along.
	rows := strings.SplitN(file.String(), "\n", 3)
	resp = fileRequest(t, "POST", base+"/v1/users:import", w.Root, "text/csv", strings.NewReader(rows[0]+"\n"+rows[1]+"\nq1@q.example,\"A,B,Agent\n"+rows[2]))
	lines = strings.Split(strings.TrimSpace(resp.body), "\n")
	if last := lines[len(lines)-1]; len(lines) != 2 || !strings.Contains(lines[0], `"EXISTS"`) ||
		!strings.Contains(last, `"a quote opened in line 3 is not closed"`) || !strings.Contains(strings.ReplaceAll(last, " ", ""), `"unread":"1000"`) {
		t.Errorf("%q", lines)
	}
}

// A body slower than the port's deadlines goes on as long as something comes,
// and its statuses come meanwhile. One that breaks off is not taken for whole.
func TestFiles_SlowAndBroken(t *testing.T) {
	w := servicetest.SQLite(t)
	base := filePort(t, w)
	rows := func(from, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%s%d@import.test,Ann,Ng,Agent\n", strings.Repeat("s", 50), from+i)
		}
		return b.String()
	}
	read, write := io.Pipe()
	first := make(chan struct{})
	go func() {
		_, _ = io.WriteString(write, fileHeader+rows(0, 1100))
		<-first
		time.Sleep(time.Second) // more than three times the deadlines
		_, _ = io.WriteString(write, rows(1100, 900))
		_ = write.Close()
	}()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/v1/users:import", read)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Authorization": {"Bearer " + w.Root}, "Content-Type": {"text/csv"}}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	n := 0
	for lines.Scan() {
		if n++; n == 1 {
			close(first)
		}
	}
	if n != 2001 || lines.Err() != nil {
		t.Errorf("%d lines, %v", n, lines.Err())
	}

	read, write = io.Pipe()
	broken := errors.New("broken")
	go func() {
		_, _ = io.WriteString(write, fileHeader+rows(5000, 10))
		_ = write.CloseWithError(broken)
	}()
	r = r.Clone(t.Context())
	r.Body = read
	if resp, err := http.DefaultClient.Do(r); err == nil {
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if bytes.Contains(text, []byte("summary")) {
			t.Errorf("half a file is taken for whole: %s", text)
		}
	}
}

// A refusal is sent however late it is, and a file may come a row at a time.
func TestFiles_Late(t *testing.T) {
	w := servicetest.SQLite(t)
	base := filePort(t, w)
	for name, row := range map[string]struct {
		pieces []string
		status int
		want   string
	}{
		"a wrong header": {[]string{"em", "ail,col", "our\n"}, 400, "MALFORMED_REQUEST"},
		"a long line":    {[]string{fileHeader, "x", strings.Repeat("x", 1<<20)}, 400, "MALFORMED_REQUEST"},
		"nothing":        {[]string{"", "", "\n"}, 400, "MALFORMED_REQUEST"},
		"rows":           {[]string{fileHeader, "late1@import.test,Ann,Ng,Agent\n", "late2@import.test,Ann,Ng,Agent\n"}, 200, `"summary"`},
	} {
		t.Run(name, func(t *testing.T) {
			read, write := io.Pipe()
			go func() {
				for _, piece := range row.pieces {
					_, _ = io.WriteString(write, piece)
					time.Sleep(400 * time.Millisecond) // longer than the deadlines
				}
				_ = write.Close()
			}()
			resp := fileRequest(t, "POST", base+"/v1/users:import", w.Root, "text/csv", read)
			if resp.status != row.status || !strings.Contains(resp.body, row.want) {
				t.Errorf("%d %s", resp.status, resp.body)
			}
		})
	}
}
