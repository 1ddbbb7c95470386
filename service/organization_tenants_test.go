package service_test

import (
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

func setText(req proto.Message, field protoreflect.Name, text string) proto.Message {
	req = proto.Clone(req)
	req.ProtoReflect().Set(req.ProtoReflect().Descriptor().Fields().ByName(field), protoreflect.ValueOfString(text))
	return req
}

// TestTenants_AC04: nothing of one organization shows in another one's lists,
// counts, filters, page tokens and request ids.
func TestTenants_AC04(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.newTenant(), w.newTenant()
		w.NewMachine(b.Admin.Token, "", servicetest.MonitoringUser)
		w.CreateUser(b.GetId())
		in := w.As(a.Admin.Token)
		users := func(t *testing.T, f *identityv1.ListUsersRequest_Filter) *identityv1.ListUsersResponse {
			return must[*identityv1.ListUsersResponse](t)(w.Users.ListUsers(in, &identityv1.ListUsersRequest{Filter: f, WithSummary: true}))
		}
		for _, row := range []struct {
			name   string
			filter *identityv1.ListUsersRequest_Filter
			want   int32
		}{
			{"everybody", nil, 2},
			{"everybody, by an empty filter", &identityv1.ListUsersRequest_Filter{}, 2},
			{"by the name that all have", &identityv1.ListUsersRequest_Filter{Name: new("grace")}, 1},
			{"by the foreign address", &identityv1.ListUsersRequest_Filter{Email: new(b.user.GetEmail())}, 0},
			{"by the whole foreign address", &identityv1.ListUsersRequest_Filter{EmailExact: new(b.user.GetEmail())}, 0},
			{"by a part of all addresses", &identityv1.ListUsersRequest_Filter{Email: new("people.test")}, 1},
			{"by a role that others have too", &identityv1.ListUsersRequest_Filter{RoleId: new(servicetest.MonitoringUser)}, 1},
			{"by state", &identityv1.ListUsersRequest_Filter{State: identityv1.User_ACTIVE}, 2},
		} {
			t.Run("users "+row.name, func(t *testing.T) {
				list := users(t, row.filter)
				if list.GetTotalSize() != row.want || list.GetSummary().GetTotal() != row.want || len(list.GetUsers()) != int(row.want) {
					t.Errorf("total %d, summary %v, %d users, want %d", list.GetTotalSize(), list.GetSummary(), len(list.GetUsers()), row.want)
				}
				for _, u := range list.GetUsers() {
					if u.GetOrganizationId() != a.GetId() {
						t.Errorf("%s is of another organization", u.GetId())
					}
				}
			})
		}
		for _, row := range []struct {
			name   string
			filter *identityv1.ListServiceAccountsRequest_Filter
			want   int32
		}{
			{"all", nil, 1},
			{"by the name that all have", &identityv1.ListServiceAccountsRequest_Filter{Name: new("agent")}, 1},
			{"by the parent type that all have", &identityv1.ListServiceAccountsRequest_Filter{ParentType: new("agent")}, 1},
			{"by the foreign parent", &identityv1.ListServiceAccountsRequest_Filter{ParentType: new("agent"), ParentId: new(b.machine.GetParentId())}, 0},
		} {
			t.Run("service accounts "+row.name, func(t *testing.T) {
				list := must[*identityv1.ListServiceAccountsResponse](t)(w.Accounts.ListServiceAccounts(in,
					&identityv1.ListServiceAccountsRequest{Filter: row.filter, WithSummary: true}))
				if list.GetTotalSize() != row.want || list.GetSummary().GetTotal() != row.want || len(list.GetServiceAccounts()) != int(row.want) {
					t.Errorf("%v, want %d", list, row.want)
				}
			})
		}
		t.Run("users in any order, by pages and by number", func(t *testing.T) {
			for _, order := range []string{"email", "email desc", "display_name", "display_name desc", "create_time", "create_time desc"} {
				req := &identityv1.ListUsersRequest{OrderBy: order}
				got := w.pages(t, a.Admin.Token, rpc(t, "UserService.ListUsers"), req, 1, nil)
				req.Skip = 1
				got = append(got, w.page(t, a.Admin.Token, rpc(t, "UserService.ListUsers"), req).rows...)
				if want := []string{a.Admin.GetId(), a.user.GetId()}; len(got) != 3 || !slices.Contains(want, got[0]) || !slices.Contains(want, got[1]) || got[2] != got[1] {
					t.Errorf("%s: %v, want %v", order, got, want)
				}
			}
		})
		t.Run("events", func(t *testing.T) {
			list := must[*identityv1.ListEventsResponse](t)(w.Events.ListEvents(in, &identityv1.ListEventsRequest{PageSize: 1000}))
			for _, e := range list.GetEvents() {
				if e.GetOrganizationId() != a.GetId() || e.GetTargetId() == b.user.GetId() {
					t.Errorf("event %v", e)
				}
			}
			if int(list.GetTotalSize()) != len(list.GetEvents()) {
				t.Errorf("total %d of %d", list.GetTotalSize(), len(list.GetEvents()))
			}
		})
		t.Run("roles", func(t *testing.T) {
			list := must[*identityv1.ListRolesResponse](t)(w.Roles.ListRoles(in, &identityv1.ListRolesRequest{PageSize: 1000}))
			for _, r := range list.GetRoles() {
				if r.GetId() == b.role || (r.GetOrganizationId() != "" && r.GetOrganizationId() != a.GetId()) {
					t.Errorf("role %v", r)
				}
			}
			if int(list.GetTotalSize()) != len(list.GetRoles()) {
				t.Errorf("total %d of %d", list.GetTotalSize(), len(list.GetRoles()))
			}
		})
		t.Run("introspection", func(t *testing.T) {
			other := answerOf(w.Accounts.IntrospectToken(in, &identityv1.IntrospectTokenRequest{Token: b.user.Token}))
			garbage := answerOf(w.Accounts.IntrospectToken(in, &identityv1.IntrospectTokenRequest{Token: "garbage"}))
			if other != garbage {
				t.Error("a foreign token is told from garbage")
			}
		})
		t.Run("page token", func(t *testing.T) {
			first := must[*identityv1.ListUsersResponse](t)(w.Users.ListUsers(w.As(b.Admin.Token), &identityv1.ListUsersRequest{PageSize: 1}))
			_, err := w.Users.ListUsers(in, &identityv1.ListUsersRequest{PageSize: 1, PageToken: first.GetNextPageToken()})
			servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_PAGE_TOKEN_INVALID)
		})
		t.Run("parent", func(t *testing.T) {
			machine := func(org *tenant) error {
				_, err := w.Accounts.CreateServiceAccount(w.As(org.Admin.Token), &identityv1.CreateServiceAccountRequest{ServiceAccount: &identityv1.ServiceAccount{
					DisplayName: ptr("twin"), ParentType: b.machine.ParentType, ParentId: b.machine.ParentId,
				}})
				return err
			}
			if err := machine(a); err != nil {
				t.Errorf("a parent that another organization has: %v", err)
			}
			servicetest.Refused(t, machine(b), codes.AlreadyExists, identityv1.Error_PARENT_TAKEN)
		})
		for name, create := range map[string]func(ctx *tenant, email string) (string, error){
			"request id in the field": func(org *tenant, email string) (string, error) {
				u, err := w.Users.CreateUser(w.As(org.Admin.Token), &identityv1.CreateUserRequest{RequestId: "same", User: w.pending(email)})
				return u.GetOrganizationId(), err
			},
			"request id in the header": func(org *tenant, email string) (string, error) {
				ctx := metadata.AppendToOutgoingContext(w.As(org.Admin.Token), "idempotency-key", "same header")
				u, err := w.Users.CreateUser(ctx, &identityv1.CreateUserRequest{User: w.pending(email)})
				return u.GetOrganizationId(), err
			},
		} {
			t.Run(name, func(t *testing.T) {
				for _, org := range []*tenant{a, b} { // the same content too: a pending address may be in both
					got, err := create(org, "shared-"+name[len(name)-5:]+"@people.test")
					if err != nil || got != org.GetId() {
						t.Errorf("the answer is of organization %s, %v", got, err)
					}
				}
			})
		}
	})
}

