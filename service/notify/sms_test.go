package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bizmetry/identity/service/notify"
)

const (
	sid   = "AC0123456789abcdef0123456789abcdef"
	token = "twilio-canary-token"
)

var code = notify.Message{ID: "0190-id", To: "+15550123", Text: "123456 is your code"}

// gateway is an HTTP server on loopback.
func gateway(t *testing.T, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func sms(t *testing.T, setting string) notify.Sender {
	t.Helper()
	s, err := notify.SMS(setting)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// twilio is a sender to a server that speaks Twilio's protocol.
func twilio(t *testing.T, s *httptest.Server) notify.Sender {
	return sms(t, "twilio://"+sid+":"+token+"@"+strings.TrimPrefix(s.URL, "http://")+"?from=+15550100")
}

func webhook(t *testing.T, s *httptest.Server) notify.Sender {
	return sms(t, "webhook:"+strings.Replace(s.URL, "http://", "http://hook:canary@", 1)+"/canary-path")
}

func TestSMS_Twilio(t *testing.T) {
	s := gateway(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.Method != http.MethodPost || r.URL.Path != "/2010-04-01/Accounts/"+sid+"/Messages.json" || user != sid || password != token {
			t.Errorf("%s %s as %s", r.Method, r.URL, user)
		}
		if err := r.ParseForm(); err != nil || r.PostForm.Encode() != "Body=123456+is+your+code&From=%2B15550100&To=%2B15550123" {
			t.Errorf("%v, %v", r.PostForm, err)
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"sid":"SM1","status":"queued"}`)
	})
	if err := twilio(t, s).Send(t.Context(), code); err != nil {
		t.Error(err)
	}
}

func TestSMS_Webhook(t *testing.T) {
	s := gateway(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		var body map[string]string
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body) != 3 || body["id"] != code.ID || body["to"] != code.To || body["text"] != code.Text {
			t.Errorf("%v, %v", body, err)
		}
		if r.URL.Path != "/canary-path" || user != "hook" || password != "canary" || r.Header.Get("Idempotency-Key") != code.ID {
			t.Errorf("%s %v", r.URL, r.Header)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	if err := webhook(t, s).Send(t.Context(), code); err != nil {
		t.Error(err)
	}
}

// F-14, API10: whatever the other side answers ends soon, is one of two
// errors, and tells no secret.
func TestSMS_F14_Answers(t *testing.T) {
	var elsewhere atomic.Int64
	canary := gateway(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	say := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); fmt.Fprint(w, body) }
	}
	for _, row := range []struct {
		name     string
		answer   http.HandlerFunc
		ok       bool
		rejected bool
		want     string
	}{
		{"no such number", say(400, `{"code":21211,"message":"The 'To' number +15550123 is not valid","status":400}`), false, true, ""},
		{"wrong token", say(401, `{"code":20003,"message":"Authenticate"}`), false, false, "401"},
		{"too many", say(429, `{"code":20429}`), false, false, "429"},
		{"broken", say(500, "oops"), false, false, "500"},
		{"unavailable", say(503, ""), false, false, "503"},
		{"another place", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, canary.URL, http.StatusTemporaryRedirect)
		}, false, false, "307"},
		{"garbage", say(201, "\x00\xff{{{"), true, false, ""},
		{"endless", func(w http.ResponseWriter, _ *http.Request) {
			for range 1000 {
				if _, err := io.WriteString(w, strings.Repeat("x", 64<<10)); err != nil {
					return
				}
			}
		}, true, false, ""},
		{"cut", func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, false, false, ""},
	} {
		for kind, make := range map[string]func(*testing.T, *httptest.Server) notify.Sender{"twilio": twilio, "webhook": webhook} {
			t.Run(kind+" "+row.name, func(t *testing.T) {
				err := make(t, gateway(t, row.answer)).Send(t.Context(), code)
				if (err == nil) != row.ok || errors.Is(err, notify.ErrRejected) != row.rejected || (err != nil && !strings.Contains(err.Error(), row.want)) {
					t.Errorf("got %v", err)
				}
				if text := fmt.Sprint(err); strings.Contains(text, "canary") || strings.Contains(text, code.To) || strings.Contains(text, "123456") {
					t.Errorf("a secret in %q", text)
				}
			})
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestSMS_F14_Tarpit(t *testing.T) {
	held := make(chan struct{})
	s := gateway(t, func(http.ResponseWriter, *http.Request) { <-held })
	defer close(held)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := twilio(t, s).Send(ctx, code); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestSMS_IN04: the address is looked at after the name was resolved; only
// what the setting itself names may be one that is not public.
func TestSMS_IN04(t *testing.T) {
	var reached atomic.Int64
	canary := gateway(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	address := strings.TrimPrefix(canary.URL, "http://")
	for _, row := range []struct {
		host, address string
		ok            bool
	}{
		{"hook.test", "93.184.215.14:443", true},
		{"hook.test", "[2606:2800:21f:cb07::1]:443", true},
		{"hook.test", address, false},
		{"hook.test", "[::1]:443", false},
		{"hook.test", "[::ffff:127.0.0.1]:443", false},
		{"hook.test", "10.1.2.3:443", false},
		{"hook.test", "172.16.0.1:443", false},
		{"hook.test", "192.168.1.1:443", false},
		{"hook.test", "169.254.169.254:80", false},
		{"hook.test", "[fe80::1%eth0]:443", false},
		{"hook.test", "[fd00::1]:443", false},
		{"hook.test", "0.0.0.0:443", false},
		{"hook.test", "[::]:443", false},
		{"hook.test", "100.64.0.1:443", false},
		{"hook.test", "224.0.0.1:443", false},
		{"hook.test", "255.255.255.255:443", false},
		{"hook.test", "[64:ff9b::7f00:1]:443", false},
		{"hook.test", "[2002:7f00:1::]:443", false},
		{"hook.test", "no address", false},
		{"localhost", "127.0.0.1:443", true},
		{"localhost", "[::1]:443", true},
		{"localhost", "10.1.2.3:443", false},
		{"127.0.0.1", "127.0.0.1:443", true},
		{"127.0.0.1", "127.0.0.2:443", false},
		{"10.1.2.3", "10.1.2.3:443", true},
		{"10.1.2.3", "10.1.2.4:443", false},
		{"0x7f.1", "127.0.0.1:443", false},
	} {
		if err := notify.CheckAddress(row.host, row.address); (err == nil) != row.ok {
			t.Errorf("%s at %s: %v", row.host, row.address, err)
		}
	}
	// A name that resolves to this machine, as every system has one.
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	port := address[strings.LastIndexByte(address, ':'):]
	for _, host := range []string{name, "localhost.", "0x7f.1", "127.1"} {
		if err := sms(t, "webhook:https://"+host+port).Send(t.Context(), code); err == nil || reached.Load() != 0 {
			t.Errorf("%s: %v", host, err)
		}
	}
	if err := sms(t, "webhook:http://localhost"+port).Send(t.Context(), code); err != nil || reached.Load() != 1 {
		t.Errorf("what the setting names: %v", err)
	}
}

func TestSMS_Settings(t *testing.T) {
	for _, bad := range []string{
		"", "twilio://", "twilio://api.twilio.com?from=+1", "twilio://SID@api.twilio.com?from=+1", "twilio://SID:canary@api.twilio.com", "twilio://SID:canary@?from=+1",
		"webhook:", "webhook:http://hook.test/canary", "webhook:ftp://hook.test", "webhook:https://", "https://hook.test/canary", "file:", "webhook:https://canary\x7f@hook.test",
	} {
		if s, err := notify.SMS(bad); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v, %v", bad, s, err)
		}
	}
}

// A folder gets one file a message, however often it is tried.
func TestFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "outbox")
	s := sms(t, "file:"+folder)
	for range 3 {
		if err := s.Send(t.Context(), code); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	text, err := os.ReadFile(filepath.Join(folder, files[0].Name()))
	if err != nil || string(text) != "To: +15550123\n\n123456 is your code\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// Every kind of message can be written, with what it says in both parts.
func TestWrite(t *testing.T) {
	values := map[string]string{
		"name": "Łucja O'Neil", "organization": "Q&A <Ltd>", "link": "https://id.test/activate?token=a", "password": "none", "time": "12:00", "old": "a…@x.test", "new": "b…@x.test", "code": "123456",
	}
	files, err := filepath.Glob("templates/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		kind := strings.TrimSuffix(filepath.Base(file), ".txt")
		m, err := notify.Write("id", kind, "to", values)
		if err != nil || m.Text == "" || strings.Contains(m.Text, "{{") || strings.Contains(m.Text, "no value") {
			t.Errorf("%s: %+v, %v", kind, m, err)
		}
		if mail := strings.HasPrefix(kind, "mail."); mail != (m.Subject != "") || mail != strings.Contains(m.HTML, "Q&amp;A Ltd") || strings.Contains(m.Subject, "\n") {
			t.Errorf("%s: %+v", kind, m)
		}
		if _, err := notify.Write("id", kind, "to", nil); err == nil {
			t.Errorf("%s can be written without its values", kind)
		}
	}
	if _, err := notify.Write("id", "mail.nothing", "to", values); err == nil {
		t.Error("a kind that is not there")
	}
}
