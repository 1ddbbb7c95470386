package service_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// A refusal names the organization that was asked about, whether it is there or not.
func TestDenied_NamesTheOrganizationAskedAbout(t *testing.T) {
	w := servicetest.SQLite(t)
	org, p := w.NewOrg(), holder(t, w, "", "agents.read")
	none := randomID()
	for _, row := range []struct {
		name string
		req  proto.Message
		want string
	}{
		{"another", &identityv1.ListUsersRequest{OrganizationId: org.GetId()}, org.GetId()},
		{"one that is not there", &identityv1.ListUsersRequest{OrganizationId: none}, none},
		{"the own", &identityv1.ListUsersRequest{OrganizationId: p.GetOrganizationId()}, p.GetOrganizationId()},
		{"none", &identityv1.ListUsersRequest{}, p.GetOrganizationId()},
		{"no id", &identityv1.ListUsersRequest{OrganizationId: "nonsense"}, p.GetOrganizationId()},
		{"another, of a check", &identityv1.AuthorizeRequest{OrganizationId: org.GetId()}, org.GetId()},
		{"an organization itself", &identityv1.GetOrganizationRequest{Id: org.GetId()}, org.GetId()},
		{"a change of one", &identityv1.UpdateOrganizationRequest{Organization: &identityv1.Organization{Id: org.GetId()}}, org.GetId()},
	} {
		t.Run(row.name, func(t *testing.T) {
			var refused error
			for _, d := range rpcs() {
				if d.Input().FullName() == row.req.ProtoReflect().Descriptor().FullName() {
					_, refused = call(w.As(p.Token), w.Conn, d, row.req)
				}
			}
			found := infos(refused)
			if len(found) != 1 || found[0].GetReason() != "PERMISSION_DENIED" || found[0].GetMetadata()["organization"] != row.want {
				t.Errorf("%v, want %s", refused, row.want)
			}
		})
	}
}
