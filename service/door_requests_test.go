package service_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// tenant is a customer with one of everything.
type tenant struct {
	servicetest.Org
	user    servicetest.Person
	session string // of the user
	machine servicetest.Machine
	role    string // of the organization's own
}

// newTenant makes a customer in whose name the requests of the table work.
func (w *world) newTenant() *tenant {
	w.T.Helper()
	a := &tenant{Org: w.NewOrg()}
	a.user = w.NewPerson(a.GetId(), servicetest.MonitoringUser)
	a.session = w.Tokens(a.user.GetEmail(), a.user.Password).GetSessionId()
	a.machine = w.NewMachine(a.Admin.Token, "", servicetest.MonitoringUser)
	a.role = w.newRole(a.GetId(), "agents.read")
	return a
}

// roles are several that the customer may assign, its own one the last.
func (a *tenant) roles() []string {
	return []string{servicetest.MonitoringUser, servicetest.BusinessAdmin, a.role}
}

// request makes a request that works, once.
type request struct {
	make func(w *world, a *tenant) proto.Message
	root bool // only the platform may make it; otherwise the customer's administrator does
	own  bool // only who began it may go on with it: the customer's administrator
}

// as is who makes the request.
func (r request) as(w *world, a *tenant) string {
	if r.root {
		return w.Root
	}
	return a.Admin.Token
}

