package service_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// dueChange is the token of somebody who has to replace the initial password.
func dueChange(t testing.TB, w *servicetest.World, email string) string {
	t.Helper()
	resp, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: email, Password: servicetest.InitialPassword})
	noError(t, err)
	if resp.GetPasswordChange().GetToken() == "" {
		t.Fatalf("%s is not asked for another password", email)
	}
	return resp.GetPasswordChange().GetToken()
}

// changePassword gives the reason of the refusal, "" for none.
func changePassword(w *servicetest.World, token, password string) (*identityv1.Tokens, string) {
	resp, err := w.Sessions.ChangePassword(w.T.Context(), &identityv1.ChangePasswordRequest{Token: token, NewPassword: password})
	return resp.GetTokens(), servicetest.Reason(err)
}

// unmetOf is the list of unmet rules that a refusal names.
func unmetOf(err error) string {
	for _, info := range infos(err) {
		return info.GetMetadata()["unmet"]
	}
	return ""
}

// An initial password opens nothing but the change; after the change the new
// one does, and only it.
func TestChangePassword_PW08_Initial(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		u := w.CreateUser(org.GetId())
		resp, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: u.GetEmail(), Password: servicetest.InitialPassword})
		noError(t, err)
		due := resp.GetPasswordChange()
		if resp.GetTokens() != nil || !due.GetExpireTime().AsTime().Equal(w.Clock.Now().Add(10*time.Minute)) {
			t.Fatalf("%v", resp)
		}
		if _, err := w.Users.GetMe(w.As(due.GetToken()), &identityv1.GetMeRequest{}); servicetest.Reason(err) != no {
			t.Errorf("its token opens the API: %v", err)
		}
		if _, err := w.Sessions.Refresh(t.Context(), &identityv1.RefreshRequest{RefreshToken: due.GetToken()}); err == nil {
			t.Error("its token refreshes")
		}
		tokens, reason := changePassword(w, due.GetToken(), servicetest.RootPassword)
		if reason != "" {
			t.Fatal(reason)
		}
		noError(t, usable(w, tokens.GetAccessToken()))
		if reason := attempt(t, w, u.GetEmail(), servicetest.InitialPassword); reason != wrong {
			t.Errorf("the initial password: %q", reason)
		}
		noError(t, usable(w, w.SignIn(u.GetEmail(), servicetest.RootPassword)))
		w.Clock.Add(5 * 365 * 24 * time.Hour) // a password has no end
		noError(t, usable(w, w.SignIn(u.GetEmail(), servicetest.RootPassword)))
		events, err := w.Events.ListEvents(w.As(w.SignIn(org.Admin.GetEmail(), org.Admin.Password)), &identityv1.ListEventsRequest{Filter: &identityv1.ListEventsRequest_Filter{
			Type: new("user.password_changed"), ActorId: new(u.GetId()), TargetId: new(u.GetId()),
		}})
		if err != nil || len(events.GetEvents()) != 1 {
			t.Errorf("events %v, %v", events, err)
		}
	})
}

// Whose password has to be replaced is asked at the next sign-in, and what
// they are signed in with is over.
func TestChangePassword_PW08_SetAnew(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		s := newSubject(t, w, w.NewOrg())
		noError(t, s.edit(&identityv1.User{Password: ptr(servicetest.InitialPassword)}, "password"))
		if use := s.use(s.tokens.GetAccessToken()); use != no {
			t.Errorf("the former session: %q", use)
		}
		resp, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: s.person.GetEmail(), Password: servicetest.InitialPassword})
		if err != nil || resp.GetTokens() != nil || resp.GetPasswordChange().GetToken() == "" {
			t.Errorf("sign-in: %v, %v", resp, err)
		}
		tokens := w.Begin(s.person.GetEmail(), servicetest.InitialPassword, servicetest.RootPassword)
		noError(t, usable(w, tokens.GetAccessToken()))
	})
}

// The founder chose their password, which the fixture signs in with; the first
// administrator of a customer did not.
func TestChangePassword_Organization(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		u := w.Draft()
		_, err := w.Orgs.CreateOrganization(w.As(w.Root), &identityv1.CreateOrganizationRequest{
			Organization: &identityv1.Organization{DisplayName: ptr("New")}, Administrator: u,
		})
		noError(t, err)
		dueChange(t, w, u.GetEmail())
	})
}

