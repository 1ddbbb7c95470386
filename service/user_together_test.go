package service_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// rows is all that is kept but what the service writes by itself: the trail of
// refused calls, what became of messages, and what tries cost.
func (w *world) rows() string {
	w.T.Helper()
	for range 200 { // what is on its way goes first: content of several lines is erased with it
		waiting := 0
		noError(w.T, w.db.QueryRowContext(w.T.Context(), `SELECT COUNT(*) FROM outbox WHERE sent_time = 0 AND dead_time = 0`).Scan(&waiting))
		if waiting == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	var kept []string
	for line := range strings.Lines(dump(w.T, w.url, w.db)) {
		if !strings.HasPrefix(line, "activity ") && !strings.HasPrefix(line, "outbox ") && !strings.HasPrefix(line, "budgets ") {
			kept = append(kept, line)
		}
	}
	var messages int
	noError(w.T, w.db.QueryRowContext(w.T.Context(), `SELECT COUNT(*) FROM outbox`).Scan(&messages))
	return fmt.Sprint(strings.Join(kept, ""), messages, " messages")
}

// everyTab are the fields that a form of a user has, on whichever tab.
var everyTab = []string{"first_name", "last_name", "email", "confirmed", "password", "phone", "phone_proof", "role_ids", "permission_keys"}

// An update of every tab at once, of which one part fails, changes nothing,
// sends nothing and spends no proof; put right, the same update does it all,
// in one event.
func TestUpdateUser_AllTabsOrNothing(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		number := newNumber()
		proof := w.prove(w.Root, a.GetId(), a.Admin.GetId(), number)
		good := &identityv1.User{
			Id: a.Admin.GetId(), FirstName: ptr("Augusta"), LastName: ptr("King"), Email: ptr("augusta@customer.test"), Confirmed: ptr(true),
			Password: ptr("Another#Horse8staple"), Phone: &number, PhoneProof: &proof,
			RoleIds: []string{servicetest.SuperUser, servicetest.MonitoringUser}, PermissionKeys: []string{"agents.read"},
		}
		as := func() *identityv1.User { return proto.Clone(good).(*identityv1.User) }
		with := func(change func(u *identityv1.User)) *identityv1.User {
			u := as()
			change(u)
			return u
		}
		update := func(u *identityv1.User) (*identityv1.User, error) {
			return w.Users.UpdateUser(w.As(w.Root), &identityv1.UpdateUserRequest{
				OrganizationId: a.GetId(), User: u, UpdateMask: &fieldmaskpb.FieldMask{Paths: everyTab},
			})
		}
		before := w.rows()
		for _, r := range []struct {
			rule, reason string
			user         *identityv1.User
		}{
			{"the very last check: nobody administers any more", "LAST_ADMINISTRATOR", with(func(u *identityv1.User) { u.RoleIds = []string{servicetest.MonitoringUser} })},
			{"nobody, for the address is not confirmed any more", "LAST_ADMINISTRATOR", with(func(u *identityv1.User) { u.Confirmed = ptr(false) })},
			{"an address of another one", "EMAIL_TAKEN", with(func(u *identityv1.User) { u.Email = a.user.Email })},
			{"an address that is confirmed elsewhere", "EMAIL_TAKEN", with(func(u *identityv1.User) { u.Email = ptr(servicetest.RootEmail) })},
			{"a role that is not there", "NOT_FOUND", with(func(u *identityv1.User) { u.RoleIds = append(u.RoleIds, randomID()) })},
			{"a permission that is not there", "UNKNOWN_PERMISSION", with(func(u *identityv1.User) { u.PermissionKeys = []string{"moon.walk"} })},
			{"a permission of the platform", "PLATFORM_ONLY", with(func(u *identityv1.User) { u.PermissionKeys = []string{"system.organizations.act"} })},
			{"nothing assigned", "INVALID_FIELDS", with(func(u *identityv1.User) { u.RoleIds, u.PermissionKeys = nil, nil })},
			{"a number that is not the proven one", "PHONE_NOT_VERIFIED", with(func(u *identityv1.User) { u.Phone = ptr(newNumber()) })},
			{"a number without proof", "PHONE_NOT_VERIFIED", with(func(u *identityv1.User) { u.PhoneProof = nil })},
			{"a weak password", "WEAK_PASSWORD", with(func(u *identityv1.User) { u.Password = ptr("weak") })},
			{"an older version", "ETAG_MISMATCH", with(func(u *identityv1.User) { u.Etag = "0" })},
			{"no name", "INVALID_FIELDS", with(func(u *identityv1.User) { u.FirstName = ptr(" ") })},
		} {
			if _, err := update(r.user); servicetest.Reason(err) != r.reason {
				t.Errorf("%s: %v, want %s", r.rule, err, r.reason)
			}
			if after := w.rows(); after != before {
				t.Errorf("%s: something was kept", r.rule)
				before = after
			}
		}
		if w.SignIn(a.Admin.GetEmail(), a.Admin.Password) == "" {
			t.Error("the administrator does not get in any more")
		}
		first := a.lastEvent(t, w).GetSequence()
		u, err := update(as())
		if err != nil {
			t.Fatalf("all right at last: %v", err)
		}
		if u.GetDisplayName() != "Augusta King" || u.GetEmail() != good.GetEmail() || !u.GetConfirmed() || !u.GetPhoneVerified() ||
			len(u.GetRoles()) != 2 || len(u.GetPermissions()) != 1 {
			t.Errorf("user %v", u)
		}
		last := a.lastEvent(t, w)
		if last.GetSequence() != first+1 || last.GetType() != "user.updated" || last.GetData()["fields"] != "name,email,password,phone,grants" {
			t.Errorf("event %v, the one before was %d", last, first)
		}
		for _, text := range []string{"password", "phone", "address"} { // each told to the former address
			w.Letter(a.Admin.GetEmail(), text)
		}
		if _, err := update(as()); servicetest.Reason(err) != "PHONE_NOT_VERIFIED" {
			t.Errorf("the proof again: %v", err)
		}
	})
}

