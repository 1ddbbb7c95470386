package service_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// assign is something to assign.
type assign struct{ roles, keys []string }

// ways are all paths on which somebody comes to hold something.
var ways = map[string]func(t testing.TB, w *world, token, org string, what assign) error{
	"CreateUser": func(_ testing.TB, w *world, token, org string, what assign) error {
		draft := w.Draft()
		draft.Confirmed, draft.RoleIds, draft.PermissionKeys = nil, what.roles, what.keys
		_, err := w.Users.CreateUser(w.As(token), &identityv1.CreateUserRequest{OrganizationId: org, User: draft})
		return err
	},
	"UpdateUser": func(t testing.TB, w *world, token, org string, what assign) error {
		u := holder(t, w.World, org, "agents.read")
		_, err := w.Users.UpdateUser(w.As(token), &identityv1.UpdateUserRequest{
			OrganizationId: org, User: &identityv1.User{Id: u.GetId(), RoleIds: what.roles, PermissionKeys: what.keys},
		})
		return err
	},
	"GrantRoles to a user": func(t testing.TB, w *world, token, org string, what assign) error {
		_, err := w.Roles.GrantRoles(w.As(token), &identityv1.GrantRolesRequest{
			OrganizationId: org, Id: holder(t, w.World, org, "agents.read").GetId(), RoleIds: what.roles, PermissionKeys: what.keys,
		})
		return err
	},
	"GrantRoles to a machine, for a while": func(_ testing.TB, w *world, token, org string, what assign) error {
		_, err := w.Roles.GrantRoles(w.As(token), &identityv1.GrantRolesRequest{
			OrganizationId: org, Id: w.NewMachine(w.Root, org).GetId(), RoleIds: what.roles, PermissionKeys: what.keys,
			Expiration: &identityv1.GrantRolesRequest_Ttl{Ttl: durationpb.New(time.Second)},
		})
		return err
	},
	"CreateServiceAccount": func(_ testing.TB, w *world, token, org string, what assign) error {
		_, err := w.Accounts.CreateServiceAccount(w.As(token), &identityv1.CreateServiceAccountRequest{
			OrganizationId: org, ServiceAccount: &identityv1.ServiceAccount{DisplayName: ptr("New"), RoleIds: what.roles, PermissionKeys: what.keys},
		})
		return err
	},
}

// TestGrant_AC07: nobody gives what they do not hold, on any path.
func TestGrant_AC07(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		by := holder(t, w.World, "", delegated...)
		org := by.GetOrganizationId()
		machine := w.NewMachine(w.Root, "", servicetest.SuperUser)
		scoped := w.Token(machine, "platform.users.write platform.serviceaccounts.write agents.read")
		within, beyond := w.newRole(org, "agents.read", "platform.users.read"), w.newRole(org, "agents.read", extra)
		over := w.newRole(org)
		w.sql("INSERT INTO sub_roles (organization_id, role_id, sub_role_id) VALUES ('" + org + "', '" + over + "', '" + beyond + "')")
		plain := w.NewPerson("", servicetest.SuperUser).Token
		for _, row := range []struct {
			name, token string
			what        assign
			want        string
		}{
			{"a permission held", by.Token, assign{keys: []string{"agents.read"}}, allowed},
			{"all that is held", by.Token, assign{keys: delegated}, allowed},
			{"a permission not held", by.Token, assign{keys: []string{extra}}, exceeds},
			{"the last of several not held", by.Token, assign{keys: append(append([]string{}, delegated...), extra)}, exceeds},
			{"a role within", by.Token, assign{roles: []string{within}}, allowed},
			{"a role beyond", by.Token, assign{roles: []string{beyond}}, exceeds},
			{"a role beyond through a sub-role", by.Token, assign{roles: []string{over}}, exceeds},
			{"the last of several roles beyond", by.Token, assign{roles: []string{within, beyond}}, exceeds},
			{"super user", by.Token, assign{roles: []string{servicetest.SuperUser}}, exceeds},
			{"super user by a super user", plain, assign{roles: []string{servicetest.SuperUser}}, allowed},
			{"within the scope", scoped, assign{keys: []string{"agents.read"}}, allowed},
			{"beyond the scope", scoped, assign{keys: []string{extra}}, exceeds},
			{"a role beyond the scope", scoped, assign{roles: []string{servicetest.MonitoringUser}}, exceeds},
			{"a system permission by a super user", plain, assign{keys: []string{"system.organizations.read"}}, exceeds},
			{"the operator's role by a super user", plain, assign{roles: []string{servicetest.PlatformOperator}}, exceeds},
			{"a system permission by who holds it", w.Root, assign{keys: []string{"system.organizations.read"}}, allowed},
			{"the operator's role by who holds it", w.Root, assign{roles: []string{servicetest.PlatformOperator}}, allowed},
		} {
			for way, grant := range ways {
				t.Run(way+" "+row.name, func(t *testing.T) { checkOutcome(t, grant(t, w, row.token, "", row.what), row.want) })
			}
		}
	})
}

