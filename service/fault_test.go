package service_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store/storetest"
)

// everyCall is one request for every method that would succeed, by its name.
func everyCall(t *testing.T, w *servicetest.World) map[string]proto.Message {
	t.Helper()
	org := w.NewOrg()
	m := w.NewMachine(w.Root, org.GetId(), servicetest.Agent)
	u := w.CreateUser(org.GetId())
	tokens := w.Tokens(org.Admin.GetEmail(), org.Admin.Password)
	id, account := u.GetId(), m.GetId()
	return map[string]proto.Message{
		"SignIn":                &identityv1.SignInRequest{Email: org.Admin.GetEmail(), Password: org.Admin.Password},
		"ChangePassword":        &identityv1.ChangePasswordRequest{Token: dueChange(t, w, u.GetEmail()), NewPassword: servicetest.RootPassword},
		"CheckPassword":         &identityv1.CheckPasswordRequest{OrganizationId: org.GetId(), Password: servicetest.RootPassword},
		"GeneratePassword":      &identityv1.GeneratePasswordRequest{OrganizationId: org.GetId()},
		"UpdateOrganization":    &identityv1.UpdateOrganizationRequest{Organization: &identityv1.Organization{Id: org.GetId(), DisplayName: ptr("Faulty")}},
		"Refresh":               &identityv1.RefreshRequest{RefreshToken: tokens.GetRefreshToken()},
		"SignOut":               &identityv1.SignOutRequest{Id: tokens.GetSessionId(), OrganizationId: org.GetId()},
		"CreateUser":            &identityv1.CreateUserRequest{OrganizationId: org.GetId(), User: w.Draft(), RequestId: "fault"},
		"GetUser":               &identityv1.GetUserRequest{OrganizationId: org.GetId(), Id: id},
		"ListUsers":             &identityv1.ListUsersRequest{OrganizationId: org.GetId(), WithSummary: true},
		"UpdateUser":            &identityv1.UpdateUserRequest{OrganizationId: org.GetId(), User: &identityv1.User{Id: id, FirstName: ptr("Eve")}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"first_name"}}},
		"DisableUser":           &identityv1.DisableUserRequest{OrganizationId: org.GetId(), Id: id},
		"EnableUser":            &identityv1.EnableUserRequest{OrganizationId: org.GetId(), Id: id},
		"DeleteUser":            &identityv1.DeleteUserRequest{OrganizationId: org.GetId(), Id: id},
		"GetMe":                 &identityv1.GetMeRequest{},
		"ListRoles":             &identityv1.ListRolesRequest{OrganizationId: org.GetId()},
		"GetRole":               &identityv1.GetRoleRequest{OrganizationId: org.GetId(), Id: servicetest.Owner},
		"ListPermissions":       &identityv1.ListPermissionsRequest{OrganizationId: org.GetId()},
		"GrantRoles":            &identityv1.GrantRolesRequest{OrganizationId: org.GetId(), Id: account, RoleIds: []string{servicetest.DevOps}},
		"RevokeRoles":           &identityv1.RevokeRolesRequest{OrganizationId: org.GetId(), Id: account, RoleIds: []string{servicetest.DevOps}},
		"CheckPermission":       &identityv1.CheckPermissionRequest{OrganizationId: org.GetId(), PrincipalId: org.Admin.GetId(), Permission: administer},
		"Authorize":             &identityv1.AuthorizeRequest{OrganizationId: org.GetId(), AccessToken: tokens.GetAccessToken(), Permission: administer},
		"BatchCheckPermissions": &identityv1.BatchCheckPermissionsRequest{OrganizationId: org.GetId(), Checks: []*identityv1.BatchCheckPermissionsRequest_Check{{PrincipalId: org.Admin.GetId(), Permission: administer}}},
		"RevokeToken":           &identityv1.RevokeTokenRequest{Token: w.Tokens(servicetest.RootEmail, servicetest.RootPassword).GetRefreshToken()},
		"RevokeTokens":          &identityv1.RevokeTokensRequest{OrganizationId: org.GetId(), Id: account},
		"CreateServiceAccount":  &identityv1.CreateServiceAccountRequest{OrganizationId: org.GetId(), ServiceAccount: &identityv1.ServiceAccount{DisplayName: ptr("A"), RoleIds: []string{servicetest.Agent}}},
		"GetServiceAccount":     &identityv1.GetServiceAccountRequest{OrganizationId: org.GetId(), Id: account},
		"ListServiceAccounts":   &identityv1.ListServiceAccountsRequest{OrganizationId: org.GetId()},
		"DisableServiceAccount": &identityv1.DisableServiceAccountRequest{OrganizationId: org.GetId(), Id: account},
		"EnableServiceAccount":  &identityv1.EnableServiceAccountRequest{OrganizationId: org.GetId(), Id: account},
		"DeleteServiceAccount":  &identityv1.DeleteServiceAccountRequest{OrganizationId: org.GetId(), Id: account},
		"CreateCredential":      &identityv1.CreateCredentialRequest{OrganizationId: org.GetId(), ServiceAccountId: account},
		"ListCredentials":       &identityv1.ListCredentialsRequest{OrganizationId: org.GetId(), ServiceAccountId: account},
		"DeleteCredential":      &identityv1.DeleteCredentialRequest{OrganizationId: org.GetId(), ServiceAccountId: account, Id: m.Credential},
		"IssueToken":            &identityv1.IssueTokenRequest{ClientId: account, ClientSecret: m.Secret},
		"IntrospectToken":       &identityv1.IntrospectTokenRequest{Token: w.Token(m, "")},
		"CreateOrganization":    &identityv1.CreateOrganizationRequest{Organization: &identityv1.Organization{DisplayName: ptr("Fault")}, Administrator: w.Draft(servicetest.SuperUser)},
		"GetOrganization":       &identityv1.GetOrganizationRequest{Id: org.GetId()},
		"ListEvents":            &identityv1.ListEventsRequest{OrganizationId: org.GetId()},
	}
}

