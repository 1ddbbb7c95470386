package service_test

import (
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// life deletes, brings back and erases people of one organization.
type life struct {
	*servicetest.World
	servicetest.Org
}

func (l *life) delete(token, id, etag string) (*identityv1.User, error) {
	return l.Users.DeleteUser(l.As(token), &identityv1.DeleteUserRequest{OrganizationId: l.GetId(), Id: id, Etag: etag})
}

func (l *life) undelete(token, id, etag string) (*identityv1.User, error) {
	return l.Users.UndeleteUser(l.As(token), &identityv1.UndeleteUserRequest{OrganizationId: l.GetId(), Id: id, Etag: etag})
}

func (l *life) erase(token, id, etag string) error {
	_, err := l.Users.EraseUser(l.As(token), &identityv1.EraseUserRequest{OrganizationId: l.GetId(), Id: id, Etag: etag})
	return err
}

// exact holds the badges against the rows.
func (l *life) exact(t *testing.T) {
	t.Helper()
	kept, err := l.Store.Badges(t.Context(), l.GetId())
	noError(t, err)
	if counted, err := recount(t.Context(), l.Store, l.GetId()); err != nil || kept != counted {
		t.Errorf("badges %+v, rows %+v, %v", kept, counted, err)
	}
}

// Deleted people come back disabled, with what they held; what ended stays ended.
func TestUndelete(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		l := &life{w, w.NewOrg()}
		admin := l.Admin.Token
		p := w.NewPerson(l.GetId(), servicetest.MonitoringUser, servicetest.DevOps)
		tokens := w.Tokens(p.GetEmail(), p.Password)
		deleted, err := l.delete(admin, p.GetId(), "")
		noError(t, err)
		l.exact(t)
		if deleted.GetDeleteTime() == nil {
			t.Error("a deleted person has no time of deletion")
		}
		_, err = l.undelete(admin, p.GetId(), "999")
		servicetest.Refused(t, err, codes.Aborted, identityv1.Error_ETAG_MISMATCH)
		back, err := l.undelete(admin, p.GetId(), deleted.GetEtag())
		noError(t, err)
		if back.GetEnabled() || back.GetState() != identityv1.User_DISABLED || back.GetDeleteTime() != nil || !back.GetConfirmed() || len(back.GetRoles()) != 2 {
			t.Errorf("came back as %v", back)
		}
		l.exact(t)
		again, err := l.undelete(admin, p.GetId(), "")
		if err != nil || !proto.Equal(back, again) {
			t.Errorf("again: %v, %v", again, err)
		}
		gone := func(rule string) {
			t.Helper()
			for _, text := range []string{p.Token, tokens.GetAccessToken()} {
				if servicetest.Reason(usable(w, text)) != "TOKEN_INVALID" {
					t.Errorf("%s: a token from before is accepted", rule)
				}
			}
			if _, err := refresher(t, w)(tokens.GetRefreshToken()); servicetest.Reason(err) != "TOKEN_INVALID" {
				t.Errorf("%s: refresh: %v", rule, err)
			}
		}
		gone("undeleted")
		_, err = w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: p.GetEmail(), Password: p.Password})
		servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_CREDENTIALS_INVALID)
		_, err = w.Users.EnableUser(w.As(admin), &identityv1.EnableUserRequest{Id: p.GetId()})
		noError(t, err)
		gone("enabled")
		noError(t, usable(w, w.SignIn(p.GetEmail(), p.Password)))
		l.exact(t)
		for id, want := range map[string]codes.Code{randomID(): codes.NotFound, w.NewOrg().Admin.GetId(): codes.NotFound} {
			_, err := l.undelete(admin, id, "")
			servicetest.Refused(t, err, want, identityv1.Error_NOT_FOUND)
		}
	})
}

// RG-25: thirty days are over when they are over, whether or not anybody swept.
func TestUndelete_RG25_Expiry(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		l := &life{w, w.NewOrg()}
		in, out := w.CreateUser(l.GetId()), w.CreateUser(l.GetId())
		for _, u := range []*identityv1.User{in, out} {
			_, err := l.delete(w.Root, u.GetId(), "")
			noError(t, err)
		}
		w.Clock.Add(30*24*time.Hour - time.Microsecond)
		root := w.SignIn(servicetest.RootEmail, servicetest.RootPassword)
		_, err := l.undelete(root, in.GetId(), "")
		noError(t, err)
		w.Clock.Add(time.Microsecond)
		_, err = l.undelete(root, out.GetId(), "")
		servicetest.Refused(t, err, codes.NotFound, identityv1.Error_NOT_FOUND)
		noError(t, l.erase(root, out.GetId(), "")) // but what is kept can be erased
		servicetest.Refused(t, l.erase(root, out.GetId(), ""), codes.NotFound, identityv1.Error_NOT_FOUND)
		l.exact(t)
	})
}

