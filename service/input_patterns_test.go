package service_test

import (
	"regexp"
	"strings"
	"testing"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/servicetest"
)

// patterns are all that the contract holds texts against. They compile for
// Go's engine, which takes linear time whatever they are.
func patterns(t testing.TB) (found []*regexp.Regexp) {
	t.Helper()
	seen := map[string]bool{}
	for _, d := range rpcs() {
		for _, p := range texts(d.Input()) {
			rules := p.rules().GetString()
			if p.last().IsList() {
				rules = p.rules().GetRepeated().GetItems().GetString()
			}
			if text := rules.GetPattern(); text != "" && !seen[text] {
				seen[text] = true
				found = append(found, regexp.MustCompile(text))
			}
		}
	}
	if len(found) < 5 {
		t.Fatalf("%d patterns", len(found))
	}
	return found
}

// Who broke a pattern is told in words, not in a regular expression.
func TestPatterns_InWords(t *testing.T) {
	for _, p := range patterns(t) {
		if door.InWords(p.String()) == "" {
			t.Errorf("nothing says what %s asks for", p)
		}
	}
}

// hostile are texts of 64 KiB that make engines which go back run for years.
func hostile() (list []string) {
	for _, unit := range []string{"a", "0", "a.", "-0", "aaaa-", "é", " ", "0a-", "A1#", "a@", "😀", "password", "\u0301", "\ufdfa"} {
		text := strings.Repeat(unit, 64<<10/len(unit))
		list = append(list, text, text+"!", "!"+text, text+"\n")
	}
	return list
}

// Every pattern answers for every hostile text, and takes none that it bounds.
func TestPatterns_IN03(t *testing.T) {
	for _, p := range patterns(t) {
		for _, text := range hostile() {
			if p.MatchString(text) && finite(p.String()) {
				t.Errorf("%s takes %.20q of 64 KiB", p, text)
			}
		}
	}
}

// The password path at 64 KiB: refused without a hash, whichever door.
func TestPasswords_IN03_Long(t *testing.T) {
	w := servicetest.SQLite(t)
	token, ran := dueChange(t, w, w.CreateUser("").GetEmail()), w.Passwords.Runs()
	for _, text := range hostile() {
		u := w.Draft()
		u.Password = &text
		_, created := w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{User: u})
		_, checked := w.Users.CheckPassword(w.As(w.Root), &identityv1.CheckPasswordRequest{Password: text})
		_, signedIn := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: servicetest.RootEmail, Password: text})
		_, changed := w.Sessions.ChangePassword(t.Context(), &identityv1.ChangePasswordRequest{Token: token, NewPassword: text})
		for door, err := range map[string]error{"CreateUser": created, "CheckPassword": checked, "SignIn": signedIn, "ChangePassword": changed} {
			public := door == "SignIn" || door == "ChangePassword" // which take at most 16 KiB
			if reason := servicetest.Reason(err); reason != "INVALID_FIELDS" && (reason != "TOO_LARGE" || !public) {
				t.Errorf("%s, %.20q: %v", door, text, err)
			}
		}
	}
	if w.Passwords.Runs() != ran {
		t.Errorf("%d hashes", w.Passwords.Runs()-ran)
	}
}

func FuzzPatterns_IN03(f *testing.F) {
	for _, text := range hostile() {
		f.Add(text)
	}
	all := patterns(f)
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range all {
			if p.MatchString(text) && finite(p.String()) && len(text) > 4<<10 {
				t.Errorf("%s takes %q", p, text)
			}
		}
	})
}