// methods are those of the contract, by full name.
func methods(t *testing.T) map[string]protoreflect.MethodDescriptor {
	t.Helper()
	found := map[string]protoreflect.MethodDescriptor{}
	protoregistry.GlobalFiles.RangeFilesByPackage("bizmetry.identity.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				found["/"+string(s.FullName())+"/"+string(m.Name())] = m
			}
		}
		return true
	})
	return found
}

// invoke calls a method by its descriptor.
func invoke(ctx context.Context, t *testing.T, w *servicetest.World, name string, m protoreflect.MethodDescriptor, req proto.Message, options ...grpc.CallOption) error {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
	noError(t, err)
	return w.Conn.Invoke(ctx, name, req, kind.New().Interface(), options...)
}

// oneReason fails unless an error has the code and exactly one ErrorInfo.
func oneReason(t *testing.T, what string, err error, code codes.Code, reason string) {
	t.Helper()
	infos := 0
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == service.Domain {
			infos++
		}
	}
	if status.Code(err) != code || servicetest.Reason(err) != reason || infos != 1 {
		t.Errorf("%s: %v %s with %d ErrorInfo, want %v %s", what, err, servicetest.Reason(err), infos, code, reason)
	}
}

// With the database away every method says so, none allows anything and none
// is at fault; when it is back, everything goes on.
func TestFaults_LG06_DatabaseAway(t *testing.T) {
	cluster, err := storetest.StartCluster(t.Context())
	noError(t, err)
	t.Cleanup(cluster.Stop)
	noError(t, cluster.Create(t.Context(), "identity", ""))
	lite := storetest.SQLite(t)
	for database, row := range map[string]struct {
		url  string
		away func(*servicetest.World)
		back func()
	}{
		"postgres killed": {cluster.URL("identity"), func(*servicetest.World) { cluster.Kill() }, func() { noError(t, cluster.Restart(t.Context())) }},
		"store closed":    {lite, func(w *servicetest.World) { noError(t, w.Store.Close()) }, nil},
	} {
		t.Run(database, func(t *testing.T) {
			book := &logBook{}
			w := servicetest.New(t, row.url, func(c *service.Config) { c.Log, c.StalenessBudget = book.logger(), time.Nanosecond })
			calls, names := everyCall(t, w), methods(t)
			if len(calls) != len(names) {
				t.Errorf("%d requests for %d methods", len(calls), len(names))
			}
			row.away(w)
			time.Sleep(1100 * time.Millisecond) // then memory is not believed without the database: the budget is none
			for name, m := range names {
				req := calls[string(m.Name())]
				if req == nil {
					t.Errorf("no request for %s", name)
					continue
				}
				oneReason(t, name, invoke(w.As(w.Root), t, w, name, m, req), codes.Unavailable, "UNAVAILABLE")
			}
			if text := book.String(); strings.Contains(text, `"level":"ERROR"`) {
				t.Errorf("the log takes it for our fault: %.2000s", text[strings.Index(text, `"level":"ERROR"`):])
			}
			if row.back == nil {
				return
			}
			row.back()
			for _, name := range []string{"GetMe", "SignIn", "CreateUser", "IssueToken", "CheckPermission", "Refresh"} {
				for full, m := range names {
					if string(m.Name()) != name {
						continue
					}
					if err := invoke(w.As(w.Root), t, w, full, m, calls[name]); err != nil {
						t.Errorf("%s after the database came back: %v", name, err)
					}
				}
			}
		})
	}
}

