package web_test

import (
	"strings"
	"testing"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// The key for other organizations opens the question about the own as well.
func TestREST_AcrossImpliesOwn(t *testing.T) {
	s := newSite(t)
	org := s.NewOrg()
	m := s.NewMachine(org.Admin.Token, "", servicetest.Agent)
	draft := s.Draft()
	draft.RoleIds, draft.PermissionKeys = nil, []string{"system.access.check"}
	person, err := s.Users.CreateUser(s.As(s.Root), &identityv1.CreateUserRequest{User: draft})
	if err != nil {
		t.Fatal(err)
	}
	token := s.SignIn(person.GetEmail(), servicetest.RootPassword)
	for _, about := range []string{org.GetId(), person.GetOrganizationId(), ""} {
		a := s.call(token, "POST", "/v1/access:authorize",
			`{"accessToken":"`+s.Token(m, "")+`","permission":"agents.report","organizationId":"`+about+`"}`)
		a.is(t, 200, "")
		if a.get("allowed") != (about == org.GetId()) {
			t.Errorf("%q: %s", about, a.text)
		}
	}
	lacking := s.NewPerson("", servicetest.MonitoringUser)
	for path, want := range map[string]string{
		"/v1/users?organizationId=" + org.GetId(): org.GetId(), "/v1/organizations/" + org.GetId(): org.GetId(), "/v1/users": lacking.GetOrganizationId(),
	} {
		if a := s.call(lacking.Token, "GET", path, ""); a.StatusCode != 403 || !strings.Contains(a.text, `"organization":"`+want+`"`) {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.text)
		}
	}
}
