package service_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// replaceIt stands for the answer that the password is right but has to be replaced.
const replaceIt = "password_change"

// subject is a person and a machine of one organization, with all they can act with.
type subject struct {
	*servicetest.World
	t       *testing.T
	org     string
	person  servicetest.Person
	tokens  *identityv1.Tokens
	machine servicetest.Machine
	token   string // of the machine
}

// newSubject makes a Manager and a machine with the same role in the
// organization, beside its administrator.
func newSubject(t *testing.T, w *servicetest.World, org servicetest.Org) *subject {
	t.Helper()
	s := &subject{World: w, t: t, org: org.GetId(), person: w.NewPerson(org.GetId(), servicetest.Manager)}
	s.tokens = w.Tokens(s.person.GetEmail(), s.person.Password)
	s.machine = w.NewMachine(w.Root, org.GetId(), servicetest.Manager)
	s.token = w.Token(s.machine, "")
	return s
}

func (s *subject) root() context.Context { return s.As(s.Root) }

// What each thing answers now: "" is yes.

func (s *subject) use(token string) string {
	_, err := s.Users.GetMe(s.As(token), &identityv1.GetMeRequest{})
	return servicetest.Reason(err)
}

// act is a call that takes a permission.
func (s *subject) act(token string) string {
	_, err := s.Accounts.ListServiceAccounts(s.As(token), &identityv1.ListServiceAccountsRequest{})
	return servicetest.Reason(err)
}

func (s *subject) signIn() string {
	resp, err := s.Sessions.SignIn(s.t.Context(), &identityv1.SignInRequest{Email: s.person.GetEmail(), Password: s.person.Password})
	if resp.GetPasswordChange() != nil {
		return replaceIt
	}
	return servicetest.Reason(err)
}

func (s *subject) refresh() string {
	resp, err := s.Sessions.Refresh(s.t.Context(), &identityv1.RefreshRequest{RefreshToken: s.tokens.GetRefreshToken()})
	if err == nil {
		s.tokens = resp.GetTokens()
	}
	return servicetest.Reason(err)
}

func (s *subject) issue() string {
	_, err := s.Accounts.IssueToken(s.t.Context(), &identityv1.IssueTokenRequest{ClientId: s.machine.GetId(), ClientSecret: s.machine.Secret})
	return servicetest.Reason(err)
}

func (s *subject) introspect(token string) string {
	got, err := s.Accounts.IntrospectToken(s.root(), &identityv1.IntrospectTokenRequest{Token: token})
	if err == nil && !got.GetActive() {
		return "inactive"
	}
	return servicetest.Reason(err)
}

func (s *subject) check(id string) string {
	got, err := s.Roles.CheckPermission(s.root(), &identityv1.CheckPermissionRequest{
		OrganizationId: s.org, PrincipalId: id, Permission: "platform.serviceaccounts.read",
	})
	if err == nil && !got.GetAllowed() {
		return "denied"
	}
	return servicetest.Reason(err)
}

// Things done to the person.

func (s *subject) edit(u *identityv1.User, path string) error {
	u.Id = s.person.GetId()
	return patch(s.root(), s.World, s.org, u, path)
}

func (s *subject) disable() error {
	_, err := s.Users.DisableUser(s.root(), &identityv1.DisableUserRequest{OrganizationId: s.org, Id: s.person.GetId()})
	return err
}

func (s *subject) enable() error {
	_, err := s.Users.EnableUser(s.root(), &identityv1.EnableUserRequest{OrganizationId: s.org, Id: s.person.GetId()})
	return err
}

func (s *subject) delete() error {
	_, err := s.Users.DeleteUser(s.root(), &identityv1.DeleteUserRequest{OrganizationId: s.org, Id: s.person.GetId()})
	return err
}

func (s *subject) confirm(yes bool) error {
	return s.edit(&identityv1.User{Confirmed: &yes}, "confirmed")
}

func (s *subject) newPassword() error {
	return s.edit(&identityv1.User{Password: ptr(s.person.Password)}, "password")
}

func (s *subject) signOut() error {
	_, err := s.Sessions.SignOut(s.As(s.tokens.GetAccessToken()), &identityv1.SignOutRequest{Id: "-"})
	return err
}

func (s *subject) revoke(id string) error {
	_, err := s.Roles.RevokeRoles(s.root(), &identityv1.RevokeRolesRequest{OrganizationId: s.org, Id: id, RoleIds: []string{servicetest.Manager}})
	return err
}

