package web_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// verdict is what a door says: a reason ("" for none), the fields that it names, and its words.
type verdict struct {
	reason, words string
	fields        []string
}

func verdictOf(st *status.Status) (v verdict) {
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			v.reason = d.GetReason()
		case *errdetails.BadRequest:
			for _, violation := range d.GetFieldViolations() {
				v.fields, v.words = append(v.fields, violation.GetField()), v.words+violation.GetDescription()+"\n"
			}
		}
	}
	v.words += st.Message()
	return v
}

// verdict reads the answer of REST.
func (a reply) verdict(t *testing.T) verdict {
	t.Helper()
	if a.StatusCode < 300 {
		return verdict{}
	}
	st := status.New(0, "").Proto()
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(a.text), st); err != nil {
		t.Fatalf("%v: %s", err, a.text)
	}
	return verdictOf(status.FromProto(st))
}

// is fails the test unless a door took it (no field), or refuses it for that field.
func (v verdict) is(t *testing.T, door, field, words string) {
	t.Helper()
	switch {
	case field == "" && v.reason != "":
		t.Errorf("%s refuses it: %s %v %s", door, v.reason, v.fields, v.words)
	case field != "" && (!slices.Contains(v.fields, field) || !strings.Contains(v.words, words)):
		t.Errorf("%s says %s of %v (%s), want %s of %s", door, v.reason, v.fields, v.words, words, field)
	}
}

// createMachine creates a service account through both doors, of the JSON of a
// resource, and returns what REST answers.
func (s *site) createMachine(body string) (a reply, byGRPC verdict) {
	s.t.Helper()
	a = s.call(s.Root, "POST", "/v1/serviceAccounts", body)
	machine := &identityv1.ServiceAccount{}
	s.read(body, machine)
	_, err := s.Accounts.CreateServiceAccount(s.As(s.Root), &identityv1.CreateServiceAccountRequest{ServiceAccount: machine})
	return a, verdictOf(status.Convert(err))
}

// createPerson creates a user through both doors; EMAIL in the JSON is an address of its own.
func (s *site) createPerson(body string) (a reply, byGRPC verdict) {
	s.t.Helper()
	own := func() string { return strings.ReplaceAll(body, "EMAIL", s.Draft().GetEmail()) }
	a = s.call(s.Root, "POST", "/v1/users", own())
	person := &identityv1.User{}
	s.read(own(), person)
	_, err := s.Users.CreateUser(s.As(s.Root), &identityv1.CreateUserRequest{User: person})
	return a, verdictOf(status.Convert(err))
}

func (s *site) read(body string, into proto.Message) {
	s.t.Helper()
	if err := protojson.Unmarshal([]byte(body), into); err != nil {
		s.t.Fatalf("%v: %s", err, body)
	}
}

func TestAllowedNetworks(t *testing.T) {
	s := newSite(t)
	const at = "service_account.allowed_networks[0]"
	for _, r := range []struct{ rule, networks, want, field string }{
		{"as given", `["10.0.0.0/8","fd00::/8"]`, `["10.0.0.0/8","fd00::/8"]`, ""},
		{"bits behind the prefix", `["10.1.2.3/8"]`, "", at},
		{"bits behind the prefix, IPv4-mapped", `["::ffff:10.1.2.3/104"]`, "", at},
		{"IPv4-mapped", `["::ffff:10.0.0.0/104"]`, `["10.0.0.0/8"]`, ""},
		{"twice in two spellings", `["10.0.0.0/8","::ffff:10.0.0.0/104","::ffff:a00:0/104"]`, `["10.0.0.0/8"]`, ""},
		{"twice in one", `["10.0.0.0/8","10.0.0.0/8"]`, `["10.0.0.0/8"]`, ""},
		{"an address", `["10.0.0.1"]`, "", at},
		{"no network", `["10.0.0.0/33"]`, "", at},
	} {
		t.Run(r.rule, func(t *testing.T) {
			a, byGRPC := s.createMachine(`{"displayName":"Robot","roleIds":["` + servicetest.Agent + `"],"allowedNetworks":` + r.networks + `}`)
			byGRPC.is(t, "gRPC", r.field, "")
			a.verdict(t).is(t, "REST", r.field, "")
			if r.want != "" && !strings.Contains(a.text, `"allowedNetworks":`+r.want) {
				t.Errorf("got %s, want %s", a.text, r.want)
			}
		})
	}
	// A machine may get tokens from where the mapped network says.
	machine, err := s.Accounts.CreateServiceAccount(s.As(s.Root), &identityv1.CreateServiceAccountRequest{ServiceAccount: &identityv1.ServiceAccount{
		DisplayName: proto.String("Near"), RoleIds: []string{servicetest.Agent}, AllowedNetworks: []string{"::ffff:127.0.0.0/104"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Accounts.CreateCredential(s.As(s.Root), &identityv1.CreateCredentialRequest{ServiceAccountId: machine.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Accounts.IssueToken(context.Background(), &identityv1.IssueTokenRequest{ClientId: machine.GetId(), ClientSecret: c.GetSecret()})
	if err != nil {
		t.Errorf("no token from 127.0.0.1: %v", err)
	}
}