// The same of a new user.
func TestCreateUser_AllTabsOrNothing(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		number := newNumber()
		writer := holder(t, w.World, a.GetId(), "platform.users.write", "agents.read")
		good := w.withPhone(number, w.prove(writer.Token, "", "", number))
		good.User.RoleIds, good.User.PermissionKeys = nil, []string{"agents.read"}
		w.Clock.Add(time.Second)
		with := func(change func(u *identityv1.User)) *identityv1.CreateUserRequest {
			req := proto.Clone(good).(*identityv1.CreateUserRequest)
			change(req.GetUser())
			return req
		}
		before := w.rows()
		for _, r := range []struct {
			rule, reason string
			req          *identityv1.CreateUserRequest
		}{
			{"more than the caller holds", "GRANT_EXCEEDS_OWN", with(func(u *identityv1.User) { u.RoleIds = []string{servicetest.SuperUser} })},
			{"nothing assigned", "INVALID_FIELDS", with(func(u *identityv1.User) { u.PermissionKeys = nil })},
			{"an address of another one", "EMAIL_TAKEN", with(func(u *identityv1.User) { u.Email = a.user.Email })},
			{"a confirmed address", "CONFIRM_NOT_ALLOWED", with(func(u *identityv1.User) { u.Confirmed = ptr(true) })},
			{"a weak password", "WEAK_PASSWORD", with(func(u *identityv1.User) { u.Password = ptr("weak") })},
			{"a number that is not the proven one", "PHONE_NOT_VERIFIED", with(func(u *identityv1.User) { u.Phone = ptr(newNumber()) })},
			{"no number", "INVALID_FIELDS", with(func(u *identityv1.User) { u.Phone = ptr("mine") })},
		} {
			if _, err := w.Users.CreateUser(w.As(writer.Token), r.req); servicetest.Reason(err) != r.reason {
				t.Errorf("%s: %v, want %s", r.rule, err, r.reason)
			}
			if after := w.rows(); after != before {
				t.Errorf("%s: something was kept", r.rule)
				before = after
			}
		}
		u, err := w.Users.CreateUser(w.As(writer.Token), good)
		if err != nil || !u.GetPhoneVerified() {
			t.Errorf("all right at last: %v, %v", u, err)
		}
		if e := a.lastEvent(t, w); e.GetType() != "user.created" || e.GetTargetId() != u.GetId() {
			t.Errorf("event %v", e)
		}
	})
}
