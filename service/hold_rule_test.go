package service_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// delegated are the rights of an administrator who may do much and yet is not all-powerful.
var delegated = []string{
	"agents.read", "platform.administer", "platform.serviceaccounts.read", "platform.serviceaccounts.write",
	"platform.tokens.write", "platform.users.read", "platform.users.write",
}

// extra is the one permission more that makes a target stronger.
const extra = "agents.write"

// outcomes of an attempt.
const (
	allowed = "allowed"
	exceeds = "exceeds"
)

func checkOutcome(t testing.TB, err error, want string) {
	t.Helper()
	if want == allowed && err != nil {
		t.Error(err)
	}
	if want == exceeds {
		servicetest.Refused(t, err, codes.PermissionDenied, identityv1.Error_GRANT_EXCEEDS_OWN)
	}
}

func update(w *world, token string, u *identityv1.User, mask ...string) error {
	_, err := w.Users.UpdateUser(w.As(token), &identityv1.UpdateUserRequest{User: u, UpdateMask: &fieldmaskpb.FieldMask{Paths: mask}})
	return err
}

// controls are all ways to become, silence or let in a person.
var controls = map[string]func(w *world, token string, target servicetest.Person) error{
	"password": func(w *world, token string, u servicetest.Person) error {
		return update(w, token, &identityv1.User{Id: u.GetId(), Password: ptr("Another#river9stone")}, "password")
	},
	"email": func(w *world, token string, u servicetest.Person) error {
		return update(w, token, &identityv1.User{Id: u.GetId(), Email: ptr("new." + u.GetEmail())}, "email")
	},
	"email in another case": func(w *world, token string, u servicetest.Person) error {
		return update(w, token, &identityv1.User{Id: u.GetId(), Email: ptr("U" + u.GetEmail()[1:])}, "email")
	},
	"confirmed": func(w *world, token string, u servicetest.Person) error {
		return update(w, token, &identityv1.User{Id: u.GetId(), Confirmed: ptr(false)}, "confirmed")
	},
	"disable": func(w *world, token string, u servicetest.Person) error {
		_, err := w.Users.DisableUser(w.As(token), &identityv1.DisableUserRequest{Id: u.GetId()})
		return err
	},
	"enable": func(w *world, token string, u servicetest.Person) error {
		if _, err := w.Users.DisableUser(w.As(w.Root), &identityv1.DisableUserRequest{Id: u.GetId()}); err != nil {
			return err
		}
		_, err := w.Users.EnableUser(w.As(token), &identityv1.EnableUserRequest{Id: u.GetId()})
		return err
	},
	"unlock": func(w *world, token string, u servicetest.Person) error {
		_, err := w.Users.UnlockUser(w.As(token), &identityv1.UnlockUserRequest{Id: u.GetId()})
		return err
	},
	"delete": func(w *world, token string, u servicetest.Person) error {
		_, err := w.Users.DeleteUser(w.As(token), &identityv1.DeleteUserRequest{Id: u.GetId()})
		return err
	},
	"sign out": func(w *world, token string, u servicetest.Person) error {
		_, err := w.Sessions.SignOut(w.As(token), &identityv1.SignOutRequest{Id: w.Tokens(u.GetEmail(), u.Password).GetSessionId()})
		return err
	},
	"revoke": func(w *world, token string, u servicetest.Person) error {
		_, err := w.Roles.RevokeRoles(w.As(token), &identityv1.RevokeRolesRequest{Id: u.GetId(), PermissionKeys: []string{"agents.read"}})
		return err
	},
	"grant until an earlier time": func(w *world, token string, u servicetest.Person) error {
		_, err := w.Roles.GrantRoles(w.As(token), &identityv1.GrantRolesRequest{
			Id: u.GetId(), PermissionKeys: []string{"agents.read"}, Expiration: &identityv1.GrantRolesRequest_Ttl{Ttl: durationpb.New(time.Hour)},
		})
		return err
	},
	"fewer permissions": func(w *world, token string, u servicetest.Person) error {
		return update(w, token, &identityv1.User{Id: u.GetId(), PermissionKeys: []string{"platform.users.read"}}, "permission_keys")
	},
	"a role in place of permissions": func(w *world, token string, u servicetest.Person) error {
		role := w.newRole(u.GetOrganizationId(), "agents.read")
		return update(w, token, &identityv1.User{Id: u.GetId(), RoleIds: []string{role}}, "role_ids", "permission_keys")
	},
}

