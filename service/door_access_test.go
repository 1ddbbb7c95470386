package service_test

import (
	"os"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// publicMethods are the methods that anybody may call. Opening another one is
// a decision, so it has to be written down here too.
var publicMethods = []string{
	"ServiceAccountService.IssueToken", "SessionService.ChangePassword", "SessionService.Refresh", "SessionService.SignIn", "UserService.ActivateUser",
}

// commented is the contract with its comments.
func commented(t *testing.T) *protoregistry.Files {
	t.Helper()
	text := must[[]byte](t)(os.ReadFile("../gen/descriptors.binpb"))
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(text, set); err != nil {
		t.Fatal(err)
	}
	return must[*protoregistry.Files](t)(protodesc.FileOptions{AllowUnresolvable: true}.NewFiles(set))
}

func comment(t *testing.T, files *protoregistry.Files, name protoreflect.FullName) string {
	t.Helper()
	d, err := files.FindDescriptorByName(name)
	if err != nil {
		t.Errorf("gen/descriptors.binpb is not of this contract: %v", err)
		return ""
	}
	return strings.TrimSpace(d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments)
}

func TestContract_AC01(t *testing.T) {
	files := commented(t)
	var public []string
	for _, d := range rpcs() {
		t.Run(rpcName(d), func(t *testing.T) {
			access := accessOf(d)
			if access.GetRule() == nil {
				t.Error("declares no access")
			}
			if access.GetPublic() {
				public = append(public, rpcName(d))
			}
			if rule, _ := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule); rule.GetPattern() == nil {
				t.Error("declares no HTTP path")
			}
			if comment(t, files, d.FullName()) == "" {
				t.Error("has no comment")
			}
			for i := range d.Input().Fields().Len() {
				if f := d.Input().Fields().Get(i); comment(t, files, f.FullName()) == "" {
					t.Errorf("%s has no comment", f.FullName())
				}
			}
			for _, p := range texts(d.Input()) {
				if p.last().ParentFile().Package() != contractPackage { // the update mask
					continue
				}
				if comment(t, files, p.last().FullName()) == "" {
					t.Errorf("%s has no comment", p)
				}
				if !p.behaves(annotations.FieldBehavior_OUTPUT_ONLY) && !bounded(p) {
					t.Errorf("the length of %s is not bounded", p)
				}
			}
		})
	}
	if !slices.Equal(public, publicMethods) {
		t.Errorf("public methods are %v, want %v", public, publicMethods)
	}
}

// bounded tells whether the rules of a text, or of a list of texts, bound it.
func bounded(p path) bool {
	if p.last().IsList() {
		list := p.rules().GetRepeated()
		return list.HasMaxItems() && boundedText(list.GetItems().GetString())
	}
	return boundedText(p.rules().GetString())
}

func boundedText(rules *validate.StringRules) bool {
	return rules != nil && (rules.HasMaxLen() || rules.HasMaxBytes() || rules.HasLen() || rules.HasLenBytes() || rules.HasConst() ||
		len(rules.GetIn()) > 0 || rules.GetUuid() || rules.GetIpPrefix() || rules.GetIp() ||
		(rules.HasPattern() && finite(rules.GetPattern())))
}

// finite tells whether a pattern matches texts of bounded length only.
func finite(pattern string) bool {
	re, err := syntax.Parse(pattern, syntax.Perl)
	return err == nil && strings.HasPrefix(pattern, "^") && strings.HasSuffix(pattern, "$") && finiteTree(re)
}

func finiteTree(re *syntax.Regexp) bool {
	if re.Op == syntax.OpStar || re.Op == syntax.OpPlus || (re.Op == syntax.OpRepeat && re.Max < 0) {
		return false
	}
	return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !finiteTree(sub) })
}

// permissionsIn are the permissions that an access option names.
func permissionsIn(a *identityv1.Access) (keys []string) {
	keys = append(keys, a.GetPermission(), a.GetSelfOr().GetPermission(), a.GetAcross())
	keys = append(keys, a.GetAnyOf().GetPermissions()...)
	return slices.DeleteFunc(keys, func(key string) bool { return key == "" })
}

func catalogueOf(t testing.TB, w *servicetest.World) (keys []string) {
	t.Helper()
	list, err := w.Roles.ListPermissions(w.As(w.Root), &identityv1.ListPermissionsRequest{PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list.GetPermissions() {
		keys = append(keys, p.GetKey())
	}
	return keys
}

func TestPermissionsExist_AC01(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		keys := catalogueOf(t, w)
		for _, d := range rpcs() {
			for _, key := range permissionsIn(accessOf(d)) {
				if !slices.Contains(keys, key) {
					t.Errorf("%s wants %s, which is not in the catalogue", rpcName(d), key)
				}
			}
		}
	})
}