// requests has one for every method of the contract. Tests that are made from
// the descriptors fail for a method that is missing here.
var requests = map[string]request{
	"EventService.ListEvents": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.ListEventsRequest{Filter: &identityv1.ListEventsRequest_Filter{
			ActorId: new(a.Admin.GetId()), TargetId: new(a.user.GetId()), Type: new("user.created"),
		}}
	}},
	"OrganizationService.CreateOrganization": {root: true, make: func(w *world, _ *tenant) proto.Message {
		return &identityv1.CreateOrganizationRequest{
			Organization:  &identityv1.Organization{DisplayName: ptr("Another")},
			Administrator: w.Draft(servicetest.MonitoringUser, servicetest.BusinessAdmin, servicetest.DevOps),
		}
	}},
	"OrganizationService.GetOrganization": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.GetOrganizationRequest{Id: a.GetId()}
	}},
	"OrganizationService.UpdateOrganization": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.UpdateOrganizationRequest{
			Organization: &identityv1.Organization{
				Id: a.GetId(), DisplayName: ptr("Renamed"), PasswordPolicy: identityv1.Organization_STANDARD, ChangeInitialPassword: ptr(true),
			},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name", "password_policy", "change_initial_password"}},
		}
	}},
	"RoleService.Authorize": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.AuthorizeRequest{AccessToken: a.user.Token, Permission: "agents.read"}
	}},
	"RoleService.BatchCheckPermissions": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.BatchCheckPermissionsRequest{Checks: []*identityv1.BatchCheckPermissionsRequest_Check{
			{PrincipalId: a.user.GetId(), Permission: "agents.read"}, {PrincipalId: a.machine.GetId(), Permission: "agents.read"},
		}}
	}},
	"RoleService.CheckPermission": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.CheckPermissionRequest{PrincipalId: a.user.GetId(), Permission: "agents.read"}
	}},
	"RoleService.GetRole": {make: func(_ *world, a *tenant) proto.Message { return &identityv1.GetRoleRequest{Id: a.role} }},
	"RoleService.GrantRoles": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.GrantRolesRequest{
			Id: a.user.GetId(), RoleIds: a.roles(), PermissionKeys: []string{"agents.write"},
			Expiration: &identityv1.GrantRolesRequest_Ttl{Ttl: durationpb.New(3600_000_000_000)},
		}
	}},
	"RoleService.ListPermissions": {make: func(*world, *tenant) proto.Message { return &identityv1.ListPermissionsRequest{} }},
	"RoleService.ListRoles":       {make: func(*world, *tenant) proto.Message { return &identityv1.ListRolesRequest{} }},
	"RoleService.RevokeRoles": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.RevokeRolesRequest{Id: a.user.GetId(), RoleIds: a.roles(), PermissionKeys: []string{"agents.write"}}
	}},
	"ServiceAccountService.CreateCredential": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.CreateCredentialRequest{
			ServiceAccountId: a.machine.GetId(), Credential: &identityv1.Credential{DisplayName: ptr("second")},
		}
	}},
	"ServiceAccountService.CreateServiceAccount": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.CreateServiceAccountRequest{ServiceAccount: &identityv1.ServiceAccount{
			DisplayName: ptr("Pipeline"), Description: ptr("builds"), ParentType: ptr("pipeline"), ParentId: ptr(randomID()), ParentName: ptr("P"),
			RoleIds: a.roles(), PermissionKeys: []string{"agents.read"}, Audiences: []string{"https://api.test"}, AllowedNetworks: []string{"10.0.0.0/8"},
		}}
	}},
	"ServiceAccountService.DeleteCredential": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.DeleteCredentialRequest{ServiceAccountId: a.machine.GetId(), Id: a.machine.Credential}
	}},
	"ServiceAccountService.DeleteServiceAccount": {make: func(w *world, a *tenant) proto.Message {
		return &identityv1.DeleteServiceAccountRequest{Id: w.NewMachine(a.Admin.Token, "").GetId()}
	}},
	"ServiceAccountService.DisableServiceAccount": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.DisableServiceAccountRequest{Id: a.machine.GetId()}
	}},
	"ServiceAccountService.EnableServiceAccount": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.EnableServiceAccountRequest{Id: a.machine.GetId()}
	}},
	"ServiceAccountService.GetServiceAccount": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.GetServiceAccountRequest{Id: a.machine.GetId()}
	}},
	"ServiceAccountService.IntrospectToken": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.IntrospectTokenRequest{Token: a.user.Token}
	}},
	"ServiceAccountService.IssueToken": {make: func(w *world, a *tenant) proto.Message {
		m := w.NewMachine(a.Admin.Token, "", servicetest.MonitoringUser)
		return &identityv1.IssueTokenRequest{ClientId: m.GetId(), ClientSecret: m.Secret, Scope: "agents.read", Resource: servicetest.Issuer}
	}},
	"ServiceAccountService.ListCredentials": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.ListCredentialsRequest{ServiceAccountId: a.machine.GetId()}
	}},
	"ServiceAccountService.ListServiceAccounts": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.ListServiceAccountsRequest{
			Filter: &identityv1.ListServiceAccountsRequest_Filter{
				Name: new("agent"), ParentType: new(a.machine.GetParentType()), ParentId: new(a.machine.GetParentId()),
			},
			OrderBy: "display_name", WithSummary: true,
		}
	}},
	"ServiceAccountService.RevokeToken": {make: func(w *world, a *tenant) proto.Message {
		return &identityv1.RevokeTokenRequest{Token: w.Tokens(a.user.GetEmail(), a.user.Password).GetAccessToken()}
	}},
	"ServiceAccountService.RevokeTokens": {make: func(w *world, a *tenant) proto.Message {
		session := w.Tokens(a.user.GetEmail(), a.user.Password).GetSessionId()
		return &identityv1.RevokeTokensRequest{Id: a.user.GetId(), Only: &identityv1.RevokeTokensRequest_SessionId{SessionId: session}}
	}},
	"SessionService.ChangePassword": {make: func(w *world, a *tenant) proto.Message {
		return &identityv1.ChangePasswordRequest{Token: dueChange(w.T, w.World, w.CreateUser(a.GetId()).GetEmail()), NewPassword: servicetest.RootPassword}
	}},
	"SessionService.Refresh": {make: func(w *world, a *tenant) proto.Message {
		return &identityv1.RefreshRequest{RefreshToken: w.Tokens(a.user.GetEmail(), a.user.Password).GetRefreshToken()}
	}},
	"SessionService.SignIn": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.SignInRequest{Email: a.user.GetEmail(), Password: a.user.Password}
	}},
	"SessionService.SignOut": {make: func(_ *world, a *tenant) proto.Message { return &identityv1.SignOutRequest{Id: a.session} }},
	"UserService.CheckPassword": {make: func(*world, *tenant) proto.Message {
		return &identityv1.CheckPasswordRequest{
			Password: servicetest.RootPassword, Email: "grace@people.test", FirstName: "Grace", LastName: "Hopper",
		}
	}},
	"UserService.ConfirmPhoneVerification": {own: true, make: func(w *world, a *tenant) proto.Message {
		v := w.verify(a.Admin.Token, "", a.user.GetId(), newNumber())
		return &identityv1.ConfirmPhoneVerificationRequest{Id: v.GetId(), Code: v.code}
	}},
	"UserService.ActivateUser": {make: func(w *world, a *tenant) proto.Message {
		u := w.invite(a, func(u *identityv1.User) { u.Password = nil })
		return &identityv1.ActivateUserRequest{Token: w.Link(u.GetEmail()), Password: servicetest.RootPassword}
	}},
	"UserService.BulkDisableUsers": {make: func(w *world, a *tenant) proto.Message {
		return &identityv1.BulkDisableUsersRequest{Filter: &identityv1.ListUsersRequest_Filter{
			Name: new("grace"), Email: new("user"), EmailExact: new(w.CreateUser(a.GetId()).GetEmail()), RoleId: new(servicetest.MonitoringUser),
		}}
	}},
	"UserService.BulkEnableUsers": {make: func(w *world, a *tenant) proto.Message {
		return &identityv1.BulkEnableUsersRequest{Filter: &identityv1.ListUsersRequest_Filter{
			Name: new("grace"), Email: new("user"), EmailExact: new(w.CreateUser(a.GetId()).GetEmail()), RoleId: new(servicetest.MonitoringUser),
		}}
	}},
	"UserService.CheckEmailAvailability": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.CheckEmailAvailabilityRequest{Email: "free@people.test", UserId: a.user.GetId()}
	}},
	"UserService.CreateUser": {make: func(w *world, a *tenant) proto.Message {
		draft := w.Draft(a.roles()...)
		draft.Confirmed, draft.PermissionKeys = nil, []string{"agents.read"}
		return &identityv1.CreateUserRequest{User: draft}
	}},
	"UserService.DeleteUser": {make: func(w *world, a *tenant) proto.Message {
		return &identityv1.DeleteUserRequest{Id: w.CreateUser(a.GetId()).GetId()}
	}},
	"UserService.DisableUser": {make: func(w *world, a *tenant) proto.Message {
		return &identityv1.DisableUserRequest{Id: w.CreateUser(a.GetId()).GetId()}
	}},
	"UserService.EnableUser": {make: func(_ *world, a *tenant) proto.Message { return &identityv1.EnableUserRequest{Id: a.user.GetId()} }},
	"UserService.EraseUser": {make: func(w *world, a *tenant) proto.Message {
		return &identityv1.EraseUserRequest{Id: w.CreateUser(a.GetId()).GetId()}
	}},
	"UserService.GeneratePassword": {make: func(*world, *tenant) proto.Message { return &identityv1.GeneratePasswordRequest{} }},
	"UserService.GetMe":            {make: func(*world, *tenant) proto.Message { return &identityv1.GetMeRequest{} }},
	"UserService.GetUser":          {make: func(_ *world, a *tenant) proto.Message { return &identityv1.GetUserRequest{Id: a.user.GetId()} }},
	"UserService.ExportUsers": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.ExportUsersRequest{Filter: &identityv1.ListUsersRequest_Filter{
			Name: new("grace"), Email: new("user"), EmailExact: new(a.user.GetEmail()), RoleId: new(servicetest.MonitoringUser),
		}}
	}},
	"UserService.ImportUsers": {make: func(w *world, _ *tenant) proto.Message {
		return &identityv1.ImportUsersRequest{Data: []byte("email,first_name,last_name,roles\n" + w.Draft().GetEmail() + ",Ida,Import,Monitoring User\n")}
	}},
	"UserService.ListUsers": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.ListUsersRequest{
			Filter:  &identityv1.ListUsersRequest_Filter{Name: new("grace"), Email: new("user"), EmailExact: new(a.user.GetEmail()), RoleId: new(servicetest.MonitoringUser)},
			OrderBy: "email", WithSummary: true,
		}
	}},
	"UserService.ResendPhoneCode": {own: true, make: func(w *world, a *tenant) proto.Message {
		v := w.verify(a.Admin.Token, "", a.user.GetId(), newNumber())
		w.sql(fmt.Sprintf(`UPDATE phone_verifications SET send_time = send_time - 30000000 WHERE id = '%s'`, v.GetId()))
		return &identityv1.ResendPhoneCodeRequest{Id: v.GetId()}
	}},
	"UserService.StartPhoneVerification": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.StartPhoneVerificationRequest{UserId: a.user.GetId(), Phone: newNumber()}
	}},
	"UserService.SendActivation": {make: func(w *world, a *tenant) proto.Message {
		return &identityv1.SendActivationRequest{Id: w.invite(a).GetId()}
	}},
	"UserService.UndeleteUser": {make: func(w *world, a *tenant) proto.Message {
		u := w.CreateUser(a.GetId())
		if _, err := w.Users.DeleteUser(w.As(a.Admin.Token), &identityv1.DeleteUserRequest{Id: u.GetId()}); err != nil {
			w.T.Error(err)
		}
		return &identityv1.UndeleteUserRequest{Id: u.GetId()}
	}},
	"UserService.UnlockUser": {make: func(_ *world, a *tenant) proto.Message { return &identityv1.UnlockUserRequest{Id: a.user.GetId()} }},
	"UserService.UpdateUser": {make: func(_ *world, a *tenant) proto.Message {
		return &identityv1.UpdateUserRequest{
			User:       &identityv1.User{Id: a.user.GetId(), FirstName: ptr("Gracie"), RoleIds: a.roles(), PermissionKeys: []string{"agents.read"}},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"first_name", "role_ids", "permission_keys"}},
		}
	}},
}

// requestOf is the request of the table for a method.
func requestOf(t testing.TB, name string) request {
	t.Helper()
	r, ok := requests[name]
	if !ok {
		t.Fatalf("requests_test.go has no request for %s: add one, and every test that is made from the contract covers it", name)
	}
	return r
}

// TestRequests: the table has a request for every method, and it works.
func TestRequests(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		for _, d := range rpcs() {
			t.Run(rpcName(d), func(t *testing.T) {
				r := requestOf(t, rpcName(d))
				if _, err := call(w.As(r.as(w, a)), w.Conn, d, r.make(w, a)); err != nil {
					t.Error(err)
				}
			})
		}
		if len(requests) != len(rpcs()) {
			t.Errorf("%d requests for %d methods", len(requests), len(rpcs()))
		}
	})
}
