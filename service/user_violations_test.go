package service_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// violationsOf lists what a refusal says about fields: path and rule.
func violationsOf(err error) (all []string) {
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				all = append(all, v.GetField()+" "+v.GetReason())
			}
		}
	}
	return all
}

// Whatever is wrong with the fields of a request comes in one answer, also
// where the contract's own rules cannot say it.
func TestViolations_AllAtOnce(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		admin := w.As(w.Root)
		create := func(u *identityv1.User) func() error {
			return func() error {
				_, err := w.Users.CreateUser(admin, &identityv1.CreateUserRequest{User: u})
				return err
			}
		}
		id := w.CreateUser("").GetId()
		for _, row := range []struct {
			rule string
			call func() error
			want []string
		}{
			{
				"five fields of a new person",
				create(&identityv1.User{Email: ptr("x"), LastName: ptr("7"), Phone: ptr("call me")}),
				[]string{"user.last_name name", "user.first_name required", "user.email email", "user.phone phone", "user.role_ids at_least_one"},
			},
			{
				"an address alone",
				create(&identityv1.User{Email: ptr("x")}),
				[]string{"user.first_name required", "user.last_name required", "user.email email", "user.role_ids at_least_one"},
			},
			{
				"a missing address is said once",
				create(&identityv1.User{FirstName: ptr("Ann"), LastName: ptr("Ng"), PermissionKeys: []string{"platform.users.read"}}),
				[]string{"user.email required"},
			},
			{
				"an update",
				func() error {
					return patch(admin, w, "", &identityv1.User{Id: id, Email: ptr("x"), FirstName: ptr("7"), LastName: ptr(""), Phone: ptr("call me")},
						"email", "first_name", "last_name", "phone", "role_ids", "permission_keys")
				},
				[]string{"user.first_name name", "user.last_name required", "user.email email", "user.phone phone", "user.role_ids at_least_one"},
			},
			{
				"what the mask of an update leaves out is not looked at",
				func() error {
					return patch(admin, w, "", &identityv1.User{Id: id, Email: ptr("x"), Phone: ptr("call me"), LastName: ptr("")}, "last_name")
				},
				[]string{"user.last_name required"},
			},
			{
				"the administrator of a new organization",
				func() error {
					_, err := w.Orgs.CreateOrganization(admin, &identityv1.CreateOrganizationRequest{
						Organization:  &identityv1.Organization{DisplayName: ptr("New")},
						Administrator: &identityv1.User{Email: ptr("x"), FirstName: ptr("7"), LastName: ptr("Ng"), Phone: ptr("call me")},
					})
					return err
				},
				[]string{"administrator.first_name name", "administrator.email email", "administrator.phone phone"},
			},
		} {
			err := row.call()
			servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS)
			if diff := cmp.Diff(row.want, violationsOf(err)); diff != "" {
				t.Errorf("%s: %s", row.rule, diff)
			}
		}
	})
}
