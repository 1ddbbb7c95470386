package service_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

func TestUsers(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		org := w.NewOrg()
		admin := w.As(org.Admin.Token)
		u, err := w.Users.CreateUser(admin, &identityv1.CreateUserRequest{User: &identityv1.User{
			Email: ptr(" Ann@Example.COM "), FirstName: ptr("Ann"), LastName: ptr("O'Neil"), RoleIds: []string{servicetest.MonitoringUser},
			Password: ptr("Zebra#river9stone"),
		}})
		if err != nil {
			t.Fatal(err)
		}
		if u.GetState() != identityv1.User_PENDING || u.GetDisplayName() != "Ann O'Neil" || len(u.GetRoles()) != 1 || u.GetCreatedBy() != org.Admin.GetId() {
			t.Errorf("created %v", u)
		}
		_, err = w.Users.CreateUser(admin, &identityv1.CreateUserRequest{User: &identityv1.User{
			Email: ptr("ann@example.com"), FirstName: ptr("Ann"), LastName: ptr("Other"), RoleIds: []string{servicetest.MonitoringUser},
		}})
		servicetest.Refused(t, err, codes.AlreadyExists, identityv1.Error_EMAIL_TAKEN)

		list, err := w.Users.ListUsers(admin, &identityv1.ListUsersRequest{WithSummary: true})
		if err != nil {
			t.Fatal(err)
		}
		if s := list.GetSummary(); s.GetTotal() != 2 || s.GetPending() != 1 || s.GetActive() != 1 || list.GetTotalSize() != 2 || len(list.GetUsers()) != 2 {
			t.Errorf("list %v", list)
		}
		for _, step := range []struct {
			call func() (*identityv1.User, error)
			want identityv1.User_State
		}{
			{func() (*identityv1.User, error) {
				return w.Users.DisableUser(admin, &identityv1.DisableUserRequest{Id: u.GetId()})
			}, identityv1.User_DISABLED},
			{func() (*identityv1.User, error) {
				return w.Users.EnableUser(admin, &identityv1.EnableUserRequest{Id: u.GetId()})
			}, identityv1.User_PENDING},
		} {
			got, err := step.call()
			if err != nil || got.GetState() != step.want {
				t.Errorf("%v, %v, want %v", got, err, step.want)
			}
		}
		_, err = w.Users.DisableUser(admin, &identityv1.DisableUserRequest{Id: org.Admin.GetId()})
		servicetest.Refused(t, err, codes.FailedPrecondition, identityv1.Error_LAST_ADMINISTRATOR)
		events, err := w.Events.ListEvents(admin, &identityv1.ListEventsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range events.GetEvents() {
			if e.GetSequence() != int64(len(events.GetEvents())-i) {
				t.Errorf("event %d has number %d", i, e.GetSequence())
			}
		}
		if n := len(events.GetEvents()); n != 6 { // the first four: organization, administrator, their password, Ann
			t.Errorf("%d events, want 6: %v", n, events)
		}
	})
}
