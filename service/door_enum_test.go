package service_test

import (
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// A value that an enum does not have is refused with the names of those that it has.
func TestRequests_EnumsNameTheirValues(t *testing.T) {
	w := servicetest.SQLite(t)
	state, policy := identityv1.User_State(9), identityv1.Organization_PasswordPolicy(9)
	for _, row := range []struct {
		method      string
		req         proto.Message
		field, text string
	}{
		{"UserService.ListUsers", &identityv1.ListUsersRequest{Filter: &identityv1.ListUsersRequest_Filter{State: state}}, "filter.state", "must be one of ACTIVE, PENDING, DISABLED, DELETED"},
		{"UserService.ExportUsers", &identityv1.ExportUsersRequest{Format: 9}, "format", "must be one of CSV, JSON_LINES"},
		{
			"OrganizationService.UpdateOrganization",
			&identityv1.UpdateOrganizationRequest{Organization: &identityv1.Organization{PasswordPolicy: policy}},
			"organization.password_policy", "must be one of STANDARD, NIST",
		},
	} {
		var err error
		for _, d := range rpcs() {
			if rpcName(d) == row.method {
				_, err = call(w.As(w.Root), w.Conn, d, row.req)
			}
		}
		said := ""
		for _, detail := range status.Convert(err).Details() {
			if bad, ok := detail.(*errdetails.BadRequest); ok {
				for _, v := range bad.GetFieldViolations() {
					if v.GetField() == row.field {
						said = v.GetDescription()
					}
				}
			}
		}
		if said != row.text {
			t.Errorf("%s: %q, want %q (%v)", row.method, said, row.text, err)
		}
	}
}
