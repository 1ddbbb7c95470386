package web_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// An etag in the header counts on every call that compares a version, and on no other.
func TestIfMatch(t *testing.T) {
	s := newSite(t)
	person := func(t *testing.T) string {
		t.Helper()
		u := s.CreateUser("")
		return u.GetId()
	}
	machine := s.NewMachine(s.Root, "", servicetest.Agent).GetId()
	for _, r := range []struct {
		rule, method, path, body, header string
		status                           int
		reason                           string
	}{
		{"the present one", "PATCH", "", `{"firstName":"Bea"}`, `"1"`, 200, ""},
		{"without quotes", "PATCH", "", `{"firstName":"Bea"}`, `1`, 200, ""},
		{"any", "PATCH", "", `{"firstName":"Bea"}`, `*`, 200, ""},
		{"the same in the field", "PATCH", "", `{"firstName":"Bea","etag":"1"}`, `"1"`, 200, ""},
		{"any, and one in the field", "PATCH", "", `{"firstName":"Bea","etag":"2"}`, `*`, 412, "ETAG_MISMATCH"},
		{"another", "PATCH", "", `{"firstName":"Bea"}`, `"2"`, 412, "ETAG_MISMATCH"},
		{"a weak one", "PATCH", "", `{"firstName":"Bea"}`, `W/"1"`, 412, "ETAG_MISMATCH"},
		{"another in the field", "PATCH", "", `{"firstName":"Bea","etag":"2"}`, `"1"`, 400, "INVALID_FIELDS"},
		{"in the field alone", "PATCH", "", `{"firstName":"Bea","etag":"2"}`, ``, 409, "ETAG_MISMATCH"},
		{"empty", "PATCH", "", `{"firstName":"Bea"}`, `""`, 400, "INVALID_FIELDS"},
		{"two", "PATCH", "", `{"firstName":"Bea"}`, `"1", "2"`, 400, "INVALID_FIELDS"},
		{"half a quote", "PATCH", "", `{"firstName":"Bea"}`, `"1`, 400, "INVALID_FIELDS"},
		{"a custom method", "POST", ":disable", "{}", `"2"`, 412, "ETAG_MISMATCH"},
		{"a custom method, the present one", "POST", ":disable", "", `"1"`, 200, ""},
		{"a delete", "DELETE", "", "", `"2"`, 412, "ETAG_MISMATCH"},
		{"a delete, the present one", "DELETE", "", "", `"1"`, 200, ""},
		{"a read", "GET", "", "", `"1"`, 400, "INVALID_FIELDS"},
		{"a method without an etag", "POST", ":sendActivation", "{}", `"1"`, 400, "INVALID_FIELDS"},
	} {
		t.Run(r.rule, func(t *testing.T) {
			var headers []string
			if r.header != "" {
				headers = []string{"If-Match", r.header}
			}
			s.call(s.Root, r.method, "/v1/users/"+person(t)+r.path, r.body, headers...).is(t, r.status, r.reason)
		})
	}
	s.call(s.Root, "POST", "/v1/serviceAccounts/"+machine+":disable", "{}", "If-Match", `"7"`).is(t, 412, "ETAG_MISMATCH")
	s.call(s.Root, "POST", "/v1/serviceAccounts", `{"displayName":"Robot","roleIds":["`+servicetest.Agent+`"]}`, "If-Match", `"1"`).is(t, 400, "INVALID_FIELDS")
	own := s.call(s.Root, "GET", "/v1/organizations/-", "")
	id, _ := own.get("id").(string)
	s.call(s.Root, "PATCH", "/v1/organizations/"+id, `{"displayName":"New"}`, "If-Match", `"77"`).is(t, 412, "ETAG_MISMATCH")
	s.call(s.Root, "PATCH", "/v1/organizations/"+id, `{"displayName":"New"}`, "If-Match", `"`+own.get("etag").(string)+`"`).is(t, 200, "")
}

