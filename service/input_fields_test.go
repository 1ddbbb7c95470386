package service_test

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// fill sets a field to something that is not its default.
func fill(m protoreflect.Message, f protoreflect.FieldDescriptor) {
	switch {
	case f.IsList() && f.Kind() == protoreflect.MessageKind:
		m.Mutable(f).List().AppendMutable()
	case f.IsList():
		m.Mutable(f).List().Append(protoreflect.ValueOfString(randomID()))
	case f.Kind() == protoreflect.MessageKind:
		m.Mutable(f)
	case f.Kind() == protoreflect.BoolKind:
		m.Set(f, protoreflect.ValueOfBool(true))
	case f.Kind() == protoreflect.EnumKind:
		m.Set(f, protoreflect.ValueOfEnum(1))
	case f.Kind() == protoreflect.Int32Kind:
		m.Set(f, protoreflect.ValueOfInt32(1))
	default:
		m.Set(f, protoreflect.ValueOfString(randomID()))
	}
}

// made lists the fields of a message that only the server sets.
func made(d protoreflect.MessageDescriptor) (fields []protoreflect.FieldDescriptor) {
	for i := range d.Fields().Len() {
		if p := (path{d.Fields().Get(i)}); p.behaves(annotations.FieldBehavior_OUTPUT_ONLY) {
			fields = append(fields, p.last())
		}
	}
	return fields
}

func refusedField(t testing.TB, err error, field string) {
	t.Helper()
	servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS)
	if !slices.Contains(badFields(err), field) {
		t.Errorf("it complains about %v, not %s", badFields(err), field)
	}
}

// TestOutputOnly_AC03: a create passes over what the server sets, and refuses an id.
func TestOutputOnly_AC03(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		for _, d := range rpcs() {
			for i := range d.Input().Fields().Len() {
				resource := d.Input().Fields().Get(i)
				if resource.Kind() != protoreflect.MessageKind || resource.Message().ParentFile().Package() != contractPackage ||
					resource.Name() == "filter" || d.Input().Fields().ByName("update_mask") != nil {
					continue
				}
				request := func(t *testing.T, f protoreflect.FieldDescriptor) (proto.Message, error) {
					r := requestOf(t, rpcName(d))
					req := r.make(w, a)
					fill(req.ProtoReflect().Mutable(resource).Message(), f)
					return call(w.As(r.as(w, a)), w.Conn, d, req)
				}
				for _, f := range made(resource.Message()) {
					t.Run(rpcName(d)+" "+string(resource.Name())+"."+string(f.Name()), func(t *testing.T) {
						if _, err := request(t, f); err != nil {
							t.Error(err)
						}
					})
				}
				if id := resource.Message().Fields().ByName("id"); id != nil && (path{id}).behaves(annotations.FieldBehavior_IDENTIFIER) {
					t.Run(rpcName(d)+" "+string(resource.Name())+".id", func(t *testing.T) {
						_, err := request(t, id)
						refusedField(t, err, string(resource.Name())+".id")
					})
				}
			}
		}
	})
}

