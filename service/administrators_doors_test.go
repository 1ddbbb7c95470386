package service_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

// lastAdmin is an organization with one administrator, and who else is there.
type lastAdmin struct {
	*servicetest.World
	org   servicetest.Org
	id    string // the administrator
	other string // someone else, where the row needs one
}

func (l *lastAdmin) self() context.Context { return l.As(l.org.Admin.Token) }
func (l *lastAdmin) root() context.Context { return l.As(l.Root) }

func (l *lastAdmin) grant(id string, ttl time.Duration, roles, keys []string) error {
	req := &identityv1.GrantRolesRequest{OrganizationId: l.org.GetId(), Id: id, RoleIds: roles, PermissionKeys: keys}
	if ttl != 0 {
		req.Expiration = &identityv1.GrantRolesRequest_Ttl{Ttl: durationpb.New(ttl)}
	}
	_, err := l.Roles.GrantRoles(l.root(), req)
	return err
}

func (l *lastAdmin) revoke(ctx context.Context, id string, roles, keys []string) error {
	_, err := l.Roles.RevokeRoles(ctx, &identityv1.RevokeRolesRequest{
		OrganizationId: l.org.GetId(), Id: id, RoleIds: roles, PermissionKeys: keys,
	})
	return err
}

func (l *lastAdmin) disable(ctx context.Context, id string) error {
	_, err := l.Users.DisableUser(ctx, &identityv1.DisableUserRequest{OrganizationId: l.org.GetId(), Id: id})
	return err
}

func (l *lastAdmin) delete(ctx context.Context, id string) error {
	_, err := l.Users.DeleteUser(ctx, &identityv1.DeleteUserRequest{OrganizationId: l.org.GetId(), Id: id})
	return err
}

func (l *lastAdmin) erase(ctx context.Context, id string) error {
	_, err := l.Users.EraseUser(ctx, &identityv1.EraseUserRequest{OrganizationId: l.org.GetId(), Id: id})
	return err
}

// bare leaves the administrator the permission alone, without the role.
func (l *lastAdmin) bare(keys ...string) error {
	if err := l.grant(l.id, 0, []string{servicetest.Manager}, keys); err != nil {
		return err
	}
	return l.revoke(l.root(), l.id, []string{servicetest.SuperUser}, nil)
}

// add puts a second person there, who is Super User.
func (l *lastAdmin) add(change func(*identityv1.User)) error {
	u := l.Draft(servicetest.SuperUser)
	change(u)
	made, err := l.Users.CreateUser(l.root(), &identityv1.CreateUserRequest{OrganizationId: l.org.GetId(), User: u})
	l.other = made.GetId()
	return err
}

func asDrafted(*identityv1.User) {}

// state is all that a refused call could have changed.
type state struct {
	Users  []store.User
	Grants map[string][]store.Grant
	Badges store.Badges
	Events []store.Event
}

func stateOf(t *testing.T, w *servicetest.World, org string) (s state) {
	t.Helper()
	var err error
	s.Users, s.Grants, err = people(t.Context(), w.Store, org)
	noError(t, err)
	s.Badges, err = w.Store.Badges(t.Context(), org)
	noError(t, err)
	s.Events, err = trail(t.Context(), w.Store, org)
	noError(t, err)
	return s
}

const administer = "platform.administer"

var (
	superUser = []string{servicetest.SuperUser}
	owner     = []string{servicetest.Owner}
	adminKey  = []string{administer}
)