func (w *world) pending(email string) *identityv1.User {
	return &identityv1.User{
		Email: &email, FirstName: ptr("Pat"), LastName: ptr("Pending"), RoleIds: []string{servicetest.MonitoringUser},
	}
}

// TestAct_AC02: the platform's operator, who may act in customers, can do there
// what its own permissions allow, and leaves its name.
func TestAct_AC02(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.newTenant(), w.newTenant()
		root := must[*identityv1.GetMeResponse](t)(w.Users.GetMe(w.As(w.Root), &identityv1.GetMeRequest{})).GetUser()
		platform := func() int32 {
			return must[*identityv1.ListEventsResponse](t)(w.Events.ListEvents(w.As(w.Root), &identityv1.ListEventsRequest{})).GetTotalSize()
		}
		others := b.snapshot(t, w)
		for _, d := range rpcs() {
			if d.Input().Fields().ByName("organization_id") == nil {
				continue
			}
			t.Run(rpcName(d), func(t *testing.T) {
				r := requestOf(t, rpcName(d))
				valid := r.make(w, a)
				before, here, all := platform(), a.lastEvent(t, w).GetSequence(), w.events(t)
				_, err := call(w.As(w.Root), w.Conn, d, setText(valid, "organization_id", a.GetId()))
				if r.own {
					servicetest.Refused(t, err, codes.NotFound, identityv1.Error_NOT_FOUND)
					return
				}
				noError(t, err)
				if platform() != before {
					t.Error("the event is in the trail of the platform")
				}
				last := a.lastEvent(t, w)
				if w.events(t) == all {
					return // it only read, or there was nothing to do
				}
				if last.GetSequence() == here || last.GetActor().GetId() != root.GetId() || last.GetActor().GetOrganizationId() != root.GetOrganizationId() {
					t.Errorf("event %v, want one of %s of %s", last, root.GetId(), root.GetOrganizationId())
				}
			})
		}
		if b.snapshot(t, w) != others {
			t.Error("the other organization is not what it was")
		}
		t.Run("page token of one organization in another", func(t *testing.T) {
			first := must[*identityv1.ListUsersResponse](t)(w.Users.ListUsers(w.As(w.Root), &identityv1.ListUsersRequest{OrganizationId: a.GetId(), PageSize: 1}))
			_, err := w.Users.ListUsers(w.As(w.Root), &identityv1.ListUsersRequest{OrganizationId: b.GetId(), PageSize: 1, PageToken: first.GetNextPageToken()})
			servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_PAGE_TOKEN_INVALID)
		})
		t.Run("an id of one organization in another", func(t *testing.T) {
			_, err := w.Users.GetUser(w.As(w.Root), &identityv1.GetUserRequest{OrganizationId: b.GetId(), Id: a.user.GetId()})
			servicetest.Refused(t, err, codes.NotFound, identityv1.Error_NOT_FOUND)
		})
		t.Run("act alone allows nothing", func(t *testing.T) {
			only := holder(t, w.World, "", "system.organizations.act")
			_, err := w.Users.GetUser(w.As(only.Token), &identityv1.GetUserRequest{OrganizationId: b.GetId(), Id: b.user.GetId()})
			servicetest.Refused(t, err, codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED)
		})
		t.Run("a customer's own events name no organization", func(t *testing.T) {
			must[*identityv1.User](t)(w.Users.DisableUser(w.As(b.Admin.Token), &identityv1.DisableUserRequest{Id: b.user.GetId()}))
			if actor := b.lastEvent(t, w).GetActor(); actor.GetId() != b.Admin.GetId() || actor.GetOrganizationId() != "" || actor.GetCredentialId() == "" {
				t.Errorf("actor %v", actor)
			}
		})
	})
}

