package door

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/perm"
)

// declared makes a method GetUser with these options.
func declared(t *testing.T, access *identityv1.Access, rule *annotations.HttpRule) protoreflect.MethodDescriptor {
	t.Helper()
	options := &descriptorpb.MethodOptions{}
	if access != nil {
		proto.SetExtension(options, identityv1.E_Access, access)
	}
	if rule != nil {
		proto.SetExtension(options, annotations.E_Http, rule)
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("test.proto"), Package: proto.String("test"), Syntax: proto.String("proto3"),
		Dependency: []string{"bizmetry/identity/v1/user.proto"},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: proto.String("TestService"),
			Method: []*descriptorpb.MethodDescriptorProto{{
				Name: proto.String("GetUser"), InputType: proto.String(".bizmetry.identity.v1.GetUserRequest"),
				OutputType: proto.String(".bizmetry.identity.v1.User"), Options: options,
			}},
		}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return file.Services().Get(0).Methods().Get(0)
}

func TestReadMethod_AC01(t *testing.T) {
	public := &identityv1.Access{Rule: &identityv1.Access_Public{Public: true}}
	path := &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/v1/users/{id}"}}
	for _, row := range []struct {
		name   string
		access *identityv1.Access
		path   *annotations.HttpRule
		want   string // part of the error; empty: none
	}{
		{"complete", public, path, ""},
		{"without access", nil, path, "declares no access"},
		{"with an empty access", &identityv1.Access{}, path, "declares no access"},
		{"with across alone", &identityv1.Access{Across: "system.access.check"}, path, "declares no access"},
		{"without path", public, nil, "declares no HTTP path"},
		{"with an empty path", public, &annotations.HttpRule{}, "declares no HTTP path"},
		{"self_or names no field", &identityv1.Access{Rule: &identityv1.Access_SelfOr_{
			SelfOr: &identityv1.Access_SelfOr{Permission: "platform.users.read", Field: "principal"},
		}}, path, "has no field principal"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := readMethod(declared(t, row.access, row.path))
			if row.want == "" && err != nil {
				t.Error(err)
			}
			if row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("got %v, want %s", err, row.want)
			}
		})
	}
}

// TestAuthorize_AC01 asks the door about methods that say nothing of access.
func TestAuthorize_AC01(t *testing.T) {
	model := perm.New([]string{"platform.users.read"}, nil)
	everything := &Caller{Model: model, Set: model.Of(nil, []string{"platform.users.read"})}
	for _, row := range []struct {
		name   string
		access *identityv1.Access
	}{
		{"no access", nil},
		{"empty access", &identityv1.Access{}},
		{"public, but false", &identityv1.Access{Rule: &identityv1.Access_Public{}}},
		{"a permission without a name", &identityv1.Access{Rule: &identityv1.Access_Permission{}}},
		{"any of none", &identityv1.Access{Rule: &identityv1.Access_AnyOf_{}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := &Door{}
			m := &Method{Name: "unknown", access: row.access}
			if m.anonymous() {
				t.Error("it takes callers without a token")
			}
			err := s.authorize(t.Context(), &Call{Method: m, Caller: everything}, (&identityv1.GetMeRequest{}).ProtoReflect())
			if answer := answer.Of(err); answer.Code().String() != "PermissionDenied" {
				t.Errorf("got %v", answer)
			}
		})
	}
	c := &Call{Method: &Method{Name: "unknown"}}
	c = (&Door{methods: map[string]*Method{}, Kit: kit.Kit{Rand: rand.Reader, Now: time.Now}}).newCall(t.Context(), nil, "/nobody.Knows/It")
	if c.Method.anonymous() || c.Method.access != nil {
		t.Errorf("an unknown method is %+v", c.Method)
	}
}
