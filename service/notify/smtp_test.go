package notify_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/bizmetry/identity/service/notify"
	"github.com/bizmetry/identity/service/servicetest"
)

const (
	from  = "noreply@identity.test"
	login = servicetest.SMTPUser + ":" + servicetest.SMTPPassword + "@"
)

// port is that of an address.
func port(address string) string {
	_, p, _ := net.SplitHostPort(address)
	return p
}

// to is a mailer for a server, under a name that is not this machine's.
func to(t *testing.T, s *servicetest.SMTPServer, login string) notify.Sender {
	t.Helper()
	m, err := notify.NewTestMailer("smtp://"+login+servicetest.SMTPHost+":"+port(s.Address), from, s.Address, s.Roots)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// letter is a mail of a kind of the service.
func letter(t *testing.T, to string, values map[string]string) notify.Message {
	t.Helper()
	all := map[string]string{"name": "Ann Ng", "organization": "Customer", "link": "https://id.test/activate?token=abc", "password": "none"}
	for name, value := range values {
		all[name] = value
	}
	m, err := notify.Write("0190-id", "mail.activation", to, all)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// parts are the bodies of a mail by type.
func parts(t *testing.T, m *mail.Message) map[string]string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("%s, %v", kind, err)
	}
	found := map[string]string{}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		text, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		found[kind] = strings.ReplaceAll(string(text), "\r\n", "\n")
	}
}

func TestMail_STARTTLSAndLogin(t *testing.T) {
	s := servicetest.NewSMTP(t)
	m := letter(t, "ann@people.test", nil)
	if err := to(t, s, login).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	mails := s.Mails()
	if len(mails) != 1 || !mails[0].Encrypted || mails[0].From != from || mails[0].To != "ann@people.test" || s.Logins() != 1 {
		t.Fatalf("%+v, %d logins", mails, s.Logins())
	}
	got := mails[0].Message(t)
	if got.Header.Get("Subject") != m.Subject || got.Header.Get("Message-Id") != "<0190-id@identity.test>" {
		t.Errorf("headers %v", got.Header)
	}
	both := parts(t, got)
	if !strings.Contains(both["text/plain"], "\nhttps://id.test/activate?token=abc\n") || !strings.Contains(both["text/html"], `<a href="https://id.test/activate?token=abc"`) {
		t.Errorf("parts %v", both)
	}
}

// Only mail with an address beyond ASCII asks for SMTPUTF8.
func TestMail_SMTPUTF8(t *testing.T) {
	for to8, want := range map[string]bool{
		"ann@people.test": false, "ann+tag@xn--bcher-kva.test": false, "o'neill@people.test": false,
		"ännchen@people.test": true, "ann@bücher.test": true, "аня@people.test": true,
	} {
		s := servicetest.NewSMTP(t)
		m := letter(t, to8, map[string]string{"name": "Ænne Ng", "organization": "Müller"})
		if err := to(t, s, login).Send(t.Context(), m); err != nil {
			t.Fatalf("%s: %v", to8, err)
		}
		mails := s.Mails()
		if len(mails) != 1 || mails[0].UTF8 != want {
			t.Fatalf("%s: %+v", to8, mails)
		}
		head, _, _ := strings.Cut(string(mails[0].Raw), "\r\n\r\n")
		if plain := !strings.ContainsFunc(head, func(r rune) bool { return r > '~' }); plain == want {
			t.Errorf("%s: headers %q", to8, head)
		}
	}
}

func TestMail_ImplicitTLS(t *testing.T) {
	s := servicetest.NewSMTP(t, func(s *smtp.Server) { s.AllowInsecureAuth = true })
	// A server that speaks TLS from the first byte, in front of the same sessions.
	front := servicetest.InFrontOf(t, s)
	m, err := notify.NewTestMailer("smtps://"+login+servicetest.SMTPHost+":"+port(front), from, front, s.Roots)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Send(t.Context(), letter(t, "ann@people.test", nil)); err != nil || len(s.Mails()) != 1 {
		t.Errorf("%v, %d mails", err, len(s.Mails()))
	}
}

