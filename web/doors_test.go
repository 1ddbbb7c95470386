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

func TestAudiences(t *testing.T) {
	s := newSite(t)
	for _, r := range []struct{ rule, audiences, want, words string }{
		{"https and a name", `["https://api.test","urn:example:api"]`, `["https://api.test","urn:example:api"]`, ""},
		{"other schemes that name somebody", `["api://7","spiffe://corp/billing"]`, `["api://7","spiffe://corp/billing"]`, ""},
		{"the own issuer", `["http://identity.test"]`, `["http://identity.test"]`, ""},
		{"the own issuer with a slash", `["http://identity.test/"]`, `["http://identity.test"]`, ""},
		{"the own issuer in both spellings", `["http://identity.test/","http://identity.test"]`, `["http://identity.test"]`, ""},
		{"another in both spellings", `["https://api.test/","https://api.test"]`, `["https://api.test/"]`, ""},
		{"a script", `["javascript:alert(1)"]`, "", "URI of a service"},
		{"a script in upper case", `["JavaScript:alert(1)"]`, "", "URI of a service"},
		{"a script with slashes", `["javascript://api.test/%0aalert(1)"]`, "", "URI of a service"},
		{"data", `["data:text/html,x"]`, "", "URI of a service"},
		{"a user and password", `["https://user:pw@api.test"]`, "", "user or password"},
		{"a user", `["https://user@api.test"]`, "", "user or password"},
		{"a fragment", `["https://api.test#x"]`, "", "fragment"},
		{"an empty fragment", `["https://api.test/#"]`, "", "fragment"},
		{"a fragment of a name", `["urn:example:api#x"]`, "", "fragment"},
		{"no host", `["https:api.test"]`, "", "host"},
	} {
		t.Run(r.rule, func(t *testing.T) {
			a, byGRPC := s.createMachine(`{"displayName":"Robot","roleIds":["` + servicetest.Agent + `"],"audiences":` + r.audiences + `}`)
			field := ""
			if r.words != "" {
				field = "service_account.audiences[0]"
			}
			byGRPC.is(t, "gRPC", field, r.words)
			a.verdict(t).is(t, "REST", field, r.words)
			if r.want != "" && !strings.Contains(a.text, `"audiences":`+r.want) {
				t.Errorf("got %s, want %s", a.text, r.want)
			}
		})
	}
	a, _ := s.createMachine(`{"displayName":"Robot","roleIds":["` + servicetest.Agent + `"],"audiences":["https://api.test","https://b.test/"]}`)
	id, _ := a.get("id").(string)
	c, err := s.Accounts.CreateCredential(s.As(s.Root), &identityv1.CreateCredentialRequest{ServiceAccountId: id})
	if err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[string]string{
		"": servicetest.Issuer, servicetest.Issuer: servicetest.Issuer, servicetest.Issuer + "/": servicetest.Issuer,
		"https://api.test": "https://api.test", "https://api.test/": "https://api.test", "https://b.test": "https://b.test/", "https://c.test": "",
	} {
		issued, err := s.Accounts.IssueToken(t.Context(), &identityv1.IssueTokenRequest{ClientId: id, ClientSecret: c.GetSecret(), Resource: resource})
		if want == "" {
			if servicetest.Reason(err) != "INVALID_TARGET" {
				t.Errorf("%s: %v", resource, err)
			}
			continue
		}
		told, err := s.Accounts.IntrospectToken(s.As(s.Root), &identityv1.IntrospectTokenRequest{Token: issued.GetAccessToken()})
		if err != nil || !slices.Equal(told.GetAud(), []string{want}) {
			t.Errorf("%s: a token for %v, want %s (%v)", resource, told.GetAud(), want, err)
		}
	}
}