// Everything that makes the token worthless answers alike.
func TestChangePassword_PW09_Refused(t *testing.T) {
	other := func(w *servicetest.World, u *identityv1.User, change *identityv1.User, path string) error {
		change.Id = u.GetId()
		return patch(w.As(w.Root), w, u.GetOrganizationId(), change, path)
	}
	rows := []struct {
		rule   string
		before func(w *servicetest.World, u *identityv1.User, token string) (string, error)
	}{
		{"used", func(w *servicetest.World, _ *identityv1.User, token string) (string, error) {
			_, reason := changePassword(w, token, servicetest.RootPassword)
			if reason != "" {
				w.T.Error(reason)
			}
			return token, nil
		}},
		{"expired", func(w *servicetest.World, _ *identityv1.User, token string) (string, error) {
			w.Clock.Add(10 * time.Minute)
			return token, nil
		}},
		{"truncated", func(_ *servicetest.World, _ *identityv1.User, token string) (string, error) {
			return token[:len(token)-1], nil
		}},
		{"a changed bit", func(_ *servicetest.World, _ *identityv1.User, token string) (string, error) {
			return token[:20] + strings.Map(func(r rune) rune { return map[bool]rune{true: 'B', false: 'A'}[r == 'A'] }, token[20:21]) + token[21:], nil
		}},
		{"with a newline", func(_ *servicetest.World, _ *identityv1.User, token string) (string, error) { return token + "\n", nil }},
		{"garbage", func(*servicetest.World, *identityv1.User, string) (string, error) { return "bmp_AAAA", nil }},
		{"a refresh token", func(w *servicetest.World, _ *identityv1.User, _ string) (string, error) {
			return w.Tokens(servicetest.RootEmail, servicetest.RootPassword).GetRefreshToken(), nil
		}},
		{"the same password set again", func(w *servicetest.World, u *identityv1.User, token string) (string, error) {
			return token, other(w, u, &identityv1.User{Password: ptr(servicetest.InitialPassword)}, "password")
		}},
		{"disabled", func(w *servicetest.World, u *identityv1.User, token string) (string, error) {
			_, err := w.Users.DisableUser(w.As(w.Root), &identityv1.DisableUserRequest{OrganizationId: u.GetOrganizationId(), Id: u.GetId()})
			return token, err
		}},
		{"unconfirmed", func(w *servicetest.World, u *identityv1.User, token string) (string, error) {
			return token, other(w, u, &identityv1.User{Confirmed: ptr(false)}, "confirmed")
		}},
		{"deleted", func(w *servicetest.World, u *identityv1.User, token string) (string, error) {
			_, err := w.Users.DeleteUser(w.As(w.Root), &identityv1.DeleteUserRequest{OrganizationId: u.GetOrganizationId(), Id: u.GetId()})
			return token, err
		}},
	}
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org, answer := w.NewOrg().GetId(), ""
		for _, row := range rows {
			t.Run(row.rule, func(t *testing.T) {
				w.Root = w.SignIn(servicetest.RootEmail, servicetest.RootPassword) // the clock moved
				u := w.CreateUser(org)
				token, err := row.before(w, u, dueChange(t, w, u.GetEmail()))
				noError(t, err)
				ran := w.Passwords.Runs()
				_, err = w.Sessions.ChangePassword(t.Context(), &identityv1.ChangePasswordRequest{Token: token, NewPassword: "Zebra#river9stone"})
				servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
				if w.Passwords.Runs() != ran {
					t.Error("it was hashed")
				}
				said := answerText(t, err)
				if answer == "" {
					answer = said
				}
				if said != answer {
					t.Errorf("it answers %q, not %q", said, answer)
				}
			})
		}
	})
}

// A new password that is refused leaves everything as it was; tries are counted.
func TestChangePassword_PF02_Weak(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		u := w.CreateUser("")
		token := dueChange(t, w, u.GetEmail())
		for _, row := range []struct {
			password, unmet string
			hashes          uint64
		}{
			{"brief", "too_short,no_upper,no_digit,no_special,common", 0},
			{servicetest.RootPassword + strings.Repeat("x", 300), "too_long", 0},
			{servicetest.InitialPassword, "unchanged", 1},
		} {
			ran := w.Passwords.Runs()
			_, err := w.Sessions.ChangePassword(t.Context(), &identityv1.ChangePasswordRequest{Token: token, NewPassword: row.password})
			servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_WEAK_PASSWORD)
			if unmet := unmetOf(err); unmet != row.unmet || w.Passwords.Runs()-ran != row.hashes {
				t.Errorf("%q: unmet %q, %d hashes", row.password, unmet, w.Passwords.Runs()-ran)
			}
		}
		limited := false
		for range 20 {
			_, reason := changePassword(w, token, servicetest.InitialPassword)
			limited = limited || reason == "RATE_LIMITED"
		}
		ran := w.Passwords.Runs()
		if _, reason := changePassword(w, token, servicetest.RootPassword); !limited || reason != "RATE_LIMITED" || w.Passwords.Runs() != ran {
			t.Errorf("after many tries: %q, %d hashes", reason, w.Passwords.Runs()-ran)
		}
	})
}

// Sixteen at once through two replicas with one token: one of them changes it.
func TestChangePassword_PW09_Race(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		doors := []*servicetest.World{w, replica(t, w, url)}
		for range 5 {
			u := w.CreateUser("")
			token := dueChange(t, w, u.GetEmail())
			var mu sync.Mutex
			var wg sync.WaitGroup
			said, winner, chosen := map[string]int{}, (*identityv1.Tokens)(nil), ""
			for i := range 16 {
				wg.Go(func() {
					password := "Zebra#river9stone" + string(rune('a'+i))
					tokens, reason := changePassword(doors[i%2], token, password)
					mu.Lock()
					defer mu.Unlock()
					if said[reason]++; reason == "" {
						winner, chosen = tokens, password
					}
				})
			}
			wg.Wait()
			if said[""] != 1 || said[no] != 15 {
				t.Fatalf("%v", said)
			}
			noError(t, usable(w, winner.GetAccessToken()))
			if reason := attempt(t, w, u.GetEmail(), chosen); reason != "" {
				t.Errorf("the password that won: %q", reason)
			}
		}
	})
}