// expire lets the role end, and moves the clock there.
func (s *subject) expire(id string) error {
	_, err := s.Roles.GrantRoles(s.root(), &identityv1.GrantRolesRequest{
		OrganizationId: s.org, Id: id, RoleIds: []string{servicetest.Manager},
		Expiration: &identityv1.GrantRolesRequest_Ttl{Ttl: durationpb.New(time.Minute)},
	})
	s.Clock.Add(time.Minute)
	return err
}

// Things done to the machine.

func (s *subject) disableMachine() error {
	_, err := s.Accounts.DisableServiceAccount(s.root(), &identityv1.DisableServiceAccountRequest{OrganizationId: s.org, Id: s.machine.GetId()})
	return err
}

func (s *subject) enableMachine() error {
	_, err := s.Accounts.EnableServiceAccount(s.root(), &identityv1.EnableServiceAccountRequest{OrganizationId: s.org, Id: s.machine.GetId()})
	return err
}

func (s *subject) deleteMachine() error {
	_, err := s.Accounts.DeleteServiceAccount(s.root(), &identityv1.DeleteServiceAccountRequest{OrganizationId: s.org, Id: s.machine.GetId()})
	return err
}

func (s *subject) deleteCredential() error {
	_, err := s.Accounts.DeleteCredential(s.root(), &identityv1.DeleteCredentialRequest{
		OrganizationId: s.org, ServiceAccountId: s.machine.GetId(), Id: s.machine.Credential,
	})
	return err
}

// expireCredential gives the machine a credential for a minute, and moves the
// clock to its end.
func (s *subject) expireCredential() error {
	c, err := s.Accounts.CreateCredential(s.root(), &identityv1.CreateCredentialRequest{
		OrganizationId: s.org, ServiceAccountId: s.machine.GetId(),
		Credential: &identityv1.Credential{Expiration: &identityv1.Credential_Ttl{Ttl: durationpb.New(time.Minute)}},
	})
	if err != nil {
		return err
	}
	s.machine.Secret = c.GetSecret()
	s.token = s.Token(s.machine, "")
	s.Clock.Add(time.Minute)
	return nil
}

func then(steps ...func(*subject) error) func(*subject) error {
	return func(s *subject) error {
		for _, step := range steps {
			if err := step(s); err != nil {
				return err
			}
		}
		return nil
	}
}

func ofPerson(fn func(*subject, string) error) func(*subject) error {
	return func(s *subject) error { return fn(s, s.person.GetId()) }
}

func ofMachine(fn func(*subject, string) error) func(*subject) error {
	return func(s *subject) error { return fn(s, s.machine.GetId()) }
}

const (
	no     = "TOKEN_INVALID"
	wrong  = "CREDENTIALS_INVALID"
	denied = "PERMISSION_DENIED"
)

// Every state of a person and of what they have, against everything that a
// credential is good for, at once and on another replica; nothing that was
// issued before comes back.
func TestEndings_TK06_SS06_RG17_People(t *testing.T) {
	rows := []struct {
		rule                                          string
		change                                        func(*subject) error
		signIn, use, act, refresh, introspect, holder string
	}{
		{"nothing", then(), "", "", "", "", "", ""},
		{"role taken", ofPerson((*subject).revoke), "", "", denied, "", "", "denied"},
		{"role ended", ofPerson((*subject).expire), "", "", denied, "", "", "denied"},
		{"disabled", (*subject).disable, wrong, no, no, no, "inactive", "denied"},
		{"deleted", (*subject).delete, wrong, no, no, no, "inactive", "NOT_FOUND"},
		{"unconfirmed", func(s *subject) error { return s.confirm(false) }, wrong, no, no, no, "inactive", "denied"},
		{"new password", (*subject).newPassword, replaceIt, no, no, no, "inactive", ""},
		{"signed out", (*subject).signOut, "", no, no, no, "inactive", ""},
		{"disabled, enabled", then((*subject).disable, (*subject).enable), "", no, no, no, "inactive", ""},
		{
			"unconfirmed, confirmed", then(func(s *subject) error { return s.confirm(false) }, func(s *subject) error { return s.confirm(true) }),
			"", no, no, no, "inactive", "",
		},
		{"disabled and enabled twice", then((*subject).disable, (*subject).enable, (*subject).disable, (*subject).enable), "", no, no, no, "inactive", ""},
		{"disabled, new password, enabled", then((*subject).disable, (*subject).newPassword, (*subject).enable), replaceIt, no, no, no, "inactive", ""},
	}
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		other, org := replica(t, w, url), w.NewOrg()
		for _, row := range rows {
			t.Run(row.rule, func(t *testing.T) {
				s := newSubject(t, w, org)
				noError(t, row.change(s))
				there := *s
				there.World = other
				for _, got := range []struct{ what, said, want string }{
					{"use", s.use(s.tokens.GetAccessToken()), row.use},
					{"use elsewhere", there.use(s.tokens.GetAccessToken()), row.use},
					{"act", s.act(s.tokens.GetAccessToken()), row.act},
					{"act elsewhere", there.act(s.tokens.GetAccessToken()), row.act},
					{"introspect", s.introspect(s.tokens.GetAccessToken()), row.introspect},
					{"check", s.check(s.person.GetId()), row.holder},
					{"refresh elsewhere", there.refresh(), row.refresh},
					{"refresh", s.refresh(), row.refresh},
					{"sign in", s.signIn(), row.signIn},
					{"sign in elsewhere", there.signIn(), row.signIn},
				} {
					if got.said != got.want {
						t.Errorf("%s: %q, want %q", got.what, got.said, got.want)
					}
				}
			})
		}
	})
}

