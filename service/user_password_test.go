package service_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// What can be known to be refused is refused before the password is hashed.
func TestPasswords_PF02_RefusedUnhashed(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.NewOrg(), w.NewOrg()
		there, elsewhere := w.CreateUser(a.GetId()), w.NewPerson(b.GetId())
		deleted := w.CreateUser(a.GetId())
		must[*identityv1.User](t)(w.Users.DeleteUser(w.As(a.Admin.Token), &identityv1.DeleteUserRequest{Id: deleted.GetId()}))
		weaker := w.As(holder(t, w.World, a.GetId(), "platform.users.write", "platform.users.read").Token)
		admin, root := w.As(a.Admin.Token), w.As(w.Root)

		draft := func(change func(*identityv1.User)) *identityv1.User {
			u := w.Draft()
			u.Confirmed, u.Password = nil, ptr(servicetest.InitialPassword)
			change(u)
			return u
		}
		create := func(change func(*identityv1.User)) func() error {
			return func() error {
				_, err := w.Users.CreateUser(admin, &identityv1.CreateUserRequest{User: draft(change)})
				return err
			}
		}
		update := func(u *identityv1.User, paths ...string) func() error {
			return func() error {
				u := proto.Clone(u).(*identityv1.User)
				u.Id, u.Password = there.GetId(), ptr(servicetest.InitialPassword)
				return patch(admin, w.World, "", u, append(paths, "password")...)
			}
		}
		found := func(change func(*identityv1.User)) func() error {
			return func() error {
				_, err := w.Orgs.CreateOrganization(root, &identityv1.CreateOrganizationRequest{
					Organization: &identityv1.Organization{DisplayName: ptr("New")}, Administrator: draft(change),
				})
				return err
			}
		}
		for _, row := range []struct {
			rule, reason string
			call         func() error
		}{
			{"create: no roles", "INVALID_FIELDS", create(func(u *identityv1.User) { u.RoleIds = nil })},
			{"create: an unknown role", "NOT_FOUND", create(func(u *identityv1.User) { u.RoleIds = []string{randomID()} })},
			{"create: an unknown permission", "UNKNOWN_PERMISSION", create(func(u *identityv1.User) { u.PermissionKeys = []string{"platform.nothing.read"} })},
			{"create: taken here", "EMAIL_TAKEN", create(func(u *identityv1.User) { u.Email = there.Email })},
			{"create: taken by a deleted one", "EMAIL_TAKEN", create(func(u *identityv1.User) { u.Email = deleted.Email })},
			{"create: confirmed elsewhere", "EMAIL_TAKEN", create(func(u *identityv1.User) { u.Email = elsewhere.Email })},
			{"create: confirmed", "CONFIRM_NOT_ALLOWED", create(func(u *identityv1.User) { u.Confirmed = ptr(true) })},
			{"create: an unproven number", "PHONE_NOT_VERIFIED", create(func(u *identityv1.User) { u.Phone = ptr("+41791234567") })},
			{"create: no proof", "PHONE_NOT_VERIFIED", create(func(u *identityv1.User) { u.PhoneProof = ptr("x") })},
			{"create: more than one holds", "GRANT_EXCEEDS_OWN", func() error {
				_, err := w.Users.CreateUser(weaker, &identityv1.CreateUserRequest{User: draft(func(u *identityv1.User) { u.RoleIds = []string{servicetest.SuperUser} })})
				return err
			}},
			{"update: another version", "ETAG_MISMATCH", update(&identityv1.User{Etag: "x"})},
			{"update: an address taken here", "EMAIL_TAKEN", update(&identityv1.User{Email: a.Admin.Email}, "email")},
			{"update: an address confirmed elsewhere", "EMAIL_TAKEN", update(&identityv1.User{Email: elsewhere.Email}, "email")},
			{"update: confirmed", "CONFIRM_NOT_ALLOWED", update(&identityv1.User{Confirmed: ptr(!there.GetConfirmed())}, "confirmed")},
			{"update: an unproven number", "PHONE_NOT_VERIFIED", update(&identityv1.User{Phone: ptr("+41791234567")}, "phone")},
			{"update: an unknown role", "NOT_FOUND", update(&identityv1.User{RoleIds: []string{randomID()}}, "role_ids")},
			{"update: no roles left", "INVALID_FIELDS", update(&identityv1.User{}, "role_ids")},
			{"update: of somebody who holds more", "GRANT_EXCEEDS_OWN", func() error {
				return patch(weaker, w.World, "", &identityv1.User{Id: a.Admin.GetId(), Password: ptr(servicetest.InitialPassword)}, "password")
			}},
			{"update: of nobody", "NOT_FOUND", func() error {
				return patch(admin, w.World, "", &identityv1.User{Id: randomID(), Password: ptr(servicetest.InitialPassword)}, "password")
			}},
			{"organization: an address confirmed elsewhere", "EMAIL_TAKEN", found(func(u *identityv1.User) { u.Email = elsewhere.Email })},
			{"organization: an unknown role", "NOT_FOUND", found(func(u *identityv1.User) { u.RoleIds = []string{randomID()} })},
			{"organization: an unproven number", "PHONE_NOT_VERIFIED", found(func(u *identityv1.User) { u.Phone = ptr("+41791234567") })},
		} {
			ran := w.Passwords.Runs()
			if err := row.call(); servicetest.Reason(err) != row.reason {
				t.Errorf("%s: %v, want %s", row.rule, err, row.reason)
			}
			if n := w.Passwords.Runs() - ran; n != 0 {
				t.Errorf("%s: %d hashes", row.rule, n)
			}
		}
	})
}

// Passwords that a caller sets have a budget, which nothing else spends.
func TestPasswords_PF02_Budget(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.NewOrg()
		admin := w.As(a.Admin.Token)
		id := w.CreateUser(a.GetId()).GetId()
		create := func(password *string) error {
			u := w.Draft()
			u.Confirmed, u.Password = nil, password
			_, err := w.Users.CreateUser(admin, &identityv1.CreateUserRequest{User: u})
			return err
		}
		set := func() error {
			return patch(admin, w.World, "", &identityv1.User{Id: id, Password: ptr(servicetest.InitialPassword)}, "password")
		}
		noError(t, create(ptr(servicetest.InitialPassword)))
		noError(t, set())
		w.sql(`UPDATE budgets SET used = 3000 WHERE used = 2`)
		ran := w.Passwords.Runs()
		for rule, err := range map[string]error{"CreateUser": create(ptr(servicetest.InitialPassword)), "UpdateUser": set()} {
			if servicetest.Reason(err) != "RATE_LIMITED" || w.Passwords.Runs() != ran {
				t.Errorf("%s: %v after %d hashes", rule, err, w.Passwords.Runs()-ran)
			}
		}
		noError(t, create(nil))
		noError(t, patch(admin, w.World, "", &identityv1.User{Id: id, FirstName: ptr("Grace")}, "first_name"))
	})
}
