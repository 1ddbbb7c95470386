package service_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// Whoever changes what they themselves sign in with gives their present password; a
// stolen access token does not become the account.
func TestUpdateUser_OfOneselfNeedsThePassword(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		other := w.invite(a, noPassword)
		const next = "Another#Horse8battery"
		rows := []struct {
			rule    string
			user    *identityv1.User
			paths   []string
			refused string
		}{
			{"a password, without", &identityv1.User{Password: ptr(next)}, []string{"password"}, "user.current_password"},
			{"an address, without", &identityv1.User{Email: ptr("mine@new.test")}, []string{"email"}, "user.current_password"},
			{"a phone, without", &identityv1.User{Phone: ptr("+41791234567")}, []string{"phone"}, "user.current_password"},
			{"a password, with a wrong one", &identityv1.User{Password: ptr(next), CurrentPassword: ptr("Wrong#Horse8battery")}, []string{"password"}, "CREDENTIALS_INVALID"},
			{"a name, without", &identityv1.User{FirstName: ptr("Adah")}, []string{"first_name"}, ""},
			{"the address as it is, without", &identityv1.User{Email: a.Admin.Email}, []string{"email"}, ""},
			{"another user's address, without", &identityv1.User{Id: other.GetId(), Email: ptr("theirs@new.test")}, []string{"email"}, ""},
			{"a password, with the present one", &identityv1.User{Password: ptr(next), CurrentPassword: &a.Admin.Password}, []string{"password"}, ""},
		}
		for _, row := range rows {
			if row.user.GetId() == "" {
				row.user.Id = a.Admin.GetId()
			}
			err := w.patch(a, row.user, row.paths...)
			switch {
			case row.refused == "" && err != nil:
				t.Errorf("%s: %v", row.rule, err)
			case row.refused == "CREDENTIALS_INVALID":
				servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_CREDENTIALS_INVALID)
			case row.refused != "":
				refusedField(t, err, row.refused)
			}
		}
	})
}

// Wrong present passwords are counted with wrong sign-ins, and wait like them.
func TestUpdateUser_OfOneselfCountsTries(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		guess := func() error {
			return w.patch(a, &identityv1.User{Id: a.Admin.GetId(), Password: ptr("Another#Horse8battery"), CurrentPassword: ptr("Wrong#Horse8battery")}, "password")
		}
		limited := false
		for range 20 {
			if servicetest.Reason(guess()) == "RATE_LIMITED" {
				limited = true
				break
			}
		}
		if !limited {
			t.Error("guesses are not slowed down")
		}
		_, err := w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: a.Admin.GetEmail(), Password: a.Admin.Password})
		servicetest.Refused(t, err, codes.ResourceExhausted, identityv1.Error_RATE_LIMITED)
	})
}

// Nobody renames somebody who holds more.
func TestUpdateUser_NameNeedsControl(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		weak := w.NewPerson(a.GetId(), servicetest.BusinessAdmin)
		_, err := w.Users.UpdateUser(w.As(weak.Token), &identityv1.UpdateUserRequest{
			User: &identityv1.User{Id: a.Admin.GetId(), FirstName: ptr("Mallory")}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"first_name"}},
		})
		servicetest.Refused(t, err, codes.PermissionDenied, identityv1.Error_GRANT_EXCEEDS_OWN)
	})
}

// From where an operator of the platform called does not stand in customers' events.
func TestEvents_OperatorsSourceIsTheirs(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		u := w.CreateUser(a.GetId()) // by the platform
		mine := w.invite(a, noPassword)
		source := func(token, target string) string {
			resp, err := w.Events.ListEvents(w.As(token), &identityv1.ListEventsRequest{
				OrganizationId: a.GetId(), Filter: &identityv1.ListEventsRequest_Filter{TargetId: &target, Type: ptr("user.created")},
			})
			noError(t, err)
			if len(resp.GetEvents()) != 1 {
				t.Fatalf("%d events", len(resp.GetEvents()))
			}
			return resp.GetEvents()[0].GetSource()
		}
		if got := source(a.Admin.Token, u.GetId()); got != "" {
			t.Errorf("the customer sees %q", got)
		}
		if source(w.Root, u.GetId()) == "" || source(a.Admin.Token, mine.GetId()) == "" {
			t.Error("who may know does not see the source")
		}
	})
}

// Users of two organizations who swap their addresses do not wait for each other
// until the database gives up.
func TestUpdateUser_SwapAcrossOrganizations(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.NewOrg(), w.NewOrg()
		first, second := w.CreateUser(a.GetId()), w.CreateUser(b.GetId())
		for range 20 {
			ctx, cancel := context.WithTimeout(w.As(w.Root), 10*time.Second)
			var wg sync.WaitGroup
			for _, u := range []*identityv1.User{
				{Id: first.GetId(), OrganizationId: a.GetId(), Email: second.Email}, {Id: second.GetId(), OrganizationId: b.GetId(), Email: first.Email},
			} {
				wg.Go(func() {
					_, err := w.Users.UpdateUser(ctx, &identityv1.UpdateUserRequest{
						OrganizationId: u.GetOrganizationId(), User: u, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"email"}},
					})
					if reason := servicetest.Reason(err); reason != "EMAIL_TAKEN" && reason != "" {
						t.Errorf("%v", err)
					}
				})
			}
			wg.Wait()
			cancel()
		}
	})
}
