package service_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// metadataOf is the metadata of an error.
func metadataOf(err error) map[string]string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetMetadata()
		}
	}
	return nil
}

// Addresses of the own organization are no secret: they cost nothing, and who has
// one is named to whoever may read users.
func TestAvailability_OwnOrganizationIsFree(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		as := w.As(a.Admin.Token)
		create := func(email string) error {
			u := w.Draft()
			u.Email, u.Confirmed, u.Password = &email, nil, nil
			_, err := w.Users.CreateUser(as, &identityv1.CreateUserRequest{User: u})
			return err
		}
		gone := w.invite(a, noPassword)
		_, err := w.Users.DeleteUser(as, &identityv1.DeleteUserRequest{Id: gone.GetId()})
		noError(t, err)
		other := w.invite(a, noPassword)
		rows := []struct {
			rule, id string
			ask      func() error
		}{
			{"create", a.user.GetId(), func() error { return create(strings.ToUpper(a.user.GetEmail())) }},
			{"create, of a deleted user", gone.GetId(), func() error { return create(gone.GetEmail()) }},
			{"update", a.user.GetId(), func() error {
				return w.patch(a, &identityv1.User{Id: other.GetId(), Email: a.user.Email}, "email")
			}},
			{"update with a password", a.user.GetId(), func() error {
				return w.patch(a, &identityv1.User{Id: other.GetId(), Email: a.user.Email, Password: ptr("Another#Horse8battery")}, "email", "password")
			}},
			{"create with a password", gone.GetId(), func() error {
				u := w.Draft()
				u.Email, u.Confirmed = gone.Email, nil
				_, err := w.Users.CreateUser(as, &identityv1.CreateUserRequest{User: u})
				return err
			}},
		}
		for _, row := range rows {
			err := row.ask()
			servicetest.Refused(t, err, codes.AlreadyExists, identityv1.Error_EMAIL_TAKEN)
			if got := metadataOf(err)["id"]; got != row.id {
				t.Errorf("%s: names %q, want %q", row.rule, got, row.id)
			}
		}
		got := imported(t, w, a.Admin.Token, &identityv1.ImportUsersRequest{}, "email,first_name,last_name,roles\n"+gone.GetEmail()+",Ann,Ng,Monitoring User\n")
		if got[0].GetReason() != "EMAIL_TAKEN" || got[0].GetId() != gone.GetId() {
			t.Errorf("imported: %v", got[0])
		}
		for i := range 310 {
			if i%2 == 0 {
				servicetest.Refused(t, create(a.user.GetEmail()), codes.AlreadyExists, identityv1.Error_EMAIL_TAKEN)
				continue
			}
			if resp, err := w.Users.CheckEmailAvailability(as, &identityv1.CheckEmailAvailabilityRequest{Email: a.user.GetEmail()}); err != nil || resp.GetAvailable() {
				t.Fatal(resp, err)
			}
		}
		noError(t, create("free@own.test"))

		blind := w.Draft() // may write, but not read
		blind.RoleIds, blind.PermissionKeys = nil, []string{"platform.users.write"}
		made := must[*identityv1.User](t)(w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{OrganizationId: a.GetId(), User: blind}))
		token := w.Begin(made.GetEmail(), servicetest.InitialPassword, "Another#Horse8battery").GetAccessToken()
		u := w.Draft()
		u.RoleIds, u.PermissionKeys, u.Email, u.Confirmed, u.Password = nil, []string{"platform.users.write"}, a.user.Email, nil, nil
		_, err = w.Users.CreateUser(w.As(token), &identityv1.CreateUserRequest{User: u})
		servicetest.Refused(t, err, codes.AlreadyExists, identityv1.Error_EMAIL_TAKEN)
		if _, named := metadataOf(err)["id"]; named {
			t.Errorf("names the holder to somebody who may not read users: %v", metadataOf(err))
		}
	})
}

// After too many addresses of elsewhere every new address is refused, free or not.
// What names no new address goes on.
func TestAvailability_LimitsNewAddressesAlone(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		elsewhere := w.newTenant().user.GetEmail()
		a := w.newTenant()
		as := w.As(a.Admin.Token)
		pending, gone := w.invite(a, noPassword), w.invite(a, noPassword)
		_, err := w.Users.DeleteUser(as, &identityv1.DeleteUserRequest{Id: gone.GetId()})
		noError(t, err)
		named := func(email string) error {
			u := w.Draft()
			u.Email, u.Confirmed, u.Password = &email, nil, nil
			_, err := w.Users.CreateUser(as, &identityv1.CreateUserRequest{User: u})
			return err
		}
		for range 301 {
			err = named(elsewhere)
		}
		servicetest.Refused(t, err, codes.ResourceExhausted, identityv1.Error_RATE_LIMITED)
		const header = "email,first_name,last_name,roles\n"
		file := func(emails ...string) error {
			text := header
			for _, email := range emails {
				text += fmt.Sprintf("%s,Ann,Ng,Monitoring User\n", email)
			}
			_, _, err := importFile(as, w.World, &identityv1.ImportUsersRequest{}, strings.NewReader(text))
			return err
		}
		rows := []struct {
			rule    string
			limited bool
			call    func() error
		}{
			{"create with a free address", true, func() error { return named("free@new.test") }},
			{"create with one of elsewhere", true, func() error { return named(elsewhere) }},
			{"create with one of the organization", true, func() error { return named(a.user.GetEmail()) }},
			{"update to a free address", true, func() error {
				return w.patch(a, &identityv1.User{Id: pending.GetId(), Email: ptr("free@new.test")}, "email")
			}},
			{"import of a free address", true, func() error { return file("free@new.test") }},
			{"check of a free address", true, func() error {
				_, err := w.Users.CheckEmailAvailability(as, &identityv1.CheckEmailAvailabilityRequest{Email: "free@new.test"})
				return err
			}},
			{"update that sends the address as it is", false, func() error {
				return w.patch(a, &identityv1.User{Id: pending.GetId(), Email: pending.Email, FirstName: ptr("Gracie")}, "email", "first_name")
			}},
			{"update that spells it in other letters", false, func() error {
				return w.patch(a, &identityv1.User{Id: pending.GetId(), Email: ptr(strings.ToUpper(pending.GetEmail()))}, "email")
			}},
			{"import of users who are there", false, func() error { return file(pending.GetEmail(), a.user.GetEmail()) }},
			{"import of a deleted user", false, func() error { return file(gone.GetEmail()) }},
			{"check of an address of the organization", false, func() error {
				_, err := w.Users.CheckEmailAvailability(as, &identityv1.CheckEmailAvailabilityRequest{Email: pending.GetEmail()})
				return err
			}},
			{"send an activation mail", false, func() error {
				_, err := w.Users.SendActivation(as, &identityv1.SendActivationRequest{Id: pending.GetId()})
				return err
			}},
			{"undelete", false, func() error {
				_, err := w.Users.UndeleteUser(as, &identityv1.UndeleteUserRequest{Id: gone.GetId()})
				return err
			}},
		}
		for _, row := range rows {
			err := row.call()
			if limited := servicetest.Reason(err) == "RATE_LIMITED"; limited != row.limited || (!limited && err != nil) {
				t.Errorf("%s: %v", row.rule, err)
			}
			if row.limited && !strings.Contains(err.Error(), "address") && !strings.Contains(err.Error(), "availability") {
				t.Errorf("%s: does not say what is limited: %v", row.rule, err)
			}
		}
	})
}
