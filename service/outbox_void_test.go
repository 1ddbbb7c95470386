package service_test

import (
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

// A mail that waits is dropped when its link leads nowhere any more.
func TestOutbox_DropsVoidLinks(t *testing.T) {
	eachMailSite(t, func(t *testing.T, m *mailSite) {
		as := m.As(m.Root)
		m.smtp.Fail(nil, func(string) error { return &smtp.SMTPError{Code: 451, Message: "later"} }, nil)
		only := func(u *identityv1.User) *identityv1.ListUsersRequest_Filter {
			return &identityv1.ListUsersRequest_Filter{EmailExact: u.Email}
		}
		patch := func(u *identityv1.User, path string) error {
			_, err := m.Users.UpdateUser(as, &identityv1.UpdateUserRequest{User: u, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}})
			return err
		}
		rows := []struct {
			rule  string
			void  bool
			after func(u *identityv1.User) error
		}{
			{"nothing happened", false, func(*identityv1.User) error { return nil }},
			{"another name", false, func(u *identityv1.User) error {
				return patch(&identityv1.User{Id: u.GetId(), FirstName: ptr("Gracie")}, "first_name")
			}},
			{"a corrected address", true, func(u *identityv1.User) error {
				return patch(&identityv1.User{Id: u.GetId(), Email: ptr("new." + u.GetEmail())}, "email")
			}},
			{"deleted", true, func(u *identityv1.User) error {
				_, err := m.Users.DeleteUser(as, &identityv1.DeleteUserRequest{Id: u.GetId()})
				return err
			}},
			{"disabled", true, func(u *identityv1.User) error {
				_, err := m.Users.DisableUser(as, &identityv1.DisableUserRequest{Id: u.GetId()})
				return err
			}},
			{"disabled and enabled with others", true, func(u *identityv1.User) error {
				if _, err := m.Users.BulkDisableUsers(as, &identityv1.BulkDisableUsersRequest{Filter: only(u)}); err != nil {
					return err
				}
				_, err := m.Users.BulkEnableUsers(as, &identityv1.BulkEnableUsersRequest{Filter: only(u)})
				return err
			}},
		}
		users := make([]*identityv1.User, len(rows))
		for i := range rows {
			draft := m.Draft()
			draft.Confirmed, draft.Password = nil, nil
			var err error
			users[i], err = m.Users.CreateUser(as, &identityv1.CreateUserRequest{User: draft})
			noError(t, err)
		}
		down := func() {
			servicetest.Eventually(t, "the server is down for all", func() bool {
				for _, l := range m.undelivered() {
					if l.Attempts == 0 || l.Leased != 0 {
						return false
					}
				}
				return true
			})
		}
		down()
		m.Clock.Add(time.Millisecond)
		for i, row := range rows {
			noError(t, row.after(users[i]))
		}
		down()
		m.smtp.Fail(nil, nil, nil)
		m.Clock.Add(time.Minute)
		left := map[string]store.Message{}
		servicetest.Eventually(t, "nothing waits", func() bool {
			clear(left)
			for _, l := range m.undelivered() {
				if l.Dead == 0 {
					return false
				}
				left[l.Principal] = l
			}
			return true
		})
		to := map[string]int{}
		for _, mail := range m.smtp.Mails() {
			to[mail.To]++
		}
		for i, row := range rows {
			l, dropped := left[users[i].GetId()]
			if dropped != row.void || (to[users[i].GetEmail()] == 0) != row.void || (dropped && l.Sealed != nil) {
				t.Errorf("%s: dropped %v (%s), %d mails", row.rule, dropped, l.LastError, to[users[i].GetEmail()])
			}
		}
	})
}