// Every door through which the last administrator could go.
func TestAdministrators_AC08_Doors(t *testing.T) {
	rows := []struct {
		rule    string
		prepare func(*lastAdmin) error
		call    func(*lastAdmin) error
	}{
		{"disabling oneself", nil, func(l *lastAdmin) error { return l.disable(l.self(), l.id) }},
		{"disabling from the platform", nil, func(l *lastAdmin) error { return l.disable(l.root(), l.id) }},
		{"deleting oneself", nil, func(l *lastAdmin) error { return l.delete(l.self(), l.id) }},
		{"deleting from the platform", nil, func(l *lastAdmin) error { return l.delete(l.root(), l.id) }},
		{"erasing oneself", nil, func(l *lastAdmin) error { return l.erase(l.self(), l.id) }},
		{"erasing from the platform", nil, func(l *lastAdmin) error { return l.erase(l.root(), l.id) }},
		{"disabling everybody from the platform", nil, func(l *lastAdmin) error {
			_, err := disableAll(l.root(), l.World, l.org.GetId(), &filter{})
			return err
		}},
		{"revoking the role", nil, func(l *lastAdmin) error { return l.revoke(l.self(), l.id, superUser, nil) }},
		{"revoking a role that holds it below", func(l *lastAdmin) error {
			if err := l.grant(l.id, 0, owner, nil); err != nil {
				return err
			}
			return l.revoke(l.root(), l.id, superUser, nil)
		}, func(l *lastAdmin) error { return l.revoke(l.self(), l.id, owner, nil) }},
		{
			"revoking the permission held directly", func(l *lastAdmin) error { return l.bare(administer) },
			func(l *lastAdmin) error { return l.revoke(l.root(), l.id, nil, adminKey) },
		},
		{
			"revoking role and permission at once", func(l *lastAdmin) error { return l.grant(l.id, 0, nil, adminKey) },
			func(l *lastAdmin) error { return l.revoke(l.root(), l.id, superUser, adminKey) },
		},
		{"other roles instead", nil, func(l *lastAdmin) error {
			return patch(l.self(), l.World, l.org.GetId(), &identityv1.User{Id: l.id, RoleIds: []string{servicetest.Manager}}, "role_ids")
		}},
		{"other permissions instead", func(l *lastAdmin) error { return l.bare(administer) }, func(l *lastAdmin) error {
			return patch(l.root(), l.World, l.org.GetId(), &identityv1.User{Id: l.id, PermissionKeys: []string{"agents.read"}}, "permission_keys")
		}},
		{"other roles among other fields", nil, func(l *lastAdmin) error {
			return patch(l.root(), l.World, l.org.GetId(), &identityv1.User{
				Id: l.id, RoleIds: []string{servicetest.Manager}, FirstName: ptr("Eve"), Email: ptr("eve@moved.test"), Password: ptr("Zebra#river9stone"),
			}, "role_ids", "first_name", "email", "password")
		}},
		{"un-confirming", nil, func(l *lastAdmin) error {
			return patch(l.root(), l.World, l.org.GetId(), &identityv1.User{Id: l.id, Confirmed: ptr(false)}, "confirmed")
		}},
		{"changing one's own address, which un-confirms", nil, func(l *lastAdmin) error {
			return patch(l.self(), l.World, l.org.GetId(), &identityv1.User{Id: l.id, Email: ptr("new@customer.test"), CurrentPassword: ptr(servicetest.RootPassword)}, "email")
		}},
		{"an end for the role", nil, func(l *lastAdmin) error { return l.grant(l.id, time.Hour, superUser, nil) }},
		{
			"an end for the permission held directly", func(l *lastAdmin) error { return l.bare(administer) },
			func(l *lastAdmin) error { return l.grant(l.id, time.Hour, nil, adminKey) },
		},
	}
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		for _, row := range rows {
			t.Run(row.rule, func(t *testing.T) {
				org := w.NewOrg()
				l := &lastAdmin{World: w, org: org, id: org.Admin.GetId()}
				if row.prepare != nil {
					noError(t, row.prepare(l))
				}
				refusedWhole(t, l, row.call)
			})
		}
	})
}

func refusedWhole(t *testing.T, l *lastAdmin, call func(*lastAdmin) error) {
	t.Helper()
	before := stateOf(t, l.World, l.org.GetId())
	servicetest.Refused(t, call(l), codes.FailedPrecondition, identityv1.Error_LAST_ADMINISTRATOR)
	if diff := cmp.Diff(before, stateOf(t, l.World, l.org.GetId())); diff != "" {
		t.Errorf("a refused call changed something:\n%s", diff)
	}
	if _, err := l.Users.GetMe(l.self(), &identityv1.GetMeRequest{}); err != nil {
		t.Errorf("the administrator's token ended: %v", err)
	}
}