func (a *tenant) lastEvent(t testing.TB, w *world) *identityv1.Event {
	t.Helper()
	list := must[*identityv1.ListEventsResponse](t)(w.Events.ListEvents(w.As(w.Root), &identityv1.ListEventsRequest{OrganizationId: a.GetId(), PageSize: 1}))
	return list.GetEvents()[0]
}

// TestOrganizationRequired_AC02: a machine of the platform with any system
// permission has to name the organization, but for calls about itself or a token.
func TestOrganizationRequired_AC02(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		all := catalogueOf(t, w.World)
		account := func(keys ...string) servicetest.Machine {
			m := w.NewMachine(w.Root, "")
			must[*identityv1.Grants](t)(w.Roles.GrantRoles(w.As(w.Root), &identityv1.GrantRolesRequest{Id: m.GetId(), PermissionKeys: keys}))
			return m
		}
		everything := account(all...)
		ordinary := slices.DeleteFunc(slices.Clone(all), func(key string) bool { return len(key) > 7 && key[:7] == "system." })
		tokens := map[string]string{
			"all":                       w.Token(everything, ""),
			"one system permission":     w.Token(account(append(slices.Clone(ordinary), "system.permissions.write")...), ""),
			"scoped to others than its": w.Token(everything, "platform.users.read platform.users.write platform.roles.read platform.serviceaccounts.read platform.serviceaccounts.write platform.events.read platform.access.check platform.tokens.write"),
		}
		for name, token := range tokens {
			me := must[*identityv1.GetMeResponse](t)(w.Users.GetMe(w.As(token), &identityv1.GetMeRequest{})).GetServiceAccount()
			for _, d := range rpcs() {
				if d.Input().Fields().ByName("organization_id") == nil {
					continue
				}
				_, err := call(w.As(token), w.Conn, d, requestOf(t, rpcName(d)).make(w, a))
				if status.Code(err) != codes.InvalidArgument || servicetest.Reason(err) != identityv1.Error_ORGANIZATION_REQUIRED.String() {
					t.Errorf("%s as %s: %v", rpcName(d), name, err)
				}
			}
			for about, self := range map[string]string{"empty": "", "by id": me.GetId()} {
				_, err := w.Roles.CheckPermission(w.As(token), &identityv1.CheckPermissionRequest{PrincipalId: self, Permission: "agents.read"})
				if err != nil {
					t.Errorf("about itself, %s, as %s: %v", about, name, err)
				}
			}
			if _, err := w.Accounts.IntrospectToken(w.As(token), &identityv1.IntrospectTokenRequest{Token: token}); err != nil {
				t.Errorf("introspection as %s: %v", name, err)
			}
			if _, err := w.Users.ListUsers(w.As(token), &identityv1.ListUsersRequest{OrganizationId: me.GetOrganizationId()}); err != nil {
				t.Errorf("its own organization, named, as %s: %v", name, err)
			}
		}
		if _, err := w.Users.ListUsers(w.As(tokens["all"]), &identityv1.ListUsersRequest{OrganizationId: a.GetId()}); err != nil {
			t.Errorf("a customer, named: %v", err)
		}
		if _, err := w.Users.ListUsers(w.As(w.Token(account(ordinary...), "")), &identityv1.ListUsersRequest{}); err != nil {
			t.Errorf("a machine of the platform without system permissions: %v", err)
		}
		if _, err := w.Users.ListUsers(w.As(w.Root), &identityv1.ListUsersRequest{}); err != nil {
			t.Errorf("a person with system permissions: %v", err)
		}
	})
}