// What stands in the path and in the body is the same, and null is said to mean
// nothing where it means nothing.
func TestBody_AgreesWithPath(t *testing.T) {
	s := newSite(t)
	a, b := s.CreateUser(""), s.CreateUser("")
	one, two := s.NewMachine(s.Root, "", servicetest.Agent).GetId(), s.NewMachine(s.Root, "", servicetest.Agent).GetId()
	for _, r := range []struct{ rule, method, path, body, field string }{
		{"another machine", "POST", "/v1/serviceAccounts/" + one + ":disable", `{"id":"` + two + `"}`, "id"},
		{"the same machine", "POST", "/v1/serviceAccounts/" + one + ":disable", `{"id":"` + one + `"}`, ""},
		{"an empty id", "POST", "/v1/serviceAccounts/" + one + ":enable", `{"id":""}`, ""},
		{"null", "POST", "/v1/serviceAccounts/" + one + ":enable", `{"id":null,"etag":null}`, ""},
		{"another machine of a credential", "POST", "/v1/serviceAccounts/" + one + "/credentials", `{"serviceAccountId":"` + two + `"}`, "credential.service_account_id"},
		{"another person", "PATCH", "/v1/users/" + a.GetId(), `{"id":"` + b.GetId() + `","firstName":"Bea"}`, "user.id"},
		{"the same person", "PATCH", "/v1/users/" + a.GetId(), `{"id":"` + a.GetId() + `","firstName":"Bea"}`, ""},
		{"another principal", "POST", "/v1/principals/" + a.GetId() + ":grant", `{"id":"` + b.GetId() + `","roleIds":["` + servicetest.Agent + `"]}`, "id"},
		{"confirmed is not cleared", "PATCH", "/v1/users/" + a.GetId(), `{"confirmed":null}`, "user.confirmed"},
		{"roles are not cleared", "PATCH", "/v1/users/" + a.GetId(), `{"roleIds":null}`, "user.role_ids"},
		{"roles in the other spelling", "PATCH", "/v1/users/" + a.GetId(), `{"role_ids": null }`, "user.role_ids"},
		{"a password is not cleared", "PATCH", "/v1/users/" + a.GetId(), `{"password":null}`, "user.password"},
		{"an etag is not cleared", "PATCH", "/v1/users/" + a.GetId(), `{"etag":null,"firstName":"Bea"}`, "user.etag"},
		{"a phone is", "PATCH", "/v1/users/" + a.GetId(), `{"phone":null}`, ""},
		{"what the server sets is passed over", "PATCH", "/v1/users/" + a.GetId(), `{"lockedUntil":null,"firstName":"Bea"}`, ""},
		{"elsewhere null is absent", "POST", "/v1/users", `{"email":"null@people.test","firstName":"Ann","lastName":"Ng","roleIds":["` + servicetest.Agent + `"],"phone":null,"confirmed":null,"permissionKeys":null}`, ""},
	} {
		t.Run(r.rule, func(t *testing.T) {
			s.call(s.Root, r.method, r.path, r.body).verdict(t).is(t, "REST", r.field, "")
		})
	}
	after := s.call(s.Root, "GET", "/v1/users/"+a.GetId(), "")
	if after.get("confirmed") != true || len(after.get("roleIds").([]any)) != 1 {
		t.Errorf("null took something away: %s", after.text)
	}
}

// What was read can be sent back, whole.
func TestBody_SentBack(t *testing.T) {
	s := newSite(t)
	u := s.NewPerson("", servicetest.MonitoringUser)
	path := "/v1/users/" + u.GetId()
	before := s.call(s.Root, "GET", path, "")
	again := s.call(s.Root, "PATCH", path, before.text)
	again.is(t, 200, "")
	if again.text != before.text {
		t.Errorf("it changed\n%s to\n%s", before.text, again.text)
	}
	changed := s.call(s.Root, "PATCH", path, strings.Replace(before.text, `"firstName":"Grace"`, `"firstName":"Bea"`, 1))
	if changed.get("firstName") != "Bea" || changed.get("displayName") != "Bea Hopper" {
		t.Errorf("%d %s", changed.StatusCode, changed.text)
	}
	person := &identityv1.User{}
	s.read(before.text, person)
	person.Etag = ""
	if _, err := s.Users.UpdateUser(s.As(s.Root), &identityv1.UpdateUserRequest{User: person}); err != nil {
		t.Errorf("gRPC: %v", err)
	}
	own := s.call(s.Root, "GET", "/v1/organizations/-", "")
	id, _ := own.get("id").(string)
	s.call(s.Root, "PATCH", "/v1/organizations/"+id, own.text).is(t, 200, "")
}