// Who does not count as the other administrator.
func TestAdministrators_AC08_WhoCounts(t *testing.T) {
	rows := []struct {
		rule  string
		other func(*lastAdmin) error
		last  bool
	}{
		{"another administrator", func(l *lastAdmin) error { return l.add(asDrafted) }, false},
		{"one by the role above", func(l *lastAdmin) error { return l.add(func(u *identityv1.User) { u.RoleIds = owner }) }, false},
		{"one by the permission alone", func(l *lastAdmin) error {
			return l.add(func(u *identityv1.User) { u.RoleIds, u.PermissionKeys = nil, adminKey })
		}, false},
		{"one enabled again", func(l *lastAdmin) error {
			if err := l.add(asDrafted); err != nil {
				return err
			}
			if err := l.disable(l.root(), l.other); err != nil {
				return err
			}
			_, err := l.Users.EnableUser(l.root(), &identityv1.EnableUserRequest{OrganizationId: l.org.GetId(), Id: l.other})
			return err
		}, false},
		{"nobody", func(*lastAdmin) error { return nil }, true},
		{"one without a password", func(l *lastAdmin) error { return l.add(func(u *identityv1.User) { u.Password = nil }) }, true},
		{"one who is pending", func(l *lastAdmin) error { return l.add(func(u *identityv1.User) { u.Confirmed = nil }) }, true},
		{"one who is disabled", func(l *lastAdmin) error {
			if err := l.add(asDrafted); err != nil {
				return err
			}
			return l.disable(l.root(), l.other)
		}, true},
		{"one who is deleted", func(l *lastAdmin) error {
			if err := l.add(asDrafted); err != nil {
				return err
			}
			return l.delete(l.root(), l.other)
		}, true},
		{"one who was deleted and brought back", func(l *lastAdmin) error {
			if err := l.add(asDrafted); err != nil {
				return err
			}
			if err := l.delete(l.root(), l.other); err != nil {
				return err
			}
			_, err := l.Users.UndeleteUser(l.root(), &identityv1.UndeleteUserRequest{OrganizationId: l.org.GetId(), Id: l.other})
			return err
		}, true},
		{"one who was erased", func(l *lastAdmin) error {
			if err := l.add(asDrafted); err != nil {
				return err
			}
			return l.erase(l.root(), l.other)
		}, true},
		{"one for an hour", func(l *lastAdmin) error {
			if err := l.add(func(u *identityv1.User) { u.RoleIds = []string{servicetest.Manager} }); err != nil {
				return err
			}
			return l.grant(l.other, time.Hour, superUser, nil)
		}, true},
		{"one whose time is over", func(l *lastAdmin) error {
			if err := l.add(func(u *identityv1.User) { u.RoleIds = []string{servicetest.Manager} }); err != nil {
				return err
			}
			err := l.grant(l.other, time.Minute, superUser, nil)
			l.Clock.Add(2 * time.Minute)
			return err
		}, true},
		{"a manager", func(l *lastAdmin) error {
			return l.add(func(u *identityv1.User) { u.RoleIds = []string{servicetest.Manager} })
		}, true},
		{"a machine", func(l *lastAdmin) error {
			l.NewMachine(l.Root, l.org.GetId(), servicetest.SuperUser)
			return nil
		}, true},
		{"an administrator elsewhere", func(l *lastAdmin) error { l.NewOrg(); return nil }, true},
	}
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		for _, row := range rows {
			t.Run(row.rule, func(t *testing.T) {
				org := w.NewOrg()
				l := &lastAdmin{World: w, org: org, id: org.Admin.GetId()}
				noError(t, row.other(l))
				if row.last {
					refusedWhole(t, l, func(l *lastAdmin) error { return l.disable(l.root(), l.id) })
					return
				}
				if err := l.disable(l.root(), l.id); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// The platform's own last administrator stays too, whoever asks.
func TestAdministrators_AC08_Platform(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		me, err := w.Users.GetMe(w.As(w.Root), &identityv1.GetMeRequest{})
		noError(t, err)
		l := &lastAdmin{World: w, id: me.GetUser().GetId()}
		l.org.Organization = &identityv1.Organization{Id: me.GetUser().GetOrganizationId()}
		l.org.Admin.Token = w.Root
		for rule, call := range map[string]func(*lastAdmin) error{
			"disable": func(l *lastAdmin) error { return l.disable(l.root(), l.id) },
			"delete":  func(l *lastAdmin) error { return l.delete(l.root(), l.id) },
			"erase":   func(l *lastAdmin) error { return l.erase(l.root(), l.id) },
			"revoke":  func(l *lastAdmin) error { return l.revoke(l.root(), l.id, superUser, nil) },
			"expiry":  func(l *lastAdmin) error { return l.grant(l.id, time.Hour, superUser, nil) },
		} {
			t.Run(rule, func(t *testing.T) { refusedWhole(t, l, call) })
		}
	})
}
