package service_test

import (
	"flag"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// walker is what a person of the walk should be like: the oracle.
type walker struct {
	id                                  string
	enabled, confirmed, deleted, secret bool
	erased                              bool
	super                               bool // holds the role for ever
	expiring                            bool // holds it for an hour
	direct                              bool // holds the permission itself for ever
}

func (p walker) administers() bool {
	return p.enabled && p.confirmed && !p.deleted && p.secret && (p.super || p.direct)
}

// walk changes the administrators of one organization at random, as the
// platform's administrator, who may do everything.
type walk struct {
	*servicetest.World
	org      string
	people   []walker
	accounts []*identityv1.ServiceAccount
	step     int
}

// try runs a call that would turn a person into another, and checks that the
// answer is the one that the rule gives.
func (k *walk) try(rt *rapid.T, i int, after walker, call func(id string) error) {
	before, left := 0, 0
	for j, p := range k.people {
		if p.administers() {
			before++
		}
		if j == i {
			p = after
		}
		if p.administers() {
			left++
		}
	}
	want := ""
	switch {
	case k.people[i].deleted:
		want = "NOT_FOUND"
	case before > 0 && left == 0:
		want = "LAST_ADMINISTRATOR"
	}
	if got := servicetest.Reason(call(k.people[i].id)); got != want {
		rt.Fatalf("%+v should become %+v: %q, want %q", k.people[i], after, got, want)
	}
	if want == "" {
		k.people[i] = after
	}
}

// comeBack is try for calls that find the deleted too.
func (k *walk) comeBack(rt *rapid.T, i int, after walker, call func(id string) error) {
	deleted, erased := k.people[i].deleted, k.people[i].erased
	k.people[i].deleted = erased // for these calls only who is erased is not there
	before := k.people[i]
	before.deleted = deleted
	if !erased && deleted { // takes no administrator away
		if got := servicetest.Reason(call(before.id)); got != "" {
			rt.Fatalf("%+v should become %+v: %q", before, after, got)
		}
		k.people[i] = after
		return
	}
	k.try(rt, i, after, call)
}

// bulk enables or disables those of a state or role: all or nobody.
func (k *walk) bulk(rt *rapid.T) {
	enable := rapid.Bool().Draw(rt, "enable")
	f, matches := &filter{}, func(walker) bool { return true }
	switch rapid.IntRange(0, 3).Draw(rt, "filter") {
	case 0:
		f.State, matches = identityv1.User_ACTIVE, func(p walker) bool { return p.enabled && p.confirmed }
	case 1:
		f.State, matches = identityv1.User_PENDING, func(p walker) bool { return p.enabled && !p.confirmed }
	case 2:
		f.RoleId, matches = new(servicetest.SuperUser), func(p walker) bool { return p.super || p.expiring }
	}
	after, left, before, changed := slices.Clone(k.people), 0, 0, 0
	for i, p := range k.people {
		if p.administers() {
			before++
		}
		if !p.deleted && matches(p) && p.enabled != enable {
			changed++
			after[i].enabled = enable
		}
		if after[i].administers() {
			left++
		}
	}
	call, want := disableAll, ""
	if enable {
		call = enableAll
	}
	if before > 0 && left == 0 {
		want = "LAST_ADMINISTRATOR"
	}
	got, err := call(k.As(k.Root), k.World, k.org, f)
	if servicetest.Reason(err) != want || (err == nil && int(got.GetChanged()) != changed) {
		rt.Fatalf("%v, enable %v: %v, %v, want %d changed, %q", f, enable, got, err, changed, want)
	}
	if want == "" {
		k.people = after
	}
}

// actions are the steps of the walk.
func (k *walk) actions(t *testing.T) map[string]func(*rapid.T) {
	root := k.As(k.Root)
	at := func(rt *rapid.T) int { return rapid.IntRange(0, len(k.people)-1).Draw(rt, "person") }
	edit := func(u *identityv1.User, paths ...string) func(string) error {
		return func(id string) error { u.Id = id; return patch(root, k.World, k.org, u, paths...) }
	}
	return map[string]func(*rapid.T){
		"create": func(rt *rapid.T) {
			if len(k.people) >= 5 {
				return // enough people
			}
			p := walker{enabled: true, confirmed: rapid.Bool().Draw(rt, "confirmed"), secret: rapid.Bool().Draw(rt, "password"), super: true}
			u := k.Draft(servicetest.SuperUser, servicetest.MonitoringUser)
			u.Confirmed = ptr(p.confirmed)
			if !p.secret {
				u.Password = nil
			}
			made, err := k.Users.CreateUser(root, &identityv1.CreateUserRequest{OrganizationId: k.org, User: u})
			if err != nil {
				rt.Fatal(err)
			}
			p.id = made.GetId()
			k.people = append(k.people, p)
		},
		"disable": func(rt *rapid.T) {
			i := at(rt)
			after := k.people[i]
			after.enabled = false
			k.try(rt, i, after, func(id string) error {
				_, err := k.Users.DisableUser(root, &identityv1.DisableUserRequest{OrganizationId: k.org, Id: id})
				return err
			})
		},
		"enable": func(rt *rapid.T) {
			i := at(rt)
			after := k.people[i]
			after.enabled = true
			k.try(rt, i, after, func(id string) error {
				_, err := k.Users.EnableUser(root, &identityv1.EnableUserRequest{OrganizationId: k.org, Id: id})
				return err
			})
		},
		"delete": func(rt *rapid.T) {
			i := at(rt)
			after := k.people[i]
			after.deleted = true
			k.try(rt, i, after, func(id string) error {
				_, err := k.Users.DeleteUser(root, &identityv1.DeleteUserRequest{OrganizationId: k.org, Id: id})
				return err
			})
		},
		"undelete": func(rt *rapid.T) {
			i := at(rt)
			after := k.people[i]
			if after.deleted {
				after.deleted, after.enabled = false, false
			}
			k.comeBack(rt, i, after, func(id string) error {
				_, err := k.Users.UndeleteUser(root, &identityv1.UndeleteUserRequest{OrganizationId: k.org, Id: id})
				return err
			})
		},
		"erase": func(rt *rapid.T) {
			i := at(rt)
			after := k.people[i]
			after.deleted, after.erased = true, true
			k.comeBack(rt, i, after, func(id string) error {
				_, err := k.Users.EraseUser(root, &identityv1.EraseUserRequest{OrganizationId: k.org, Id: id})
				return err
			})
		},
		"bulk": func(rt *rapid.T) { k.bulk(rt) },
		"confirm": func(rt *rapid.T) {
			i := at(rt)
			after := k.people[i]
			after.confirmed = rapid.Bool().Draw(rt, "confirmed")
			k.try(rt, i, after, edit(&identityv1.User{Confirmed: &after.confirmed}, "confirmed"))
		},
		"password": func(rt *rapid.T) {
			i := at(rt)
			after := k.people[i]
			after.secret = true
			k.try(rt, i, after, edit(&identityv1.User{Password: ptr(servicetest.RootPassword)}, "password"))
		},
		"roles": func(rt *rapid.T) {
			i := at(rt)
			after := k.people[i]
			roles := []string{servicetest.MonitoringUser}
			if rapid.Bool().Draw(rt, "super") { // what is there keeps its end
				roles = append(roles, servicetest.SuperUser)
				after.super = !after.expiring
			} else {
				after.super, after.expiring = false, false
			}
			k.try(rt, i, after, edit(&identityv1.User{RoleIds: roles}, "role_ids"))
		},
		"permissions": func(rt *rapid.T) {
			i := at(rt)
			after := k.people[i]
			keys := []string{"agents.read"}
			if after.direct = rapid.Bool().Draw(rt, "direct"); after.direct {
				keys = append(keys, administer)
			}
			k.try(rt, i, after, edit(&identityv1.User{PermissionKeys: keys}, "permission_keys"))
		},
		"grant": func(rt *rapid.T) {
			i := at(rt)
			after := k.people[i]
			req := &identityv1.GrantRolesRequest{OrganizationId: k.org, RoleIds: superUser}
			if after.expiring = rapid.Bool().Draw(rt, "expiring"); after.expiring {
				req.Expiration = &identityv1.GrantRolesRequest_Ttl{Ttl: durationpb.New(time.Hour)}
			}
			after.super = !after.expiring
			k.try(rt, i, after, func(id string) error { req.Id = id; _, err := k.Roles.GrantRoles(root, req); return err })
		},
		"revoke": func(rt *rapid.T) {
			i := at(rt)
			after := k.people[i]
			req := &identityv1.RevokeRolesRequest{OrganizationId: k.org, RoleIds: superUser}
			after.super, after.expiring = false, false
			if rapid.Bool().Draw(rt, "direct too") {
				req.PermissionKeys, after.direct = adminKey, false
			}
			k.try(rt, i, after, func(id string) error { req.Id = id; _, err := k.Roles.RevokeRoles(root, req); return err })
		},
		"machines": func(rt *rapid.T) { k.machines(rt) },
		"":         func(rt *rapid.T) { k.holds(rt, t) },
	}
}

// machines moves the other badges: what machines do is no administrator's loss.
func (k *walk) machines(rt *rapid.T) {
	root := k.As(k.Root)
	if len(k.accounts) < 3 {
		k.accounts = append(k.accounts, k.NewMachine(k.Root, k.org, servicetest.Agent).ServiceAccount)
		return
	}
	var err error
	i := rapid.IntRange(0, len(k.accounts)-1).Draw(rt, "machine")
	id := k.accounts[i].GetId()
	switch rapid.IntRange(0, 2).Draw(rt, "what") {
	case 0:
		_, err = k.Accounts.DisableServiceAccount(root, &identityv1.DisableServiceAccountRequest{OrganizationId: k.org, Id: id})
	case 1:
		_, err = k.Accounts.EnableServiceAccount(root, &identityv1.EnableServiceAccountRequest{OrganizationId: k.org, Id: id})
	case 2:
		_, err = k.Accounts.DeleteServiceAccount(root, &identityv1.DeleteServiceAccountRequest{OrganizationId: k.org, Id: id})
		k.accounts = append(k.accounts[:i:i], k.accounts[i+1:]...)
	}
	if err != nil {
		rt.Fatal(err)
	}
}

// holds is what must be true after every step.
func (k *walk) holds(rt *rapid.T, t *testing.T) {
	k.step++
	n, err := administratorsOf(t.Context(), k.Store, k.org)
	want := 0
	for _, p := range k.people {
		if p.administers() {
			want++
		}
	}
	if err != nil || n != want || n == 0 {
		rt.Fatalf("%d administrators, %v, want %d", n, err, want)
	}
	kept, err := k.Store.Badges(t.Context(), k.org)
	if err != nil {
		rt.Fatal(err)
	}
	counted, err := recount(t.Context(), k.Store, k.org)
	if err != nil || kept != counted {
		rt.Fatalf("the badges say %+v, the rows %+v, %v", kept, counted, err)
	}
	if _, err := trail(t.Context(), k.Store, k.org); err != nil {
		rt.Fatal(err)
	}
}

// However administrators are changed, there is always one, the badges equal a
// recount, and the events have no gap.
func TestAdministrators_AC08_Walk(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue { // a walk costs half a second
		noError(t, checks.Value.Set(strconv.Itoa(max(20/slowdown, 3))))
		t.Cleanup(func() { _ = checks.Value.Set(checks.DefValue) })
	}
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		steps := 0
		rapid.Check(t, func(rt *rapid.T) {
			org := w.NewOrg()
			k := &walk{World: w, org: org.GetId(), people: []walker{
				{id: org.Admin.GetId(), enabled: true, confirmed: true, secret: true, super: true},
			}}
			noError(t, patch(w.As(w.Root), w, k.org, &identityv1.User{
				Id: org.Admin.GetId(), RoleIds: []string{servicetest.SuperUser, servicetest.MonitoringUser},
			}, "role_ids")) // something always stays assigned
			rt.Repeat(k.actions(t))
			steps += k.step
		})
		t.Logf("%d steps", steps)
	})
}