// TestSystemPermissions_AC07: nobody outside the platform comes to hold them.
func TestSystemPermissions_AC07(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		for _, row := range []struct {
			name, token string
			what        assign
			code        codes.Code
			reason      identityv1.Error_Reason
		}{
			{"permission, by the customer", a.Admin.Token, assign{keys: []string{"system.organizations.read"}}, codes.InvalidArgument, identityv1.Error_UNKNOWN_PERMISSION},
			{"unknown permission, by the customer", a.Admin.Token, assign{keys: []string{"system.made.up"}}, codes.InvalidArgument, identityv1.Error_UNKNOWN_PERMISSION},
			{"role, by the customer", a.Admin.Token, assign{roles: []string{servicetest.PlatformOperator}}, codes.NotFound, identityv1.Error_NOT_FOUND},
			{"permission, by the platform", w.Root, assign{keys: []string{"system.organizations.read"}}, codes.FailedPrecondition, identityv1.Error_PLATFORM_ONLY},
			{"unknown permission, by the platform", w.Root, assign{keys: []string{"system.made.up"}}, codes.InvalidArgument, identityv1.Error_UNKNOWN_PERMISSION},
			{"role, by the platform", w.Root, assign{roles: []string{servicetest.PlatformOperator}}, codes.FailedPrecondition, identityv1.Error_PLATFORM_ONLY},
		} {
			for way, grant := range ways {
				t.Run(way+" "+row.name, func(t *testing.T) {
					servicetest.Refused(t, grant(t, w, row.token, a.GetId(), row.what), row.code, row.reason)
				})
			}
		}
		t.Run("written by somebody, they count nothing", func(t *testing.T) {
			w.sql("INSERT INTO grants (organization_id, principal_id, role_id, create_time) VALUES ('" + a.GetId() + "', '" + a.Admin.GetId() + "', '" + servicetest.PlatformOperator + "', 1)")
			w.sql("INSERT INTO grants (organization_id, principal_id, permission_key, create_time) VALUES ('" + a.GetId() + "', '" + a.Admin.GetId() + "', 'system.organizations.act', 1)")
			_, err := w.Orgs.CreateOrganization(w.As(a.Admin.Token), &identityv1.CreateOrganizationRequest{})
			servicetest.Refused(t, err, codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED)
			_, err = w.Users.ListUsers(w.As(a.Admin.Token), &identityv1.ListUsersRequest{OrganizationId: w.newTenant().GetId()})
			servicetest.Refused(t, err, codes.NotFound, identityv1.Error_NOT_FOUND)
		})
	})
}

// TestCreateOrganization_AC07: the first administrator is Super User there;
// nothing else comes for free.
func TestCreateOrganization_AC07(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		by := holder(t, w.World, "", "system.organizations.write", "agents.read").Token
		own := w.newRole(holder(t, w.World, "", "agents.read").GetOrganizationId(), "agents.read")
		for _, row := range []struct {
			name   string
			what   assign
			code   codes.Code
			reason identityv1.Error_Reason
		}{
			{"nothing", assign{}, codes.OK, 0},
			{"super user", assign{roles: []string{servicetest.SuperUser}}, codes.OK, 0},
			{"a permission held", assign{keys: []string{"agents.read"}}, codes.OK, 0},
			{"a permission not held", assign{keys: []string{extra}}, codes.PermissionDenied, identityv1.Error_GRANT_EXCEEDS_OWN},
			{"a role beyond", assign{roles: []string{servicetest.SuperUser, servicetest.Owner}}, codes.PermissionDenied, identityv1.Error_GRANT_EXCEEDS_OWN},
			{"a role of another organization", assign{roles: []string{own}}, codes.NotFound, identityv1.Error_NOT_FOUND},
			{"a system permission", assign{keys: []string{"system.organizations.write"}}, codes.FailedPrecondition, identityv1.Error_PLATFORM_ONLY},
			{"the operator's role", assign{roles: []string{servicetest.PlatformOperator}}, codes.FailedPrecondition, identityv1.Error_PLATFORM_ONLY},
		} {
			t.Run(row.name, func(t *testing.T) {
				draft := w.Draft()
				draft.Confirmed, draft.RoleIds, draft.PermissionKeys = nil, row.what.roles, row.what.keys
				resp, err := w.Orgs.CreateOrganization(w.As(by), &identityv1.CreateOrganizationRequest{
					Organization: &identityv1.Organization{DisplayName: ptr("New")}, Administrator: draft,
				})
				if row.code != codes.OK {
					servicetest.Refused(t, err, row.code, row.reason)
					return
				}
				if roles := resp.GetAdministrator().GetRoles(); err != nil || len(roles) != 1 || roles[0].GetId() != servicetest.SuperUser {
					t.Errorf("got %v, %v", resp, err)
				}
			})
		}
	})
}