// TestMask_AC03: an update changes what callers may change and nothing else,
// however the rest is spelt.
func TestMask_AC03(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		update := func(u *identityv1.User, mask ...string) (*identityv1.User, error) {
			req := &identityv1.UpdateUserRequest{User: u}
			if mask != nil {
				req.UpdateMask = &fieldmaskpb.FieldMask{Paths: mask}
			}
			return w.Users.UpdateUser(w.As(a.Admin.Token), req)
		}
		before := must[*identityv1.User](t)(w.Users.GetUser(w.As(a.Admin.Token), &identityv1.GetUserRequest{Id: a.user.GetId()}))
		passedOver := func(t *testing.T, got *identityv1.User, err error) {
			t.Helper()
			if err != nil || got.GetFirstName() != "Changed" {
				t.Fatalf("got %v, %v", got, err)
			}
			got = must[*identityv1.User](t)(update(&identityv1.User{Id: a.user.GetId(), FirstName: before.FirstName}, "first_name"))
			got.Etag, got.UpdateTime = before.GetEtag(), before.GetUpdateTime()
			if !proto.Equal(got, before) {
				t.Errorf("it was not passed over: %v, before %v", got, before)
			}
		}
		for _, f := range made(before.ProtoReflect().Descriptor()) {
			name := string(f.Name())
			t.Run("in the mask "+name, func(t *testing.T) {
				u := &identityv1.User{Id: a.user.GetId(), FirstName: ptr("Changed")}
				fill(u.ProtoReflect(), f)
				got, err := update(u, "first_name", name)
				passedOver(t, got, err)
			})
			t.Run("without a mask "+name, func(t *testing.T) {
				u := &identityv1.User{Id: a.user.GetId(), FirstName: ptr("Changed")}
				fill(u.ProtoReflect(), f)
				got, err := update(u)
				passedOver(t, got, err)
			})
			t.Run("beside the mask "+name, func(t *testing.T) {
				u := proto.CloneOf(before)
				u.Etag = ""
				fill(u.ProtoReflect(), f)
				got, err := update(u, "first_name")
				got.Etag, got.UpdateTime = before.GetEtag(), before.GetUpdateTime()
				if err != nil || !proto.Equal(got, before) {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
		for _, spelling := range []string{
			"password_hash", "passwordHash", "Password", "user.password", "user.first_name", "firstName", "first_name ", " first_name",
			"organizationId", "roles.id", "roles[0]", "epoch", "version", "email_key", "*", "", "confirmed,enabled", "user", "UserService", "first_name\x00",
		} {
			t.Run("unknown "+spelling, func(t *testing.T) {
				_, err := update(&identityv1.User{Id: a.user.GetId(), FirstName: ptr("Changed"), Password: ptr(servicetest.RootPassword)}, spelling)
				servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS)
				for _, field := range badFields(err) {
					if field != "update_mask" && field != "update_mask.paths" {
						t.Errorf("it complains about %s", field)
					}
				}
			})
		}
		for _, row := range []struct {
			name  string
			user  *identityv1.User
			mask  []string
			field string
		}{
			{"required emptied", &identityv1.User{FirstName: ptr("")}, []string{"first_name"}, "user.first_name"},
			{"required left out", &identityv1.User{}, []string{"last_name"}, "user.last_name"},
			{"e-mail left out", &identityv1.User{}, []string{"email"}, "user.email"},
			{"e-mail of blanks", &identityv1.User{Email: ptr("  ")}, []string{"email"}, "user.email"},
			{"no role left", &identityv1.User{}, []string{"role_ids"}, "user.role_ids"},
		} {
			t.Run(row.name, func(t *testing.T) {
				row.user.Id = a.user.GetId()
				_, err := update(row.user, row.mask...)
				refusedField(t, err, row.field)
			})
		}
		t.Run("no id", func(t *testing.T) {
			_, err := update(&identityv1.User{FirstName: ptr("Changed")}, "first_name")
			refusedField(t, err, "user")
		})
		now := must[*identityv1.User](t)(w.Users.GetUser(w.As(a.Admin.Token), &identityv1.GetUserRequest{Id: a.user.GetId()}))
		current := now.GetEtag()
		now.Etag, now.UpdateTime = before.GetEtag(), before.GetUpdateTime()
		if !proto.Equal(before, now) {
			t.Errorf("refused changes left\n%v of\n%v", now, before)
		}
		t.Run("id and etag in the mask", func(t *testing.T) {
			got, err := update(&identityv1.User{Id: a.user.GetId(), Etag: current, FirstName: ptr("Changed")}, "id", "etag", "first_name")
			if err != nil || got.GetFirstName() != "Changed" || got.GetId() != before.GetId() || got.GetEtag() == current {
				t.Errorf("got %v, %v", got, err)
			}
		})
		t.Run("an old etag in the mask", func(t *testing.T) {
			_, err := update(&identityv1.User{Id: a.user.GetId(), Etag: current, FirstName: ptr("Again")}, "etag", "first_name")
			servicetest.Refused(t, err, codes.Aborted, identityv1.Error_ETAG_MISMATCH)
		})
	})
}

// TestConfirmed_AC03: administrators of the platform set it, in every
// organization that they may act in, and nobody else does.
func TestConfirmed_AC03(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		machine := w.NewMachine(w.Root, "", servicetest.SuperUser)
		editor := holder(t, w.World, "", slices.DeleteFunc(catalogueOf(t, w.World), func(key string) bool { return key == "platform.administer" })...)
		for _, row := range []struct {
			name, token, org string
			may              bool
		}{
			{"administrator of the customer", a.Admin.Token, "", false},
			{"editor of the platform who is no administrator", editor.Token, "", false},
			{"the same in a customer", editor.Token, a.GetId(), false},
			{"administrator of the platform", w.NewPerson("", servicetest.SuperUser).Token, "", true},
			{"operator of the platform in a customer", w.Root, a.GetId(), true},
			{"machine that administers the platform", w.Token(machine, ""), "", true},
			{"the same with a scope", w.Token(machine, "platform.users.write agents.read"), "", false},
		} {
			t.Run(row.name, func(t *testing.T) {
				outcome := func(err error) {
					t.Helper()
					if row.may && err != nil {
						t.Error(err)
					}
					if !row.may {
						servicetest.Refused(t, err, codes.PermissionDenied, identityv1.Error_CONFIRM_NOT_ALLOWED)
					}
				}
				create := func(confirmed *bool) (*identityv1.User, error) {
					draft := w.Draft()
					draft.RoleIds, draft.PermissionKeys, draft.Confirmed = nil, []string{"agents.read"}, confirmed
					return w.Users.CreateUser(w.As(row.token), &identityv1.CreateUserRequest{OrganizationId: row.org, User: draft})
				}
				set := func(id string, confirmed bool) (*identityv1.User, error) {
					return w.Users.UpdateUser(w.As(row.token), &identityv1.UpdateUserRequest{
						OrganizationId: row.org, User: &identityv1.User{Id: id, Confirmed: &confirmed},
					})
				}
				_, err := create(ptr(true))
				outcome(err)
				if _, err = create(ptr(false)); err != nil {
					t.Errorf("created as not confirmed: %v", err)
				}
				u := must[*identityv1.User](t)(create(nil))
				if u.GetConfirmed() || u.GetState() != identityv1.User_PENDING {
					t.Errorf("created %v", u)
				}
				if _, err = set(u.GetId(), false); err != nil {
					t.Errorf("what it is already: %v", err)
				}
				u, err = set(u.GetId(), true)
				outcome(err)
				if row.may != u.GetConfirmed() {
					t.Errorf("updated %v", u)
				}
			})
		}
		t.Run("taken away by the customer", func(t *testing.T) {
			_, err := w.Users.UpdateUser(w.As(a.Admin.Token), &identityv1.UpdateUserRequest{User: &identityv1.User{Id: a.user.GetId(), Confirmed: ptr(false)}})
			servicetest.Refused(t, err, codes.PermissionDenied, identityv1.Error_CONFIRM_NOT_ALLOWED)
		})
		t.Run("organization with a confirmed administrator, by no administrator", func(t *testing.T) {
			_, err := w.Orgs.CreateOrganization(w.As(editor.Token), &identityv1.CreateOrganizationRequest{
				Organization: &identityv1.Organization{DisplayName: ptr("New")}, Administrator: w.Draft(servicetest.SuperUser),
			})
			servicetest.Refused(t, err, codes.PermissionDenied, identityv1.Error_CONFIRM_NOT_ALLOWED)
		})
		t.Run("a new address is not confirmed", func(t *testing.T) {
			u, err := w.Users.UpdateUser(w.As(a.Admin.Token), &identityv1.UpdateUserRequest{User: &identityv1.User{Id: a.user.GetId(), Email: ptr("new@people.test")}})
			if err != nil || u.GetConfirmed() || u.GetState() != identityv1.User_PENDING {
				t.Errorf("got %v, %v", u, err)
			}
		})
	})
}

