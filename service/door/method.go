package door

import (
	"errors"
	"fmt"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/id"
	"github.com/bizmetry/identity/service/perm"
)

// Method is what the proto options say about an RPC.
type Method struct {
	Name      string // full method name, as gRPC has it
	access    *identityv1.Access
	request   protoreflect.MessageDescriptor
	org       protoreflect.FieldDescriptor // organization_id, where the request has one
	self      protoreflect.FieldDescriptor // the field that self_or names
	retry     protoreflect.FieldDescriptor // request_id
	atLeast   protoreflect.FieldDescriptor // at_least
	versioned protoreflect.FieldDescriptor // the resource that has the etag; nil: the request itself
	etag      protoreflect.FieldDescriptor // etag, where a version is compared
	foreign   bool                         // not of the contract: its errors are its own
	masked    bool                         // has an update mask: fields may be left out
	streaming bool                         // takes or gives more than one message
}

// package of the contract.
const contract = "bizmetry.identity.v1"

// readMethods reads every RPC of the contract. One without access or path is
// an error, so that the service does not start with it. Beside them there is
// only gRPC's own health check, which is public.
func readMethods() (map[string]*Method, error) {
	methods := map[string]*Method{}
	for name, request := range map[string]proto.Message{
		grpc_health_v1.Health_Check_FullMethodName: &grpc_health_v1.HealthCheckRequest{},
		grpc_health_v1.Health_List_FullMethodName:  &grpc_health_v1.HealthListRequest{},
	} {
		methods[name] = &Method{
			Name: name, foreign: true, request: request.ProtoReflect().Descriptor(),
			access: &identityv1.Access{Rule: &identityv1.Access_Public{Public: true}},
		}
	}
	var failed error
	protoregistry.GlobalFiles.RangeFilesByPackage(contract, func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			for j := range service.Methods().Len() {
				m, err := readMethod(service.Methods().Get(j))
				if err != nil {
					failed = err
					return false
				}
				methods[m.Name] = m
			}
		}
		return true
	})
	return methods, failed
}

func readMethod(d protoreflect.MethodDescriptor) (*Method, error) {
	name := fmt.Sprintf("/%s/%s", d.Parent().FullName(), d.Name())
	access, _ := proto.GetExtension(d.Options(), identityv1.E_Access).(*identityv1.Access)
	if access.GetRule() == nil {
		return nil, fmt.Errorf("%s declares no access", name)
	}
	if rule, _ := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule); rule.GetPattern() == nil {
		return nil, fmt.Errorf("%s declares no HTTP path", name)
	}
	fields := d.Input().Fields()
	m := &Method{
		Name: name, access: access, request: d.Input(),
		org: fields.ByName("organization_id"), retry: fields.ByName("request_id"), atLeast: fields.ByName("at_least"), masked: fields.ByName("update_mask") != nil,
		streaming: d.IsStreamingClient() || d.IsStreamingServer(),
	}
	m.versioned, m.etag = etagOf(d.Input(), m.masked)
	if field := access.GetSelfOr().GetField(); field != "" {
		if m.self = fields.ByName(protoreflect.Name(field)); m.self == nil {
			return nil, fmt.Errorf("%s has no field %s", name, field)
		}
	}
	return m, nil
}

// CompileRules has the rules of every request compiled, which takes longer than
// all else of a start: calls that come before wait for those of their own only.
func (s *Door) CompileRules() {
	for _, m := range s.methods {
		kind, err := protoregistry.GlobalTypes.FindMessageByName(m.request.FullName())
		if err == nil {
			err = s.validator.Validate(kind.New().Interface())
		}
		if broken := new(protovalidate.ValidationError); err != nil && !errors.As(err, &broken) {
			s.Log.Error("the rules of a request cannot be checked", "method", m.Name, "error", err.Error())
		}
	}
}

// anonymous tells whether the method takes callers without a token.
func (m *Method) anonymous() bool { return m.access.GetPublic() }

// Allows tells whether a caller may use the method at all. Where the rule or
// the subject of the request decides, self says that the request is about the
// caller.
func (m *Method) Allows(c *Caller, self bool) bool {
	switch rule := m.access.GetRule().(type) {
	case *identityv1.Access_Authenticated:
		return true
	case *identityv1.Access_Permission:
		return c.Has(rule.Permission) || m.Across(c) // what opens other organizations opens the own
	case *identityv1.Access_SelfOr_:
		return self || rule.SelfOr.GetField() == "" || c.Has(rule.SelfOr.GetPermission()) || m.Across(c)
	case *identityv1.Access_AnyOf_:
		for _, key := range rule.AnyOf.GetPermissions() {
			if c.Has(key) {
				return true
			}
		}
	}
	return false
}

// Across tells whether the caller holds the system permission that opens
// other organizations for this method.
func (m *Method) Across(c *Caller) bool {
	return m.access.GetAcross() != "" && c.Has(m.access.GetAcross())
}

// Opens tells whether a caller of the method may act in org: their own, any if
// they hold the method's system permission, or any if they hold
// system.organizations.act and the method is allowed to them. A method that leaves
// the choice to its rule is allowed to everybody: its rule has to check.
func (m *Method) Opens(c *Caller, org string) bool {
	return org == c.Org || m.Across(c) || (c.Has(perm.SystemOrganizationsAct) && m.Allows(c, false))
}

// names is the organization that a request is about, as it says itself; "" where it
// says none.
func (m *Method) names(msg protoreflect.Message) (org string) {
	switch req := msg.Interface().(type) {
	case interface{ GetOrganizationId() string }:
		org = req.GetOrganizationId()
	case *identityv1.GetOrganizationRequest:
		org = req.GetId()
	case *identityv1.UpdateOrganizationRequest:
		org = req.GetOrganization().GetId()
	}
	if !id.Valid(org) {
		return "" // validation says what is wrong with it
	}
	return org
}

// Needs names what the method takes, for the answer to who lacks it.
func (m *Method) Needs() string {
	switch rule := m.access.GetRule().(type) {
	case *identityv1.Access_Permission:
		return rule.Permission
	case *identityv1.Access_SelfOr_:
		return rule.SelfOr.GetPermission()
	case *identityv1.Access_AnyOf_:
		return strings.Join(rule.AnyOf.GetPermissions(), " or ")
	}
	return ""
}