// TestControlPerson_AC07: nobody takes control of who holds more.
func TestControlPerson_AC07(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		by := holder(t, w.World, "", delegated...).Token
		role := w.newRole(holder(t, w.World, "", "agents.read").GetOrganizationId(), extra)
		targets := map[string]struct {
			make func() servicetest.Person
			want string
		}{
			"an equal":    {func() servicetest.Person { return holder(t, w.World, "", delegated...) }, allowed},
			"a weaker":    {func() servicetest.Person { return holder(t, w.World, "", "agents.read", "platform.users.read") }, allowed},
			"one more":    {func() servicetest.Person { return holder(t, w.World, "", "agents.read", "platform.users.read", extra) }, exceeds},
			"by a role":   {func() servicetest.Person { return w.granted(t, "agents.read", role) }, exceeds},
			"super user":  {func() servicetest.Person { return w.granted(t, "agents.read", servicetest.SuperUser) }, exceeds},
			"with system": {func() servicetest.Person { return holder(t, w.World, "", "agents.read", "system.access.check") }, exceeds},
		}
		for way, attempt := range controls {
			for name, target := range targets {
				t.Run(way+" of "+name, func(t *testing.T) {
					p := target.make()
					before := w.row(t, p.GetId())
					checkOutcome(t, attempt(w, by, p), target.want)
					if target.want == exceeds && way != "enable" && way != "sign out" && w.row(t, p.GetId()) != before {
						t.Error("what was refused changed something")
					}
				})
			}
		}
		t.Run("a name of a stronger one", func(t *testing.T) {
			p := holder(t, w.World, "", extra)
			checkOutcome(t, update(w, by, &identityv1.User{Id: p.GetId(), FirstName: ptr("Changed")}, "first_name"), exceeds)
		})
		t.Run("a grant of one's own to a stronger one", func(t *testing.T) {
			_, err := w.Roles.GrantRoles(w.As(by), &identityv1.GrantRolesRequest{Id: holder(t, w.World, "", extra).GetId(), PermissionKeys: []string{"agents.read"}})
			checkOutcome(t, err, allowed)
		})
		t.Run("what a stronger one no longer holds", func(t *testing.T) {
			p := holder(t, w.World, "", "agents.read")
			must[*identityv1.Grants](t)(w.Roles.GrantRoles(w.As(w.Root), &identityv1.GrantRolesRequest{
				Id: p.GetId(), PermissionKeys: []string{extra}, Expiration: &identityv1.GrantRolesRequest_Ttl{Ttl: durationpb.New(time.Minute)},
			}))
			checkOutcome(t, controls["disable"](w, by, p), exceeds)
			w.Clock.Add(time.Minute)
			checkOutcome(t, controls["disable"](w, by, p), allowed)
		})
	})
}

// granted is a person of the platform with one permission and one role.
func (w *world) granted(t testing.TB, key, role string) servicetest.Person {
	t.Helper()
	p := holder(t, w.World, "", key)
	must[*identityv1.Grants](t)(w.Roles.GrantRoles(w.As(w.Root), &identityv1.GrantRolesRequest{Id: p.GetId(), RoleIds: []string{role}}))
	return p
}

// row makes a person comparable.
func (w *world) row(t testing.TB, id string) string {
	t.Helper()
	return marshal(must[*identityv1.User](t)(w.Users.GetUser(w.As(w.Root), &identityv1.GetUserRequest{Id: id})))
}

// TestControlCustomer_AC07: acting in a customer takes what its people hold, as at home.
func TestControlCustomer_AC07(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		by := holder(t, w.World, "", "system.organizations.act", "platform.users.write", "platform.users.read").Token
		for _, row := range []struct{ name, id, want string }{
			{"its administrator", a.Admin.GetId(), exceeds},
			{"a stronger user", a.user.GetId(), exceeds},
			{"an equal", holder(t, w.World, a.GetId(), "platform.users.read", "platform.users.write").GetId(), allowed},
		} {
			t.Run(row.name, func(t *testing.T) {
				_, err := w.Users.DisableUser(w.As(by), &identityv1.DisableUserRequest{OrganizationId: a.GetId(), Id: row.id})
				checkOutcome(t, err, row.want)
			})
		}
	})
}

