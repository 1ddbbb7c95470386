package service_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// Who was deleted is found until they are purged, by a list that asks for them and
// by id; nothing else shows them.
func TestDeleted_AreFound(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.newTenant(), w.newTenant()
		as := w.As(a.Admin.Token)
		var gone []*identityv1.User
		for range 5 {
			u := w.CreateUser(a.GetId())
			must[*identityv1.User](t)(w.Users.DeleteUser(as, &identityv1.DeleteUserRequest{Id: u.GetId()}))
			gone = append(gone, u)
		}
		list := func(token string, f *identityv1.ListUsersRequest_Filter, order string) (ids []string, total int32) {
			t.Helper()
			req := &identityv1.ListUsersRequest{Filter: f, PageSize: 2, OrderBy: order, WithSummary: true}
			for {
				resp, err := w.Users.ListUsers(w.As(token), req)
				noError(t, err)
				for _, u := range resp.GetUsers() {
					if u.GetState() != identityv1.User_DELETED || u.GetDeleteTime() == nil {
						t.Errorf("listed as %v", u)
					}
					ids = append(ids, u.GetId())
				}
				if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
					return ids, resp.GetTotalSize()
				}
			}
		}
		deleted := func(email string) *identityv1.ListUsersRequest_Filter {
			f := &identityv1.ListUsersRequest_Filter{State: identityv1.User_DELETED}
			if email != "" {
				f.Email = &email
			}
			return f
		}
		for _, order := range []string{"email", "email desc", "display_name", "create_time desc"} {
			if ids, total := list(a.Admin.Token, deleted(""), order); len(ids) != 5 || total != 5 {
				t.Errorf("%s: %d listed, total %d", order, len(ids), total)
			}
		}
		if ids, total := list(a.Admin.Token, deleted(gone[3].GetEmail()), ""); len(ids) != 1 || ids[0] != gone[3].GetId() || total != 1 {
			t.Errorf("by address: %v of %d", ids, total)
		}
		if ids, _ := list(b.Admin.Token, deleted(""), ""); len(ids) != 0 {
			t.Errorf("another organization sees %v", ids)
		}
		all := must[*identityv1.ListUsersResponse](t)(w.Users.ListUsers(as, &identityv1.ListUsersRequest{PageSize: 100}))
		for _, u := range all.GetUsers() {
			if u.GetDeleteTime() != nil {
				t.Errorf("listed among all: %v", u)
			}
		}
		get := func(token, id string) error {
			u, err := w.Users.GetUser(w.As(token), &identityv1.GetUserRequest{Id: id})
			if err == nil && u.GetState() != identityv1.User_DELETED {
				t.Errorf("got as %v", u)
			}
			return err
		}
		noError(t, get(a.Admin.Token, gone[0].GetId()))
		servicetest.Refused(t, get(b.Admin.Token, gone[0].GetId()), codes.NotFound, identityv1.Error_NOT_FOUND)
		_, err := w.Users.BulkEnableUsers(as, &identityv1.BulkEnableUsersRequest{Filter: deleted("")})
		refusedField(t, err, "filter.state")
		stream, err := w.Users.ExportUsers(as, &identityv1.ExportUsersRequest{Filter: deleted("")})
		noError(t, err)
		_, err = stream.Recv()
		refusedField(t, err, "filter.state")

		w.Clock.Add(30*24*time.Hour + time.Second)
		admin := w.SignIn(a.Admin.GetEmail(), a.Admin.Password)
		if ids, total := list(admin, deleted(""), ""); len(ids) != 0 || total != 0 {
			t.Errorf("nobody can bring back %v", ids)
		}
		servicetest.Refused(t, get(admin, gone[0].GetId()), codes.NotFound, identityv1.Error_NOT_FOUND)
	})
}

// The event of a deletion names the address until the user is erased or purged.
func TestDeleted_EventNamesTheAddress(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		told := func(id string) (emails []string) {
			events, err := trail(t.Context(), w.Store, a.GetId())
			noError(t, err)
			for _, e := range events {
				if email, ok := e.Data["deleted_email"]; ok && e.Target == id {
					emails = append(emails, email)
				}
			}
			return emails
		}
		erased, purged := w.invite(a, noPassword), w.invite(a, noPassword)
		for _, u := range []*identityv1.User{erased, purged} {
			must[*identityv1.User](t)(w.Users.DeleteUser(w.As(a.Admin.Token), &identityv1.DeleteUserRequest{Id: u.GetId()}))
			if got := told(u.GetId()); strings.Join(got, ",") != u.GetEmail() {
				t.Errorf("deleted %s, told %v", u.GetEmail(), got)
			}
		}
		_, err := w.Users.EraseUser(w.As(a.Admin.Token), &identityv1.EraseUserRequest{Id: erased.GetId()})
		noError(t, err)
		w.Clock.Add(31 * 24 * time.Hour)
		noError(t, w.Service.Users.Purge(t.Context()))
		for _, u := range []*identityv1.User{erased, purged} {
			if got := told(u.GetId()); len(got) != 0 {
				t.Errorf("still told %v", got)
			}
		}
	})
}