// TestExpiry_AC07: what ends for the one who gives ends for the others no later.
func TestExpiry_AC07(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		by := holder(t, w.World, "", delegated...)
		end := w.Clock.Now().Add(time.Hour)
		must[*identityv1.Grants](t)(w.Roles.GrantRoles(w.As(w.Root), &identityv1.GrantRolesRequest{
			Id: by.GetId(), PermissionKeys: []string{extra}, Expiration: &identityv1.GrantRolesRequest_ExpireTime{ExpireTime: timestamppb.New(end)},
		}))
		forever, whole := w.NewMachine(w.Root, ""), assign{keys: []string{extra}}
		must[*identityv1.Grants](t)(w.Roles.GrantRoles(w.As(w.Root), &identityv1.GrantRolesRequest{Id: forever.GetId(), PermissionKeys: []string{extra}}))
		grant := func(id string, expiration *durationpb.Duration) error {
			req := &identityv1.GrantRolesRequest{Id: id, PermissionKeys: whole.keys}
			if expiration != nil {
				req.Expiration = &identityv1.GrantRolesRequest_Ttl{Ttl: expiration}
			}
			_, err := w.Roles.GrantRoles(w.As(by.Token), req)
			return err
		}
		credential := func(expiration *durationpb.Duration) error {
			req := &identityv1.CreateCredentialRequest{ServiceAccountId: forever.GetId()}
			if expiration != nil {
				req.Credential = &identityv1.Credential{Expiration: &identityv1.Credential_Ttl{Ttl: expiration}}
			}
			_, err := w.Accounts.CreateCredential(w.As(by.Token), req)
			return err
		}
		other := func() string { return holder(t, w.World, "", "agents.read").GetId() }
		strong := func() servicetest.Person { return holder(t, w.World, "", "agents.read", extra) }
		hour, longer, shorter := durationpb.New(time.Hour), durationpb.New(time.Hour+time.Second), durationpb.New(time.Minute)
		for _, row := range []struct {
			name string
			do   func(t *testing.T) error
			want string
		}{
			{"grant for ever", func(*testing.T) error { return grant(other(), nil) }, exceeds},
			{"grant for longer", func(*testing.T) error { return grant(other(), longer) }, exceeds},
			{"grant until the same time", func(*testing.T) error { return grant(other(), hour) }, allowed},
			{"grant for a shorter time", func(*testing.T) error { return grant(other(), shorter) }, allowed},
			{"keep it oneself for ever", func(*testing.T) error { return grant(by.GetId(), nil) }, exceeds},
			{"keep it oneself for longer", func(*testing.T) error { return grant(by.GetId(), longer) }, exceeds},
			{"CreateUser", func(t *testing.T) error { return ways["CreateUser"](t, w, by.Token, "", whole) }, exceeds},
			{"UpdateUser", func(t *testing.T) error { return ways["UpdateUser"](t, w, by.Token, "", whole) }, exceeds},
			{"CreateServiceAccount", func(t *testing.T) error { return ways["CreateServiceAccount"](t, w, by.Token, "", whole) }, exceeds},
			{"password of who holds it for ever", func(*testing.T) error { return controls["password"](w, by.Token, strong()) }, exceeds},
			{"e-mail of who holds it for ever", func(*testing.T) error { return controls["email"](w, by.Token, strong()) }, exceeds},
			{"disable who holds it for ever", func(*testing.T) error { return controls["disable"](w, by.Token, strong()) }, allowed},
			{"credential for ever", func(*testing.T) error { return credential(nil) }, exceeds},
			{"credential for longer", func(*testing.T) error { return credential(longer) }, exceeds},
			{"credential until the same time", func(*testing.T) error { return credential(hour) }, allowed},
			{"credential for a shorter time", func(*testing.T) error { return credential(shorter) }, allowed},
		} {
			t.Run(row.name, func(t *testing.T) { checkOutcome(t, row.do(t), row.want) })
		}
		t.Run("afterwards it is gone", func(t *testing.T) {
			w.Clock.Add(time.Hour)
			token := w.SignIn(by.GetEmail(), by.Password)
			_, err := w.Roles.GrantRoles(w.As(token), &identityv1.GrantRolesRequest{
				Id: forever.GetId(), PermissionKeys: whole.keys, Expiration: &identityv1.GrantRolesRequest_Ttl{Ttl: durationpb.New(time.Second)},
			})
			checkOutcome(t, err, exceeds)
		})
	})
}