// Without TLS that can be trusted nothing is sent, the login least of all.
func TestMail_OnlyOverTrustedTLS(t *testing.T) {
	plain := servicetest.NewSMTP(t, func(s *smtp.Server) { s.TLSConfig = nil; s.AllowInsecureAuth = true })
	if err := to(t, plain, login).Send(t.Context(), letter(t, "a@x.test", nil)); err == nil || plain.Logins() != 0 || len(plain.Mails()) != 0 {
		t.Errorf("without STARTTLS: %v, %d logins", err, plain.Logins())
	}
	s := servicetest.NewSMTP(t)
	stranger, err := notify.NewTestMailer("smtp://"+login+servicetest.SMTPHost+":"+port(s.Address), from, s.Address, x509.NewCertPool())
	if err != nil {
		t.Fatal(err)
	}
	other, err := notify.NewTestMailer("smtp://"+login+"other.identity.test:"+port(s.Address), from, s.Address, s.Roots)
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]notify.Sender{"of nobody": stranger, "of another": other} {
		if err := m.Send(t.Context(), letter(t, "a@x.test", nil)); err == nil || errors.Is(err, notify.ErrRejected) || s.Logins() != 0 {
			t.Errorf("a certificate %s: %v, %d logins", name, err, s.Logins())
		}
	}
}

// What may pass is told from what will not, and neither holds a secret.
func TestMail_F13_Faults(t *testing.T) {
	code := func(c int) func(string) error {
		return func(to string) error {
			return &smtp.SMTPError{Code: c, EnhancedCode: smtp.EnhancedCode{c / 100, 1, 1}, Message: "no <" + to + "> here"}
		}
	}
	s := servicetest.NewSMTP(t)
	for _, row := range []struct {
		name     string
		mail     func(string) error
		rcpt     func(string) error
		data     func(func()) error
		login    string
		rejected bool
		want     string
	}{
		{"no such recipient", nil, code(550), nil, login, true, "RCPT TO"},
		{"recipient later", nil, code(450), nil, login, false, "450"},
		{"sender refused", code(550), nil, nil, login, false, "MAIL FROM"},
		{"content refused", nil, nil, func(func()) error { return code(554)("x") }, login, true, "554"},
		{"content later", nil, nil, func(func()) error { return code(451)("x") }, login, false, "451"},
		{"dropped after DATA", nil, nil, func(drop func()) error { drop(); return errors.New("gone") }, login, false, "connection lost"},
		{"wrong login", nil, nil, nil, "mailer:canary-wrong@", false, "535"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.Fail(row.mail, row.rcpt, row.data)
			err := to(t, s, row.login).Send(t.Context(), letter(t, "ann@people.test", nil))
			if err == nil || errors.Is(err, notify.ErrRejected) != row.rejected || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("got %v", err)
			}
			for _, secret := range []string{"canary", "ann@", "token", servicetest.SMTPUser} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q holds %q", err, secret)
				}
			}
		})
	}
	if n := len(s.Mails()); n != 0 {
		t.Errorf("%d mails", n)
	}
}

// Nobody there, and a server that never says a word.
func TestMail_F13_NobodyAnswers(t *testing.T) {
	var config net.ListenConfig
	silent, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	m, err := notify.NewTestMailer("smtp://"+servicetest.SMTPHost, from, silent.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := m.Send(ctx, letter(t, "a@x.test", nil)); err == nil || errors.Is(err, notify.ErrRejected) {
		t.Errorf("silence: %v", err)
	}
	_ = silent.Close()
	if err := m.Send(t.Context(), letter(t, "a@x.test", nil)); err == nil || errors.Is(err, notify.ErrRejected) {
		t.Errorf("nobody: %v", err)
	}
}

// A tarpit ends with the context, in whatever state.
func TestMail_F13_Tarpit(t *testing.T) {
	s := servicetest.NewSMTP(t)
	held := make(chan struct{})
	defer close(held)
	reached := make(chan struct{}, 3)
	hold := func() { reached <- struct{}{}; <-held }
	for name, fail := range map[string]func(){
		"at MAIL": func() { s.Fail(func(string) error { hold(); return nil }, nil, nil) },
		"at RCPT": func() { s.Fail(nil, func(string) error { hold(); return nil }, nil) },
		"at DATA": func() { s.Fail(nil, nil, func(func()) error { hold(); return nil }) },
	} {
		fail()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- to(t, s, login).Send(ctx, letter(t, "a@x.test", nil)) }()
		<-reached
		cancel()
		if err := <-done; err == nil {
			t.Errorf("%s: sent", name)
		}
	}
}

