package service_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

func TestUpdateOrganization(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		admin := w.As(org.Admin.Token)
		update := func(o *identityv1.Organization, paths ...string) (*identityv1.Organization, error) {
			o.Id = org.GetId()
			return w.Orgs.UpdateOrganization(admin, &identityv1.UpdateOrganizationRequest{Organization: o, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}})
		}
		if org.GetPasswordPolicy() != identityv1.Organization_STANDARD || !org.GetChangeInitialPassword() {
			t.Errorf("a new one: %v", org.Organization)
		}
		o, err := update(&identityv1.Organization{
			DisplayName: ptr("Renamed"), PasswordPolicy: identityv1.Organization_NIST, ChangeInitialPassword: ptr(false), Etag: org.GetEtag(),
		})
		if err != nil || o.GetDisplayName() != "Renamed" || o.GetPasswordPolicy() != identityv1.Organization_NIST || o.GetChangeInitialPassword() ||
			o.GetEtag() == org.GetEtag() {
			t.Fatalf("all together: %v, %v", o, err)
		}
		if got, err := w.Orgs.GetOrganization(admin, &identityv1.GetOrganizationRequest{Id: "-"}); err != nil || got.String() != o.String() {
			t.Errorf("read again: %v, %v", got, err)
		}
		if same, err := update(&identityv1.Organization{DisplayName: ptr("Renamed")}); err != nil || same.GetEtag() != o.GetEtag() {
			t.Errorf("nothing new: %v, %v", same, err)
		}
		if one, err := update(&identityv1.Organization{DisplayName: ptr("Third"), PasswordPolicy: identityv1.Organization_STANDARD}, "display_name"); err != nil ||
			one.GetDisplayName() != "Third" || one.GetPasswordPolicy() != identityv1.Organization_NIST {
			t.Errorf("by mask: %v, %v", one, err)
		}
		_, err = update(&identityv1.Organization{DisplayName: ptr("Late"), Etag: org.GetEtag()})
		servicetest.Refused(t, err, codes.Aborted, identityv1.Error_ETAG_MISMATCH)
		for path, o := range map[string]*identityv1.Organization{
			"display_name": {DisplayName: ptr(" ")}, "password_policy": {}, "change_initial_password": {}, "no_such": {},
		} {
			_, err := update(o, path)
			servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS)
		}
		if got, err := update(&identityv1.Organization{State: identityv1.Organization_SUSPENDED}, "state"); err != nil || got.GetState() != identityv1.Organization_ACTIVE {
			t.Errorf("what the server sets: %v, %v", got, err)
		}
		_, err = update(&identityv1.Organization{PasswordPolicy: 7})
		servicetest.Refused(t, err, codes.InvalidArgument, identityv1.Error_INVALID_FIELDS)
		events, err := w.Events.ListEvents(admin, &identityv1.ListEventsRequest{Filter: &identityv1.ListEventsRequest_Filter{Type: new("organization.updated")}})
		if err != nil || len(events.GetEvents()) != 2 || events.GetEvents()[1].GetData()["fields"] != "display_name,change_initial_password,password_policy" &&
			events.GetEvents()[1].GetData()["fields"] != "display_name,password_policy,change_initial_password" {
			t.Errorf("events %v, %v", events, err)
		}
	})
}

// Who may change an organization's settings: its own people with the
// permission, and the platform.
func TestUpdateOrganization_AC02_Who(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		a, b := w.NewOrg(), w.NewOrg()
		missing := randomID()
		for rule, row := range map[string]struct {
			token, org string
			code       codes.Code
			reason     identityv1.Error_Reason
		}{
			"no token":                        {"", a.GetId(), codes.Unauthenticated, identityv1.Error_TOKEN_INVALID},
			"no permission":                   {w.NewPerson(a.GetId()).Token, a.GetId(), codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED},
			"reading only":                    {holder(t, w, a.GetId(), "platform.organization.read").Token, a.GetId(), codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED},
			"a stranger":                      {b.Admin.Token, a.GetId(), codes.NotFound, identityv1.Error_NOT_FOUND},
			"a stranger, missing":             {b.Admin.Token, missing, codes.NotFound, identityv1.Error_NOT_FOUND},
			"platform, without act":           {holder(t, w, "", "platform.organization.write").Token, a.GetId(), codes.NotFound, identityv1.Error_NOT_FOUND},
			"platform, missing":               {w.Root, missing, codes.NotFound, identityv1.Error_NOT_FOUND},
			"its administrator":               {a.Admin.Token, a.GetId(), codes.OK, 0},
			"exactly the permission":          {holder(t, w, a.GetId(), "platform.organization.write").Token, a.GetId(), codes.OK, 0},
			"platform, by the system one":     {holder(t, w, "", "system.organizations.write").Token, a.GetId(), codes.OK, 0},
			"platform, acting":                {holder(t, w, "", "system.organizations.act", "platform.organization.write").Token, a.GetId(), codes.OK, 0},
			"platform, acting, no permission": {holder(t, w, "", "system.organizations.act").Token, a.GetId(), codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED},
		} {
			_, err := w.Orgs.UpdateOrganization(w.As(row.token), &identityv1.UpdateOrganizationRequest{
				Organization: &identityv1.Organization{Id: row.org, DisplayName: ptr(rule)},
			})
			if row.code == codes.OK {
				if err != nil {
					t.Errorf("%s: %v", rule, err)
				}
				continue
			}
			if reason := servicetest.Reason(err); reason != row.reason.String() {
				t.Errorf("%s: %v", rule, err)
			}
		}
	})
}

// Without the rule an initial password signs in like any other.
func TestUpdateOrganization_ChangeInitialPassword(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		u := w.CreateUser(org.GetId())
		for _, on := range []bool{false, true} {
			_, err := w.Orgs.UpdateOrganization(w.As(org.Admin.Token), &identityv1.UpdateOrganizationRequest{
				Organization: &identityv1.Organization{Id: org.GetId(), ChangeInitialPassword: &on},
			})
			noError(t, err)
			resp, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: u.GetEmail(), Password: servicetest.InitialPassword})
			if err != nil || (resp.GetPasswordChange() != nil) != on || (resp.GetTokens() == nil) != on {
				t.Errorf("the rule is %t: %v, %v", on, resp, err)
			}
		}
	})
}