// TestPast_AC07: an end has to come, by the clock of the service.
func TestPast_AC07(t *testing.T) {
	w := servicetest.SQLite(t)
	p, m := holder(t, w, "", "agents.read"), w.NewMachine(w.Root, "")
	w.Clock.Add(10 * time.Minute)
	for _, row := range []struct {
		name string
		end  time.Duration
		code codes.Code
	}{{"passed", -time.Second, codes.InvalidArgument}, {"to come", time.Second, codes.OK}} {
		t.Run(row.name, func(t *testing.T) {
			end := timestamppb.New(w.Clock.Now().Add(row.end))
			_, err := w.Roles.GrantRoles(w.As(w.Root), &identityv1.GrantRolesRequest{
				Id: p.GetId(), PermissionKeys: []string{extra}, Expiration: &identityv1.GrantRolesRequest_ExpireTime{ExpireTime: end},
			})
			if status.Code(err) != row.code {
				t.Errorf("grant: %v, want %v", err, row.code)
			}
			_, err = w.Accounts.CreateCredential(w.As(w.Root), &identityv1.CreateCredentialRequest{
				ServiceAccountId: m.GetId(), Credential: &identityv1.Credential{Expiration: &identityv1.Credential_ExpireTime{ExpireTime: end}},
			})
			if status.Code(err) != row.code {
				t.Errorf("credential: %v, want %v", err, row.code)
			}
		})
	}
}

// TestOneself_AC07: who edits oneself gains nothing.
func TestOneself_AC07(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		by := holder(t, w.World, "", delegated...)
		for _, row := range []struct {
			name string
			user *identityv1.User
			mask []string
			want string
		}{
			{"a role", &identityv1.User{RoleIds: []string{servicetest.SuperUser}}, []string{"role_ids"}, exceeds},
			{"a permission", &identityv1.User{PermissionKeys: append([]string{extra}, delegated...)}, []string{"permission_keys"}, exceeds},
			{"the same permissions", &identityv1.User{PermissionKeys: delegated}, []string{"permission_keys"}, allowed},
			{"a name", &identityv1.User{FirstName: ptr("Me")}, []string{"first_name"}, allowed},
			{"an address", &identityv1.User{Email: ptr("me@people.test"), CurrentPassword: &by.Password}, []string{"email"}, allowed},
			{"fewer permissions", &identityv1.User{PermissionKeys: delegated[1:]}, []string{"permission_keys"}, allowed},
		} {
			t.Run(row.name, func(t *testing.T) {
				row.user.Id = by.GetId()
				checkOutcome(t, update(w, by.Token, row.user, row.mask...), row.want)
			})
		}
	})
}

// TestLostRight_RG04: who has lost a right mints nothing with it any more.
func TestLostRight_RG04(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		by := holder(t, w.World, "", delegated...)
		m := w.NewMachine(w.Root, "")
		must[*identityv1.Grants](t)(w.Roles.RevokeRoles(w.As(w.Root), &identityv1.RevokeRolesRequest{
			Id: by.GetId(), PermissionKeys: []string{"platform.serviceaccounts.write"},
		}))
		for way, attempt := range machineControls {
			if err := attempt(w, by.Token, m); status.Code(err) != codes.PermissionDenied {
				t.Errorf("%s: %v", way, err)
			}
		}
	})
}
