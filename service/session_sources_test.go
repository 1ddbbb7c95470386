package service_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// What one address gets wrong keeps nobody out who can prove to memory that they
// are right, and does not count for other purposes.
func TestSources_Fair06_RightAfterWrong(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		u, v := w.NewPerson(""), w.NewPerson("")
		tokens := w.Tokens(u.GetEmail(), u.Password)
		device := newDevice(t, w, u)
		m := w.NewMachine(w.Root, "", servicetest.MonitoringUser)
		w.Token(m, "")
		issue := func(secret string) error {
			_, err := w.Accounts.IssueToken(t.Context(), &identityv1.IssueTokenRequest{ClientId: m.GetId(), ClientSecret: secret})
			return err
		}
		refresh := func(token string) error {
			_, err := w.Sessions.Refresh(t.Context(), &identityv1.RefreshRequest{RefreshToken: token})
			return err
		}
		for rule, wrong := range map[string]func(n int) string{
			"sign-in": func(n int) string { return attempt(t, w, fmt.Sprintf("nobody%d@people.test", n), "wrong") },
			"machine": func(int) string { return servicetest.Reason(issue("bms_wrong")) },
			"refresh": func(int) string { return servicetest.Reason(refresh("bmr_wrong")) },
		} {
			reasons := map[string]int{}
			for n := range 100 {
				reasons[wrong(n)]++
			}
			var mu sync.Mutex
			servicetest.Together(50, func(n int) {
				said := wrong(100 + n)
				mu.Lock()
				defer mu.Unlock()
				reasons[said]++
			})
			if reasons[limited] != 50 || len(reasons) != 2 {
				t.Errorf("%s: %v", rule, reasons)
			}
		}
		if err := issue(m.Secret); err != nil {
			t.Errorf("the right machine secret: %v", err)
		}
		if err := refresh(tokens.GetRefreshToken()); err != nil {
			t.Errorf("the right refresh token: %v", err)
		}
		if _, reason := onDevice(t, w, u.GetEmail(), u.Password, device); reason != "" {
			t.Errorf("the right sign-in from a known device: %s", reason)
		}
		_, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: v.GetEmail(), Password: v.Password, DeviceToken: device})
		servicetest.Refused(t, err, codes.ResourceExhausted, identityv1.Error_RATE_LIMITED)
		wrongSecret := m.Secret[:40] + strings.Repeat("0", len(m.Secret)-40)
		servicetest.Refused(t, issue(wrongSecret), codes.ResourceExhausted, identityv1.Error_RATE_LIMITED)
		if _, err := w.Users.ActivateUser(t.Context(), &identityv1.ActivateUserRequest{Token: strings.Repeat("x", 43)}); servicetest.Reason(err) != "LINK_INVALID" {
			t.Errorf("an activation is of another purpose: %v", err)
		}
	})
}

// Right sign-ins from one address are given back, so that any number pass.
func TestSources_Fair06_GivenBack(t *testing.T) {
	w := servicetest.SQLite(t)
	for range 4 {
		u := w.NewPerson("")
		for range 40 {
			if reason := attempt(t, w, u.GetEmail(), u.Password); reason != "" {
				t.Fatal(reason)
			}
		}
	}
}
