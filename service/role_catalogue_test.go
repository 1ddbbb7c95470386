package service_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// builtIn is the tree that customers see: sub-roles, then own permissions.
var builtIn = map[string][2]string{
	"Super User":             {"", ""},
	"Organization Owner":     {"Organization Manager", "platform.administer platform.roles.write platform.organization.write platform.tokens.write platform.billing.read platform.billing.write"},
	"Organization Manager":   {"Architect, DevOps, Business Administrator, Integration", "platform.events.read"},
	"Architect":              {"Developer", "profiles.write profiles.delete templates.publish templates.delete"},
	"Business Administrator": {"Monitoring User", "profiles.write platform.users.read platform.users.write platform.roles.read platform.organization.read"},
	"Developer":              {"Monitoring User", "templates.write"},
	"DevOps":                 {"Monitoring User, Agent, CI/CD Pipeline", "environments.write environments.delete agents.write agents.deploy agents.restart platform.serviceaccounts.read platform.serviceaccounts.write"},
	"Monitoring User":        {"", "profiles.read environments.read templates.read agents.read"},
	"Agent":                  {"", "agents.report profiles.read environments.read templates.read"},
	"CI/CD Pipeline":         {"", "profiles.read templates.read templates.publish agents.deploy"},
	"Integration":            {"Monitoring User", "platform.access.check platform.tokens.introspect"},
}

func TestRoles_BuiltInTree(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		admin := w.As(org.Admin.Token)
		list, err := w.Roles.ListRoles(admin, &identityv1.ListRolesRequest{View: identityv1.ListRolesRequest_FULL})
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]string{}
		for _, r := range list.GetRoles() {
			names[r.GetId()] = r.GetName()
		}
		got := map[string][2]string{}
		for _, r := range list.GetRoles() {
			var subs []string
			for _, id := range r.GetSubRoleIds() {
				subs = append(subs, names[id])
			}
			got[r.GetName()] = sorted(strings.Join(subs, ", "), strings.Join(r.GetPermissionKeys(), " "))
		}
		want := map[string][2]string{}
		for name, row := range builtIn {
			want[name] = sorted(row[0], row[1])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if list.GetTotalSize() != int32(len(builtIn)) {
			t.Errorf("%d roles in all", list.GetTotalSize())
		}
	})
}

func sorted(subs, keys string) [2]string {
	a, b := strings.Split(subs, ", "), strings.Split(keys, " ")
	slices.Sort(a)
	slices.Sort(b)
	return [2]string{strings.Join(a, ", "), strings.Join(b, " ")}
}

func TestRoles_SystemIsForThePlatformOnly(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		list, err := w.Roles.ListPermissions(w.As(org.Admin.Token), &identityv1.ListPermissionsRequest{PageSize: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list.GetPermissions() {
			if strings.HasPrefix(p.GetKey(), "system.") || p.GetName() == "" || p.GetDescription() == "" || p.GetStage() != identityv1.Permission_STABLE {
				t.Errorf("customers see %v", p)
			}
		}
		_, err = w.Roles.GetRole(w.As(org.Admin.Token), &identityv1.GetRoleRequest{Id: servicetest.PlatformOperator})
		servicetest.Refused(t, err, codes.NotFound, identityv1.Error_NOT_FOUND)
		role, err := w.Roles.GetRole(w.As(w.Root), &identityv1.GetRoleRequest{Id: servicetest.PlatformOperator})
		if err != nil || role.GetPermissionCount() != 7 {
			t.Errorf("the platform sees %v, %v", role, err)
		}
		super, err := w.Roles.GetRole(w.As(w.Root), &identityv1.GetRoleRequest{Id: servicetest.SuperUser})
		if err != nil || !super.GetEverything() || super.GetPermissionCount() != list.GetTotalSize() {
			t.Errorf("Super User is %v, %v", super, err)
		}
	})
}