// An accepted mail is sent, whatever the server does then.
func TestMail_AcceptedIsSent(t *testing.T) {
	s := servicetest.NewSMTP(t)
	s.Fail(nil, nil, func(drop func()) error {
		time.AfterFunc(20*time.Millisecond, drop)
		return nil
	})
	for range 5 {
		if err := to(t, s, login).Send(t.Context(), letter(t, "a@x.test", nil)); err != nil {
			t.Error(err)
		}
	}
}

// TestMail_IN02: names and addresses make neither headers nor commands nor
// HTML; a mail has exactly the headers that it should and one recipient.
func TestMail_IN02(t *testing.T) {
	s := servicetest.NewSMTP(t)
	m := to(t, s, login)
	want := []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Received", "Subject", "To"}
	hostile := []string{
		"Ann\r\nBcc: evil@x.test", "Ann\nBcc: evil@x.test", "Ann\r\n\r\n<h1>Hello</h1>", "=?utf-8?q?=0D=0ABcc:_evil@x.test?=", "Ann\r\n.\r\nMAIL FROM:<evil@x.test>",
		`Ann" <evil@x.test>`, "<script>alert(1)</script>", `<img src=x onerror=alert(1)>`, `"><a href="https://evil.test">`, "{{.link}}", "Ann\u2028Bcc: x", "Ann\u202egnA", "A\x00B",
		"https://id.test/activate?token=abc\" onclick=\"x", "javascript:alert(1)",
	}
	tag, plain := regexp.MustCompile(`<[^>]*>`), ""
	for i, name := range append([]string{"harmless"}, hostile...) {
		before := len(s.Mails())
		if err := m.Send(t.Context(), letter(t, "ann@people.test", map[string]string{"name": name, "organization": name})); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		mails := s.Mails()
		if len(mails) != before+1 || mails[before].To != "ann@people.test" {
			t.Fatalf("%q: %+v", name, mails[before:])
		}
		got := mails[before].Message(t)
		var headers []string
		for header, values := range got.Header {
			headers = append(headers, header)
			if len(values) != 1 {
				t.Errorf("%q: %s %q", name, header, values)
			}
		}
		if extra := slices.DeleteFunc(headers, func(h string) bool { return slices.Contains(want, h) }); len(extra) > 0 || got.Header.Get("To") != "<ann@people.test>" {
			t.Errorf("%q: headers %v, to %q", name, extra, got.Header.Get("To"))
		}
		both := parts(t, got)
		html := both["text/html"]
		tags := strings.Join(tag.FindAllString(html, -1), "")
		if i == 0 {
			plain = tags
		}
		if tags != plain || strings.Contains(html, "\u202e") || name == "{{.link}}" && !strings.Contains(html, "Hello link,") {
			t.Errorf("%q: %s", name, html)
		}
		if first, _, _ := strings.Cut(both["text/plain"], "\n"); !strings.HasPrefix(first, "Hello ") || strings.ContainsAny(first, "\x00\r") {
			t.Errorf("%q: %q", name, both["text/plain"])
		}
	}
	for _, address := range []string{
		"ann@people.test\r\nRCPT TO:<evil@x.test>", "ann@people.test>, <evil@x.test", "a@x.test,evil@x.test", "a@x.test> SIZE=1", "Ann <a@x.test>", "", "@", "a", "a@x.test (c)", "\"a b\"@x.test", " a@x.test",
	} {
		if err := m.Send(t.Context(), letter(t, address, nil)); !errors.Is(err, notify.ErrRejected) {
			t.Errorf("%q: %v", address, err)
		}
	}
	if n := len(s.Mails()); n != len(hostile)+1 {
		t.Errorf("%d mails of %d", n, len(hostile)+1)
	}
	for _, address := range []string{"=?utf-8?q?x?=@people.test", "o'neil+tag@people.test", "ünï@people.test", "!#$%&*/=?^_`{|}~-@people.test"} {
		if err := m.Send(t.Context(), letter(t, address, nil)); err != nil {
			t.Errorf("%q: %v", address, err)
			continue
		}
		mails := s.Mails()
		if got := mails[len(mails)-1]; got.To != address || bytes.Count(got.Raw, []byte("\nTo: ")) != 1 {
			t.Errorf("%q: to %q", address, got.To)
		}
	}
}

