package service_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
)

// Rights in use are read again under the lock: who loses one mints nothing
// with the token from before.
func TestEndings_RG04_NoMintingAfterLoss(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		s := newSubject(t, w, w.NewOrg())
		mint := func() error {
			_, err := w.Accounts.CreateCredential(w.As(s.person.Token), &identityv1.CreateCredentialRequest{ServiceAccountId: s.machine.GetId()})
			return err
		}
		noError(t, mint())
		noError(t, s.revoke(s.person.GetId()))
		servicetest.Refused(t, mint(), codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED)
		list, err := w.Accounts.ListCredentials(s.root(), &identityv1.ListCredentialsRequest{OrganizationId: s.org, ServiceAccountId: s.machine.GetId()})
		if err != nil || len(list.GetCredentials()) != 2 {
			t.Errorf("%d credentials, %v", len(list.GetCredentials()), err)
		}
	})
}

// Who loses the right, or is shut out, between the door and the lock changes
// nothing any more.
func TestEndings_RG04_BeforeTheLock(t *testing.T) {
	rows := []struct {
		rule   string
		door   func(*subject) error
		code   codes.Code
		reason identityv1.Error_Reason
	}{
		{"role taken", ofPerson((*subject).revoke), codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED},
		{"disabled", (*subject).disable, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID},
		{"deleted", (*subject).delete, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID},
		{"new password", (*subject).newPassword, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID},
		{"disabled, enabled", then((*subject).disable, (*subject).enable), codes.Unauthenticated, identityv1.Error_TOKEN_INVALID},
	}
	eachURL(t, func(t *testing.T, url string) {
		random := &tripwire{from: randomRead}
		w := servicetest.New(t, url, func(c *service.Config) { c.Rand = random })
		org := w.NewOrg()
		for _, row := range rows {
			t.Run(row.rule, func(t *testing.T) {
				s := newSubject(t, w, org)
				var between state
				random.set("(*Users).NewUser", func() { noError(t, row.door(s)); between = stateOf(t, w, s.org) })
				_, err := w.Users.CreateUser(w.As(s.person.Token), &identityv1.CreateUserRequest{User: &identityv1.User{
					Email: ptr("late-" + s.person.GetEmail()), FirstName: ptr("A"), LastName: ptr("B"), RoleIds: []string{servicetest.MonitoringUser},
				}})
				if !random.done() {
					t.Fatal("nothing happened in the middle")
				}
				servicetest.Refused(t, err, row.code, row.reason)
				if diff := cmp.Diff(between, stateOf(t, w, s.org)); diff != "" {
					t.Errorf("it changed something:\n%s", diff)
				}
			})
		}
	})
}

// Who is shut out between password and session, or between the check of a
// refresh token and its rotation, holds nothing that works.
func TestEndings_RG17_InTheMiddle(t *testing.T) {
	doors := map[string]func(*subject) error{
		"disabled": (*subject).disable, "deleted": (*subject).delete, "unconfirmed": func(s *subject) error { return s.confirm(false) },
		"new password": (*subject).newPassword, "disabled, enabled": then((*subject).disable, (*subject).enable),
	}
	eachURL(t, func(t *testing.T, url string) {
		random := &tripwire{from: randomRead}
		w := servicetest.New(t, url, func(c *service.Config) { c.Rand = random })
		org := w.NewOrg()
		for rule, door := range doors {
			t.Run(rule+" while signing in", func(t *testing.T) {
				s := newSubject(t, w, org)
				random.set("(*Sessions).newSession", func() { noError(t, door(s)) })
				resp, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: s.person.GetEmail(), Password: s.person.Password})
				if !random.done() {
					t.Fatal("nothing happened in the middle")
				}
				if err == nil {
					t.Error("the session began")
				}
				servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_CREDENTIALS_INVALID)
				if use := s.use(resp.GetTokens().GetAccessToken()); use != no {
					t.Errorf("its token: %q", use)
				}
			})
			t.Run(rule+" while refreshing", func(t *testing.T) {
				s := newSubject(t, w, org)
				random.set("(*Authority).ClaimsFor", func() { noError(t, door(s)) })
				s.refresh()
				if !random.done() {
					t.Fatal("nothing happened in the middle")
				}
				if use, refresh := s.use(s.tokens.GetAccessToken()), s.refresh(); use != no || refresh != no {
					t.Errorf("what came of it goes on: %q, %q", use, refresh)
				}
			})
		}
	})
}