func TestEnabled(t *testing.T) {
	s := newSite(t)
	person := func(enabled string) string {
		return `{"email":"EMAIL","firstName":"Ann","lastName":"Ng","roleIds":["` + servicetest.MonitoringUser + `"]` + enabled + `}`
	}
	for enabled, want := range map[string]string{
		"": `"enabled":true,"state":"PENDING"`, `,"enabled":true`: `"enabled":true,"state":"PENDING"`,
		`,"enabled":null`: `"enabled":true,"state":"PENDING"`, `,"enabled":false`: `"enabled":false,"state":"DISABLED"`,
	} {
		a, byGRPC := s.createPerson(person(enabled))
		byGRPC.is(t, "gRPC", "", "")
		if !strings.Contains(a.text, want) {
			t.Errorf("%s: %s", enabled, a.text)
		}
	}
	off, _ := s.createMachine(`{"displayName":"Robot","roleIds":["` + servicetest.Agent + `"],"enabled":false}`)
	if off.get("enabled") != false {
		t.Errorf("a machine: %s", off.text)
	}
	off, _ = s.createPerson(person(`,"enabled":false`))
	id, _ := off.get("id").(string)
	for _, r := range []struct{ body, field string }{
		{`{"enabled":false}`, ""}, {`{"enabled":false,"firstName":"Bea"}`, ""}, {`{"enabled":true}`, "user.enabled"}, {`{"enabled":null}`, "user.enabled"},
	} {
		s.call(s.Root, "PATCH", "/v1/users/"+id, r.body).verdict(t).is(t, "REST "+r.body, r.field, "")
		u := &identityv1.User{}
		s.read(r.body, u)
		u.Id = id
		_, err := s.Users.UpdateUser(s.As(s.Root), &identityv1.UpdateUserRequest{User: u, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"enabled"}}})
		verdictOf(status.Convert(err)).is(t, "gRPC "+r.body, r.field, "")
	}
	s.call(s.Root, "POST", "/v1/organizations", `{"organization":{"displayName":"New"},"administrator":{"email":"new@people.test","firstName":"Ann","lastName":"Ng","enabled":false}}`).
		verdict(t).is(t, "REST", "administrator.enabled", "")
}

// A part of a filter that is blank matches nobody by mistake: it is refused.
func TestFilter_Blank(t *testing.T) {
	s := newSite(t)
	for _, r := range []struct{ filter, field string }{
		{`{"name":" "}`, "filter.name"},
		{`{"name":""}`, "filter.name"},
		{`{"name":"\u3000"}`, "filter.name"},
		{`{"email":""}`, "filter.email"},
		{`{"emailExact":"\t"}`, "filter.email_exact"},
		{`{"roleId":""}`, "filter.role_id"},
		{`{"emailExact":"x y@p.example"}`, "filter.email_exact"},
		{`{"state":"ACTIVE","name":""}`, "filter.name"},
		{`{}`, ""},
		{`{"name":null}`, ""},
		{`{"name":"grace"}`, ""},
	} {
		s.call(s.Root, "POST", "/v1/users:bulkDisable", `{"validateOnly":true,"filter":`+r.filter+`}`).verdict(t).is(t, "REST "+r.filter, r.field, "")
		filter := &identityv1.ListUsersRequest_Filter{}
		s.read(r.filter, filter)
		_, err := s.Users.BulkDisableUsers(s.As(s.Root), &identityv1.BulkDisableUsersRequest{Filter: filter, ValidateOnly: true})
		verdictOf(status.Convert(err)).is(t, "gRPC "+r.filter, r.field, "")
	}
	for query, field := range map[string]string{
		"/v1/users?filter.name=": "filter.name", "/v1/users?filter.name=+": "filter.name", "/v1/users?filter.email=%09": "filter.email",
		"/v1/users?filter.roleId=": "filter.role_id", "/v1/users?filter.emailExact=a+b@p.example": "filter.email_exact", "/v1/users?filter.emailExact=a%2Bb@p.example": "",
		"/v1/users?filter.emailExact=not-an-address": "filter.email_exact", "/v1/users?filter.email=a+b": "filter.email",
		"/v1/serviceAccounts?filter.name=": "filter.name", "/v1/serviceAccounts?filter.parentType=agent&filter.parentId=": "filter.parent_id",
		"/v1/events?filter.type=": "filter.type", "/v1/events?filter.actorId=": "filter.actor_id",
		"/v1/users:export?filter.name=": "filter.name", "/v1/users": "",
	} {
		s.call(s.Root, "GET", query, "").verdict(t).is(t, query, field, "")
	}
	customer := s.NewOrg().Admin.Token
	for _, role := range []string{servicetest.PlatformOperator, "00000000-0000-7000-8000-00000000ffff"} {
		s.call(customer, "GET", "/v1/users?filter.roleId="+role, "").is(t, 404, "NOT_FOUND")
	}
	s.call(s.Root, "GET", "/v1/users?filter.roleId="+servicetest.PlatformOperator, "").is(t, 200, "")
}