var (
	secretName = regexp.MustCompile(`hash|digest|passw|sealed|secret|private|cipher|salt|epoch`)
	tokenName  = regexp.MustCompile(`token$`)
	// shown are the fields that show a secret, each because its method makes it.
	shown = []string{
		"CreateCredentialResponse.secret", "IssueTokenResponse.access_token", "Tokens.access_token", "Tokens.refresh_token",
		"PasswordChange.token", "SignInResponse.device_token", "ChangePasswordResponse.device_token", "GeneratePasswordResponse.password",
		// No secrets, though they are called so.
		"SignInResponse.password_change", "Organization.password_policy", "Organization.change_initial_password", "BulkUsersResponse.match_token",
	}
)

// TestSchema_AC03: no answer has a place for a secret but those that make one.
func TestSchema_AC03(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var walk func(d protoreflect.MessageDescriptor)
	walk = func(d protoreflect.MessageDescriptor) {
		if seen[d.FullName()] {
			return
		}
		seen[d.FullName()] = true
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			name := strings.TrimPrefix(string(f.FullName()), contractPackage+".")
			suspicious := secretName.MatchString(string(f.Name())) || (tokenName.MatchString(string(f.Name())) && f.Name() != "next_page_token")
			if suspicious && !slices.Contains(shown, name) && !(path{f}).behaves(annotations.FieldBehavior_INPUT_ONLY) {
				t.Errorf("%s could show a secret", name)
			}
			if f.Kind() == protoreflect.MessageKind {
				walk(f.Message())
			}
		}
	}
	for _, d := range rpcs() {
		walk(d.Output())
	}
}