// A panic is one INTERNAL answer; it leaves no lock, and others do not notice.
func TestFaults_LG06_Panic(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		book, random := &logBook{}, &tripwire{from: randomRead}
		w := servicetest.New(t, url, func(c *service.Config) { c.Log, c.Rand = book.logger(), random })
		org := w.NewOrg()
		admin := w.As(org.Admin.Token)
		account := func() (*identityv1.ServiceAccount, error) {
			return w.Accounts.CreateServiceAccount(admin, &identityv1.CreateServiceAccountRequest{
				ServiceAccount: &identityv1.ServiceAccount{DisplayName: ptr("A"), RoleIds: []string{servicetest.Agent}},
			})
		}
		before := stateOf(t, w, org.GetId())
		for range 10 { // more often than there are places in the queue
			random.set(2, func() { panic("in the middle of a change") })
			_, err := account()
			oneReason(t, "panic", err, codes.Internal, "INTERNAL")
			if strings.Contains(err.Error(), "middle") || strings.Contains(err.Error(), ".go:") {
				t.Errorf("the client sees the cause: %v", err)
			}
		}
		if after := stateOf(t, w, org.GetId()); len(after.Events) != len(before.Events) || after.Badges != before.Badges {
			t.Errorf("a panic changed %+v to %+v", before, after)
		}
		if _, err := account(); err != nil {
			t.Errorf("the lock was left held: %v", err)
		}
		if text := book.String(); !strings.Contains(text, "in the middle of a change") || !strings.Contains(text, "service_account.go:") {
			t.Error("the log does not tell where it panicked")
		}
		if n := strings.Count(book.String(), `"code":"Internal"`); n != 10 {
			t.Errorf("%d calls are logged as our fault, want 10", n)
		}

		a, err := account()
		noError(t, err)
		random.size.Store(32)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 20 {
					if _, err := w.Users.GetMe(admin, &identityv1.GetMeRequest{}); err != nil {
						t.Errorf("another call: %v", err)
					}
				}
			})
		}
		for range 10 {
			random.set(1, func() { panic("in the middle of a change") })
			_, err := w.Accounts.CreateCredential(admin, &identityv1.CreateCredentialRequest{ServiceAccountId: a.GetId()})
			oneReason(t, "panic", err, codes.Internal, "INTERNAL")
		}
		wg.Wait()
	})
}

// inChild says that this process is the one that may die.
const inChild = "IDENTITY_TEST_CHILD"

// Not even a panic at the door, before anything is known of a call, ends the
// process. It is tried in a process of its own.
func TestFaults_LG06_PanicAtTheDoor(t *testing.T) {
	if os.Getenv(inChild) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), inChild+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out[:min(len(out), 2000)])
		}
		return
	}
	random := &tripwire{from: randomRead}
	w := servicetest.New(t, storetest.SQLite(t), func(c *service.Config) { c.Rand = random })
	random.set(1, func() { panic("at the door") })
	_, err := w.Users.GetMe(w.As(w.Root), &identityv1.GetMeRequest{})
	oneReason(t, "panic", err, codes.Internal, "INTERNAL")
	if _, err := w.Users.GetMe(w.As(w.Root), &identityv1.GetMeRequest{}); err != nil {
		t.Error(err)
	}
}

// One organization whose lock is held, or that many wait for, is busy; the
// others go on.
func TestFaults_CF01_BusyOrganization(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		busy := w.NewOrg()
		db := secondConnection(t, url)
		tx, err := db.BeginTx(t.Context(), nil)
		noError(t, err)
		_, err = tx.ExecContext(t.Context(), `UPDATE organization_clock SET event_seq = event_seq WHERE organization_id = '`+busy.GetId()+`'`)
		noError(t, err)
		ctx, cancel := context.WithTimeout(w.As(busy.Admin.Token), 12*time.Second)
		defer cancel()
		_, err = w.Users.CreateUser(ctx, &identityv1.CreateUserRequest{User: &identityv1.User{
			Email: ptr("late@busy.test"), FirstName: ptr("A"), LastName: ptr("B"), RoleIds: []string{servicetest.MonitoringUser},
		}})
		oneReason(t, "a change", err, codes.Unavailable, "UNAVAILABLE")
		if _, err := w.Users.ListUsers(w.As(busy.Admin.Token), &identityv1.ListUsersRequest{}); err != nil {
			t.Errorf("a read waits for the lock: %v", err)
		}
		if !strings.HasPrefix(url, "sqlite:") { // SQLite has one lock for all
			w.NewMachine(w.Root, "", servicetest.Agent)
		}
		noError(t, tx.Rollback())
		noError(t, patch(w.As(busy.Admin.Token), w, "", &identityv1.User{Id: busy.Admin.GetId(), FirstName: ptr("Eve")}, "first_name"))
	})
}