// Names show in mails as names: nothing in them looks like an address.
func TestWrite_NamesAreNoLinks(t *testing.T) {
	for name, want := range map[string]string{
		"Payroll - verify at http://evil.example/x": "Payroll - verify at http evil example x",
		"write to boss@evil.example now":            "write to boss evil example now",
		"Dr. Ng & Søns (Zürich) Inc.":               "Dr. Ng & Søns (Zürich) Inc.",
		"O'Neill-D’Arcy":                            "O'Neill-D’Arcy",
		"株式会社。テスト":                                  "株式会社 テスト",
		strings.Repeat("long ", 20):                 strings.Repeat("long ", 12) + "lon…",
	} {
		m, err := notify.Write("1", "mail.phone_changed", "ann@people.test", map[string]string{"name": name, "organization": name, "time": "now"})
		if err != nil || !strings.HasPrefix(m.Text, "Hello "+want+",\n") || !strings.Contains(m.Text, "at "+want+" was changed") {
			t.Errorf("%q: %v, %s", name, err, m.Text)
		}
	}
}

// IN-02: what else stands in a mail is escaped.
func TestWrite_IN02_ValuesAreEscaped(t *testing.T) {
	for _, hostile := range []string{"<script>alert(1)</script>", `<img src=x onerror=alert(1)>`, `"><a href="https://evil.test">`} {
		m, err := notify.Write("1", "mail.email_changed", "ann@people.test",
			map[string]string{"name": "Ann", "organization": "QA", "time": "now", "old": hostile, "new": hostile})
		if err != nil || strings.Contains(m.HTML, hostile) || strings.Count(m.HTML, "&lt;") == 0 {
			t.Errorf("%q: %v, %s", hostile, err, m.HTML)
		}
	}
}

func TestMail_Settings(t *testing.T) {
	for _, bad := range []string{
		"", "mail.test", "smtp://", "smtp:mail.test", "http://mail.test", "smtp://canary:canary@mail.test/path", "smtp://canary@mail.test?tls=no", "smtp://canary:ca%nary@mail.test", "file:",
		"smtp://canary@mail.test:port",
	} {
		if s, err := notify.Mail(bad, from); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v, %v", bad, s, err)
		}
	}
	for _, sender := range []string{"", "Ann <a@x.test>", "a@x.test\r\nBcc: b@x.test", "a@x.test, b@x.test"} {
		if s, err := notify.Mail("smtp://mail.test", sender); err == nil {
			t.Errorf("%q: %v", sender, s)
		}
	}
	for _, good := range []string{"smtp://mail.test", "smtps://user:p%40ss@[2001:db8::1]:465", "smtp://localhost:25/"} {
		if _, err := notify.Mail(good, from); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	if text := fmt.Sprint(notify.Known("mail.activation"), notify.Known("mail.nothing"), notify.Known("page")); text != "true false false" {
		t.Error(text)
	}
}
