package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// With PostgreSQL nobody forgets how messages are sent; no error tells a secret.
func TestServe_NeedsSenders(t *testing.T) {
	url := storetest.Postgres(t)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ smtp, sms, from, want string }{
		{"", "file:sms", "", "IDENTITY_SMTP_URL is required with PostgreSQL"},
		{"file:mail", "", "", "IDENTITY_SMS_URL is required with PostgreSQL"},
		{"smtp://user:canary@", "file:sms", "", "IDENTITY_SMTP_URL: "},
		{"file:mail", "webhook:http://hook.test/canary", "", "IDENTITY_SMS_URL: "},
		{"smtp://mail.test", "file:sms", "no address", "IDENTITY_MAIL_FROM: "},
	} {
		t.Setenv(databaseURLEnv, url)
		t.Setenv("IDENTITY_MASTER_KEY_FILE", key)
		t.Setenv(smtpURLEnv, row.smtp)
		t.Setenv(smsURLEnv, row.sms)
		t.Setenv("IDENTITY_MAIL_FROM", row.from)
		var out bytes.Buffer
		err := run(t.Context(), []string{"serve"}, &out, &out)
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error()+out.String(), "canary") {
			t.Errorf("%+v: %v", row, err)
		}
	}
}

// Operators see what is not sent, masked, and have it tried again.
func TestOutboxCommand(t *testing.T) {
	url := storetest.SQLite(t)
	t.Setenv(databaseURLEnv, url)
	command := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"outbox"}, args...), &out, &out)
		return out.String(), err
	}
	st := storetest.Open(t, url)
	now := time.Now()
	message := func(kind string, dead time.Time, sealed string, expires time.Time) store.Message {
		m := store.Message{
			Org: uuid.NewString(), ID: uuid.NewString(), Kind: kind, Recipient: "a…@x.test", Sealed: []byte(sealed), LastError: "RCPT TO: 550",
			Created: store.At(now), Due: store.At(now), Expires: store.At(expires),
		}
		if !dead.IsZero() {
			m.Dead = store.At(dead)
		}
		return m
	}
	waiting, dead := message("mail.waiting", time.Time{}, "sealed", now.Add(time.Hour)), message("mail.dead", now, "sealed", now.Add(time.Hour))
	late := message("mail.late", now, "sealed", now.Add(-time.Hour))
	err := st.Short(t.Context(), func(tx *store.ShortTx) error { return tx.Enqueue(t.Context(), waiting, dead, late) })
	if err != nil {
		t.Fatal(err)
	}
	out, err := command("list")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); err != nil || len(lines) != 4 || !strings.Contains(lines[3], "mail.waiting") ||
		strings.Contains(out, "sealed") || strings.Count(out, "a…@x.test") != 3 || strings.Count(out, "dead ") < 2 {
		t.Errorf("%s%v", out, err)
	}
	for _, wrong := range [][]string{{"retry"}, {"retry", dead.ID, "--all"}, {"retry", "x"}, {"retry", uuid.NewString()}, {"retry", late.ID}, {"retry", waiting.ID}} {
		if out, err := command(wrong...); err == nil {
			t.Errorf("%v: %s", wrong, out)
		}
	}
	if out, err := command("retry", dead.ID); err != nil || out != "1 to be tried again\n" {
		t.Errorf("%s%v", out, err)
	}
	if out, err := command("retry", "--all"); err != nil || out != "0 to be tried again\n" {
		t.Errorf("%s%v", out, err)
	}
	if due, err := st.Undelivered(t.Context(), 10); err != nil || len(due) != 3 || due[1].Dead != 0 || due[2].Dead != 0 {
		t.Errorf("%+v, %v", due, err)
	}
}