// The same for machines: every state of account, credential and grant.
func TestEndings_TK06_RG15_RG16_Machines(t *testing.T) {
	rows := []struct {
		rule                                 string
		change                               func(*subject) error
		issue, use, act, introspect, allowed string
	}{
		{"nothing", then(), "", "", "", "", ""},
		{"role taken", ofMachine((*subject).revoke), "", "", denied, "", "denied"},
		{"role ended", ofMachine((*subject).expire), "", "", denied, "", "denied"},
		{"disabled", (*subject).disableMachine, wrong, no, no, "inactive", "denied"},
		{"deleted", (*subject).deleteMachine, wrong, no, no, "inactive", "NOT_FOUND"},
		{"credential deleted", (*subject).deleteCredential, wrong, no, no, "inactive", ""},
		{"credential ended", (*subject).expireCredential, wrong, no, no, "inactive", ""},
		{"disabled, enabled", then((*subject).disableMachine, (*subject).enableMachine), "", no, no, "inactive", ""},
		{
			"disabled and enabled twice", then((*subject).disableMachine, (*subject).enableMachine, (*subject).disableMachine, (*subject).enableMachine),
			"", no, no, "inactive", "",
		},
	}
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		other, org := replica(t, w, url), w.NewOrg()
		for _, row := range rows {
			t.Run(row.rule, func(t *testing.T) {
				s := newSubject(t, w, org)
				noError(t, row.change(s))
				there := *s
				there.World = other
				for _, got := range []struct{ what, said, want string }{
					{"use", s.use(s.token), row.use},
					{"use elsewhere", there.use(s.token), row.use},
					{"act", s.act(s.token), row.act},
					{"act elsewhere", there.act(s.token), row.act},
					{"introspect", s.introspect(s.token), row.introspect},
					{"check", s.check(s.machine.GetId()), row.allowed},
					{"issue", s.issue(), row.issue},
					{"issue elsewhere", there.issue(), row.issue},
				} {
					if got.said != got.want {
						t.Errorf("%s: %q, want %q", got.what, got.said, got.want)
					}
				}
			})
		}
	})
}

// All ten sessions of a person end with one call, and only theirs.
func TestEndings_SS06_AllSessions(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		s, neighbour := newSubject(t, w, org), newSubject(t, w, org)
		sessions := make([]*identityv1.Tokens, 10)
		for i := range sessions {
			sessions[i] = w.Tokens(s.person.GetEmail(), s.person.Password)
		}
		noError(t, s.disable())
		for i, tokens := range sessions {
			s.tokens = tokens
			if use, refresh := s.use(tokens.GetAccessToken()), s.refresh(); use != no || refresh != no {
				t.Errorf("session %d goes on: %q, %q", i, use, refresh)
			}
		}
		if use, refresh := neighbour.use(neighbour.person.Token), neighbour.refresh(); use != "" || refresh != "" {
			t.Errorf("the neighbour's ended: %q, %q", use, refresh)
		}
	})
}