// TestSecrets_AC03 makes every call and looks for secrets in all answers.
func TestSecrets_AC03(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		secrets := []string{servicetest.RootPassword, servicetest.InitialPassword, a.machine.Secret, "$argon2", "weak-canary"}
		conn := must[*grpc.ClientConn](t)(grpc.NewClient(w.Conn.Target(), grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, resp any, cc *grpc.ClientConn, next grpc.UnaryInvoker, options ...grpc.CallOption) error {
				err := next(ctx, method, req, resp, cc, options...)
				for _, secret := range secrets {
					if strings.Contains(answerOf(resp.(proto.Message), err), secret) {
						t.Errorf("%s answers %q: %v, %v", method, secret, resp, err)
					}
				}
				if u, ok := resp.(*identityv1.User); ok && u.Password != nil {
					t.Errorf("%s has a password", method)
				}
				return err
			})))
		defer conn.Close()
		for _, d := range rpcs() {
			r := requestOf(t, rpcName(d))
			resp, err := call(w.As(r.as(w, a)), conn, d, r.make(w, a))
			if err != nil {
				t.Errorf("%s: %v", rpcName(d), err)
			}
			for _, secret := range secrets { // streams pass no interceptor for calls
				if strings.Contains(answerOf(resp, err), secret) {
					t.Errorf("%s answers %q", rpcName(d), secret)
				}
			}
		}
		users := identityv1.NewUserServiceClient(conn)
		for _, password := range []string{"weak-canary", servicetest.RootPassword, strings.Repeat("weak-canary", 100)} { // the first and the last are refused
			_, err := users.UpdateUser(w.As(a.Admin.Token), &identityv1.UpdateUserRequest{User: &identityv1.User{Id: a.user.GetId(), Password: &password}})
			if (err == nil) != (password == servicetest.RootPassword) {
				t.Error(err)
			}
		}
		if _, err := users.ListUsers(w.As(a.Admin.Token), &identityv1.ListUsersRequest{Filter: &identityv1.ListUsersRequest_Filter{}}); err != nil {
			t.Error(err)
		}
		_, err := identityv1.NewEventServiceClient(conn).ListEvents(w.As(a.Admin.Token), &identityv1.ListEventsRequest{
			PageSize: 1000, Filter: &identityv1.ListEventsRequest_Filter{EndTime: timestamppb.New(w.Clock.Now().AddDate(1, 0, 0))},
		})
		if err != nil {
			t.Error(err)
		}
	})
}