// The address of a deleted person is free elsewhere at once, and reserved at
// home until the end.
func TestDelete_Address(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		rows := []struct {
			rule      string
			confirmed bool // the deleted one
			elsewhere bool // the one elsewhere
			back      string
		}{
			{"confirmed, confirmed elsewhere since", true, true, "EMAIL_TAKEN"},
			{"confirmed, pending elsewhere", true, false, ""},
			{"pending, confirmed elsewhere since", false, true, "EMAIL_TAKEN"},
			{"pending, pending elsewhere", false, false, ""},
		}
		for _, row := range rows {
			l, other := &life{w, w.NewOrg()}, w.NewOrg()
			draft := func(confirmed bool, email string) *identityv1.User {
				u := w.Draft()
				u.Confirmed = &confirmed
				if email != "" {
					u.Email = &email
				}
				return u
			}
			create := func(org string, u *identityv1.User) (*identityv1.User, error) {
				return w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{OrganizationId: org, User: u})
			}
			u, err := create(l.GetId(), draft(row.confirmed, ""))
			noError(t, err)
			_, err = l.delete(w.Root, u.GetId(), "")
			noError(t, err)
			_, err = create(l.GetId(), draft(false, u.GetEmail()))
			servicetest.Refused(t, err, codes.AlreadyExists, identityv1.Error_EMAIL_TAKEN)
			_, err = create(other.GetId(), draft(row.elsewhere, u.GetEmail()))
			noError(t, err)
			before := stateOf(t, w, l.GetId())
			_, err = l.undelete(w.Root, u.GetId(), "")
			if servicetest.Reason(err) != row.back {
				t.Errorf("%s: %v", row.rule, err)
			}
			if row.back != "" && len(stateOf(t, w, l.GetId()).Events) != len(before.Events) {
				t.Errorf("%s: refused, but something happened", row.rule)
			}
			noError(t, l.erase(w.Root, u.GetId(), ""))
			l.exact(t)
			_, err = create(l.GetId(), draft(false, u.GetEmail()))
			if want := map[bool]string{true: "EMAIL_TAKEN"}[row.elsewhere]; servicetest.Reason(err) != want {
				t.Errorf("%s: after the erasure %v", row.rule, err)
			}
		}
	})
}

var canaryTexts = []string{"kanarienvogel", "quittenbaum"}

// A purge erases who is due, a batch under a lock, with an event that nobody
// made; two replicas at once purge each of them once.
func TestPurge(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		w := servicetest.New(t, url)
		replicas := []*servicetest.World{w, replica(t, w, url)}
		l, other := &life{w, w.NewOrg()}, &life{w, w.NewOrg()}
		due := map[string]bool{}
		for _, o := range []*life{l, other} {
			for range 5 {
				u := w.CreateUser(o.GetId())
				_, err := o.delete(w.Root, u.GetId(), "")
				noError(t, err)
				due[u.GetId()] = true
			}
		}
		w.Clock.Add(30*24*time.Hour - time.Microsecond)
		w.Root = w.SignIn(servicetest.RootEmail, servicetest.RootPassword)
		late := w.CreateUser(l.GetId())
		_, err := l.delete(w.Root, late.GetId(), "")
		noError(t, err)
		noError(t, w.Service.Users.Purge(t.Context()))
		if u, err := w.Store.UserDeletedAfter(t.Context(), l.GetId(), late.GetId(), 0); err != nil || u.Deleted == 0 {
			t.Errorf("too early: %v", err)
		}
		w.Clock.Add(time.Microsecond)
		var wg sync.WaitGroup
		for range 4 {
			for _, r := range replicas {
				wg.Go(func() {
					if err := r.Service.Users.Purge(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		for _, o := range []*life{l, other} {
			o.exact(t)
			events, err := trail(t.Context(), w.Store, o.GetId())
			noError(t, err)
			for _, e := range events {
				if e.Type != "user.purged" {
					continue
				}
				if !due[e.Target] || e.Actor != "" || e.Credential != "" || e.Source != "" {
					t.Errorf("%+v", e)
				}
				delete(due, e.Target)
			}
		}
		if len(due) != 0 {
			t.Errorf("%d were not purged", len(due))
		}
		_, err = w.Store.UserDeletedAfter(t.Context(), l.GetId(), late.GetId(), 0)
		noError(t, err)
	})
}