// holder makes a signed-in user of the platform with exactly these permissions.
func holder(t testing.TB, w *servicetest.World, org string, keys ...string) servicetest.Person {
	t.Helper()
	draft := w.Draft()
	draft.RoleIds, draft.PermissionKeys = nil, keys
	u, err := w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{OrganizationId: org, User: draft})
	if err != nil {
		t.Fatal(err)
	}
	return servicetest.Person{User: u, Password: servicetest.RootPassword, Token: w.SignIn(u.GetEmail(), servicetest.RootPassword)}
}

// TestDenied_AC01: who holds everything but what a method wants is refused,
// whatever the request says.
func TestDenied_AC01(t *testing.T) {
	w := servicetest.SQLite(t)
	all := catalogueOf(t, w)
	for _, d := range rpcs() {
		lacking := permissionsIn(accessOf(d))
		ruleDecides := accessOf(d).GetSelfOr() != nil && accessOf(d).GetSelfOr().GetField() == "" // TestHoldRule_AC07, TestRevokeToken, TestBatchCheck
		if len(lacking) == 0 || ruleDecides {
			continue
		}
		t.Run(rpcName(d), func(t *testing.T) {
			p := holder(t, w, "", slices.DeleteFunc(slices.Clone(all), func(key string) bool { return slices.Contains(lacking, key) })...)
			req := newMessage(d.Input())
			if field := accessOf(d).GetSelfOr().GetField(); field != "" {
				m := req.ProtoReflect()
				m.Set(m.Descriptor().Fields().ByName(protoreflect.Name(field)), protoreflect.ValueOfString(randomID()))
			}
			_, err := call(w.As(p.Token), w.Conn, d, req)
			servicetest.Refused(t, err, codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED)
			found := infos(err)
			if len(found) != 1 {
				t.Fatalf("%d ErrorInfos", len(found))
			}
			info := found[0].GetMetadata()
			for _, key := range lacking {
				if key != accessOf(d).GetAcross() && !strings.Contains(info["permission"], key) {
					t.Errorf("permission %q does not name %s", info["permission"], key)
				}
			}
			if info["principal"] != p.GetId() || info["organization"] != p.GetOrganizationId() || len(info) != 3 {
				t.Errorf("metadata %v", info)
			}
		})
	}
}

// TestAnonymous_AC01: nothing but the public methods answers without a token
// that is accepted.
func TestAnonymous_AC01(t *testing.T) {
	w := servicetest.SQLite(t)
	machine := w.NewMachine(w.Root, "", servicetest.MonitoringUser)
	for _, row := range []struct {
		name    string
		headers []string
		code    codes.Code
		reason  identityv1.Error_Reason
	}{
		{"no token", nil, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID},
		{"empty header", []string{""}, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID},
		{"garbage", []string{"Bearer garbage"}, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID},
		{"only the scheme", []string{"Bearer"}, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID},
		{"a token without scheme", []string{w.Root}, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID},
		{"another scheme", []string{"Basic " + w.Root}, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID},
		{"a cut token", []string{"Bearer " + w.Root[:len(w.Root)-4]}, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID},
		{"a secret", []string{"Bearer " + machine.Secret}, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID},
		{"a refresh token", []string{"Bearer " + w.Tokens(servicetest.RootEmail, servicetest.RootPassword).GetRefreshToken()}, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID},
		{"two tokens", []string{"Bearer " + w.Root, "Bearer " + w.Root}, codes.InvalidArgument, identityv1.Error_MALFORMED_REQUEST},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx := t.Context()
			for _, value := range row.headers {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
			}
			for _, d := range rpcs() {
				_, err := call(ctx, w.Conn, d, newMessage(d.Input()))
				if slices.Contains(publicMethods, rpcName(d)) {
					if status.Code(err) != codes.InvalidArgument || servicetest.Reason(err) != identityv1.Error_INVALID_FIELDS.String() {
						t.Errorf("%s: %v, want the complaint about its empty fields", rpcName(d), err)
					}
					continue
				}
				if status.Code(err) != row.code || servicetest.Reason(err) != row.reason.String() || len(infos(err)) != 1 {
					t.Errorf("%s: %v %s", rpcName(d), err, servicetest.Reason(err))
				}
			}
		})
	}
}

// TestUnknownMethod_AC01: what is not in the contract is not there.
func TestUnknownMethod_AC01(t *testing.T) {
	w := servicetest.SQLite(t)
	for _, name := range []string{
		"/bizmetry.identity.v1.UserService/DropUsers", "/bizmetry.identity.v1.AdminService/GetUser", "/bizmetry.identity.v2.UserService/GetUser",
	} {
		t.Run(name, func(t *testing.T) {
			err := w.Conn.Invoke(w.As(w.Root), name, &identityv1.GetMeRequest{}, &identityv1.GetMeResponse{})
			servicetest.Refused(t, err, codes.Unimplemented, identityv1.Error_UNKNOWN_METHOD)
		})
	}
}
