package main

import (
	"strings"
	"testing"

	"github.com/bizmetry/identity/store/storetest"
)

func TestRecover(t *testing.T) {
	t.Setenv("IDENTITY_DATABASE_URL", storetest.SQLite(t))
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv(tokenEnv, "")
	s := serve(t)
	t.Setenv("IDENTITY_ADDR", s.grpc)
	expect(t, "no user has confirmed nobody@example.com", 1, "", "recover", "--email=nobody@example.com")
	out := expect(t, "can sign in again", 0, "", "recover", "--email=admin@example.com")
	_, password, _ := strings.Cut(out, "shown this once: ")
	expect(t, "CREDENTIALS_INVALID", 1, "admin@example.com\n"+s.password+"\n", "login")
	expect(t, "signed in", 0, "admin@example.com\n"+strings.TrimSpace(password)+"\nZebra#river9stone\n", "login")
}