func TestTexts(t *testing.T) {
	s := newSite(t)
	const hidden = "characters that are seen"
	machine := func(fields string) string { return `{"roleIds":["` + servicetest.Agent + `"],` + fields + `}` }
	person := func(fields string) string { return `{"roleIds":["` + servicetest.MonitoringUser + `"],` + fields + `}` }
	for _, r := range []struct{ rule, machine, person, want, field, words string }{
		{rule: "a zero-width space", machine: `"displayName":"\u200b"`, field: "service_account.display_name", words: hidden},
		{rule: "a filler", machine: `"displayName":"\u3164"`, field: "service_account.display_name", words: hidden},
		{rule: "an override", machine: `"displayName":"\u202e"`, field: "service_account.display_name", words: hidden},
		{rule: "signs alone", machine: `"displayName":"--"`, field: "service_account.display_name", words: hidden},
		{rule: "a line separator", machine: `"displayName":"a\u2028b"`, field: "service_account.display_name", words: hidden},
		{rule: "a hidden parent", machine: `"displayName":"Robot","parentName":"\u200b"`, field: "service_account.parent_name", words: hidden},
		{rule: "an escape in a description", machine: `"displayName":"Robot","description":"a\u001b[31m"`, field: "service_account.description", words: "control"},
		{rule: "a C1 control in a description", machine: `"displayName":"Robot","description":"a\u009bb"`, field: "service_account.description", words: "control"},
		{rule: "lines of a description", machine: `"displayName":"Robot","description":"one\n\ttwo\r\n"`, want: `"description":"one\n\ttwo\r\n"`},
		{rule: "blanks around a label", machine: `"displayName":" Robot\u3000","parentName":"\tTeam "`, want: `"displayName":"Robot"`},
		{rule: "a label is composed", machine: `"displayName":"Rob\u006f\u0308t"`, want: `"displayName":"Roböt"`},
		{rule: "blanks around a name", person: `"email":" EMAIL\t","firstName":"Ann ","lastName":"\u00a0Ng"`, want: `"displayName":"Ann Ng"`},
		{rule: "a name is composed", person: `"email":"EMAIL","firstName":"Jose\u0301","lastName":"Ng"`, want: `"firstName":"José"`},
		{
			rule:   "what grows when it is composed is measured then",
			person: `"email":"EMAIL","firstName":"` + strings.Repeat("\ufb2c", 100) + `","lastName":"Ng"`, field: "user.first_name", words: "100",
		},
		{
			rule:   "what shrinks when it is composed is measured then",
			person: `"email":"EMAIL","firstName":"` + strings.Repeat("e\u0301", 100) + `","lastName":"Ng"`, want: strings.Repeat("é", 100),
		},
		{rule: "blanks alone", person: `"email":"EMAIL","firstName":" \t","lastName":"Ng"`, field: "user.first_name", words: "required"},
		{rule: "a joiner between letters", person: `"email":"EMAIL","firstName":"می\u200cخواهم","lastName":"Ng"`, want: `"lastName":"Ng"`},
		{rule: "a joiner at the end", person: `"email":"EMAIL","firstName":"Ann\u200d","lastName":"Ng"`, field: "user.first_name", words: "letters"},
		{rule: "a zero-width space in an address", person: `"email":"a@b\u200b.test","firstName":"Ann","lastName":"Ng"`, field: "user.email", words: "e-mail"},
		{rule: "a soft hyphen in an address", person: `"email":"a@b\u00adc.test","firstName":"Ann","lastName":"Ng"`, field: "user.email", words: "e-mail"},
		{rule: "the address of a host", person: `"email":"a@1.2.3.4","firstName":"Ann","lastName":"Ng"`, field: "user.email", words: "e-mail"},
		{rule: "the literal of a host", person: `"email":"a@[1.2.3.4]","firstName":"Ann","lastName":"Ng"`, field: "user.email", words: "e-mail"},
	} {
		t.Run(r.rule, func(t *testing.T) {
			a, byGRPC := reply{}, verdict{}
			if r.machine != "" {
				a, byGRPC = s.createMachine(machine(r.machine))
			} else {
				a, byGRPC = s.createPerson(person(r.person))
			}
			byGRPC.is(t, "gRPC", r.field, r.words)
			a.verdict(t).is(t, "REST", r.field, r.words)
			if !strings.Contains(a.text, r.want) {
				t.Errorf("got %s, want %s", a.text, r.want)
			}
		})
	}
}

// A request id compares what was sent, not what it was read as.
func TestTexts_RequestID(t *testing.T) {
	s := newSite(t)
	sent := func(name string) reply {
		return s.call(s.Root, "POST", "/v1/serviceAccounts", `{"displayName":"`+name+`","roleIds":["`+servicetest.Agent+`"]}`, "Idempotency-Key", "once")
	}
	first := sent("Robot ")
	first.is(t, 200, "")
	if again := sent("Robot "); again.get("id") != first.get("id") {
		t.Errorf("a repeat made another: %s", again.text)
	}
	sent("Robot").is(t, 400, "REQUEST_ID_REUSED")
}