// machineControls are all ways to become, silence or let in a machine.
var machineControls = map[string]func(w *world, token string, m servicetest.Machine) error{
	"credential": func(w *world, token string, m servicetest.Machine) error {
		_, err := w.Accounts.CreateCredential(w.As(token), &identityv1.CreateCredentialRequest{ServiceAccountId: m.GetId()})
		return err
	},
	"short credential": func(w *world, token string, m servicetest.Machine) error {
		_, err := w.Accounts.CreateCredential(w.As(token), &identityv1.CreateCredentialRequest{
			ServiceAccountId: m.GetId(), Credential: &identityv1.Credential{Expiration: &identityv1.Credential_Ttl{Ttl: durationpb.New(time.Second)}},
		})
		return err
	},
	"delete credential": func(w *world, token string, m servicetest.Machine) error {
		_, err := w.Accounts.DeleteCredential(w.As(token), &identityv1.DeleteCredentialRequest{ServiceAccountId: m.GetId(), Id: m.Credential})
		return err
	},
	"disable": func(w *world, token string, m servicetest.Machine) error {
		_, err := w.Accounts.DisableServiceAccount(w.As(token), &identityv1.DisableServiceAccountRequest{Id: m.GetId()})
		return err
	},
	"enable": func(w *world, token string, m servicetest.Machine) error {
		if _, err := w.Accounts.DisableServiceAccount(w.As(w.Root), &identityv1.DisableServiceAccountRequest{Id: m.GetId()}); err != nil {
			return err
		}
		_, err := w.Accounts.EnableServiceAccount(w.As(token), &identityv1.EnableServiceAccountRequest{Id: m.GetId()})
		return err
	},
	"delete": func(w *world, token string, m servicetest.Machine) error {
		_, err := w.Accounts.DeleteServiceAccount(w.As(token), &identityv1.DeleteServiceAccountRequest{Id: m.GetId()})
		return err
	},
	"revoke": func(w *world, token string, m servicetest.Machine) error {
		_, err := w.Roles.RevokeRoles(w.As(token), &identityv1.RevokeRolesRequest{Id: m.GetId(), PermissionKeys: []string{"agents.read"}})
		return err
	},
}

// TestControlMachine_AC07: nobody mints, revokes or switches for a machine that holds more.
func TestControlMachine_AC07(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		by := holder(t, w.World, "", delegated...).Token
		for _, target := range []struct {
			name, want string
			keys       []string
		}{
			{"an equal", allowed, delegated},
			{"one more", exceeds, []string{"agents.read", extra}},
			{"one with system rights", exceeds, []string{"agents.read", "system.access.check"}},
		} {
			for way, attempt := range machineControls {
				t.Run(way+" of "+target.name, func(t *testing.T) {
					m := w.NewMachine(w.Root, "")
					must[*identityv1.Grants](t)(w.Roles.GrantRoles(w.As(w.Root), &identityv1.GrantRolesRequest{Id: m.GetId(), PermissionKeys: target.keys}))
					checkOutcome(t, attempt(w, by, m), target.want)
				})
			}
		}
	})
}

// TestSignOut_AC07: a session of one's own needs nothing; who may not end
// sessions does not learn of others.
func TestSignOut_AC07(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		target := holder(t, w.World, "", "agents.read")
		without := slices.DeleteFunc(slices.Clone(delegated), func(key string) bool { return key == "platform.tokens.write" })
		for _, row := range []struct {
			name string
			by   servicetest.Person
			code codes.Code
		}{
			{"its owner", target, codes.OK},
			{"an administrator", holder(t, w.World, "", delegated...), codes.OK},
			{"an editor without the permission", holder(t, w.World, "", without...), codes.NotFound},
		} {
			t.Run(row.name, func(t *testing.T) {
				session := w.Tokens(target.GetEmail(), target.Password).GetSessionId()
				resp, err := w.Sessions.SignOut(w.As(row.by.Token), &identityv1.SignOutRequest{Id: session})
				missing, err2 := w.Sessions.SignOut(w.As(row.by.Token), &identityv1.SignOutRequest{Id: randomID()})
				servicetest.Refused(t, err2, codes.NotFound, identityv1.Error_NOT_FOUND)
				if row.code == codes.OK && (err != nil || resp.GetEndTime() == nil) {
					t.Errorf("got %v, %v", resp, err)
				}
				if row.code != codes.OK && answerOf(resp, err) != answerOf(missing, err2) {
					t.Errorf("got %v, not what a missing session gets", err)
				}
			})
		}
	})
}
