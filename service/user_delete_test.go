package service_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
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
		_, err = w.Users.GetUser(w.As(admin), &identityv1.GetUserRequest{Id: p.GetId()})
		servicetest.Refused(t, err, codes.NotFound, identityv1.Error_NOT_FOUND)

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

// Deleting, bringing back and erasing take all that the person holds; the last
// administrator stays; strangers learn nothing.
func TestErase_Refused(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		l := &life{w, w.NewOrg()}
		helper := w.NewPerson(l.GetId(), servicetest.BusinessAdmin)
		devops, gone := w.CreateUser(l.GetId(), servicetest.DevOps), w.CreateUser(l.GetId(), servicetest.DevOps)
		_, err := l.delete(l.Admin.Token, gone.GetId(), "")
		noError(t, err)
		before := stateOf(t, w, l.GetId())
		for rule, err := range map[string]error{
			"erasing who holds more":           l.erase(helper.Token, devops.GetId(), ""),
			"erasing a deleted one":            l.erase(helper.Token, gone.GetId(), ""),
			"erasing the administrator":        l.erase(helper.Token, l.Admin.GetId(), ""),
			"bringing back who holds more":     func() error { _, err := l.undelete(helper.Token, gone.GetId(), ""); return err }(),
			"bringing back who is there still": func() error { _, err := l.undelete(helper.Token, devops.GetId(), ""); return err }(),
		} {
			if servicetest.Reason(err) != "GRANT_EXCEEDS_OWN" {
				t.Errorf("%s: %v", rule, err)
			}
		}
		servicetest.Refused(t, l.erase(l.Admin.Token, devops.GetId(), "999"), codes.Aborted, identityv1.Error_ETAG_MISMATCH)
		servicetest.Refused(t, l.erase(w.NewPerson(l.GetId()).Token, devops.GetId(), ""), codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED)
		servicetest.Refused(t, l.erase(w.NewOrg().Admin.Token, devops.GetId(), ""), codes.NotFound, identityv1.Error_NOT_FOUND)
		servicetest.Refused(t, l.erase("", devops.GetId(), ""), codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
		for _, token := range []string{l.Admin.Token, w.Root} {
			last := &lastAdmin{World: w, org: l.Org, id: l.Admin.GetId()}
			refusedWhole(t, last, func(*lastAdmin) error { return l.erase(token, l.Admin.GetId(), "") })
		}
		if n := len(stateOf(t, w, l.GetId()).Users); n != len(before.Users)+1 {
			t.Errorf("%d people", n)
		}
		noError(t, l.erase(helper.Token, helper.GetId(), "")) // oneself
		servicetest.Refused(t, usable(w, helper.Token), codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
	})
}

// Of sixteen who erase, bring back and delete at once each gets an answer that
// fits some order, and the badges stay exact.
func TestErase_AtOnce(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		l := &life{w, w.NewOrg()}
		for range 3 {
			u := w.CreateUser(l.GetId())
			_, err := l.delete(w.Root, u.GetId(), "")
			noError(t, err)
			var wg sync.WaitGroup
			var mu sync.Mutex
			erased := 0
			for n := range 16 {
				wg.Go(func() {
					var err error
					switch n % 4 {
					case 0:
						_, err = l.undelete(w.Root, u.GetId(), "")
					case 1:
						_, err = l.delete(w.Root, u.GetId(), "")
					case 2:
						_, err = w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: u.GetEmail(), Password: servicetest.RootPassword})
					case 3:
						if err = l.erase(w.Root, u.GetId(), ""); err == nil {
							mu.Lock()
							erased++
							mu.Unlock()
						}
					}
					if reason := servicetest.Reason(err); !strings.Contains(" NOT_FOUND CREDENTIALS_INVALID RATE_LIMITED ", " "+reason+" ") && reason != "" {
						t.Errorf("%d was told %s", n%4, reason)
					}
				})
			}
			wg.Wait()
			if erased != 1 {
				t.Errorf("erased %d times", erased)
			}
			l.exact(t)
		}
	})
}

// canary is a person whose name, address and number are found wherever they are.
type canary struct {
	*identityv1.User
	session string
}

var canaryTexts = []string{"kanarienvogel", "quittenbaum"}

// newCanary makes a person who leaves traces everywhere.
func newCanary(t *testing.T, w *world, org servicetest.Org, email, request, number string) canary {
	t.Helper()
	root := w.As(w.Root)
	u := &identityv1.User{
		Email: &email, FirstName: ptr("Kanarienvogel"), LastName: ptr("Quittenbaum"), Password: ptr(servicetest.InitialPassword),
		RoleIds: []string{servicetest.Manager}, PermissionKeys: []string{"agents.read"},
		Phone: &number, PhoneProof: ptr(w.prove(w.Root, org.GetId(), "", number)),
	}
	made, err := w.Users.CreateUser(root, &identityv1.CreateUserRequest{OrganizationId: org.GetId(), User: u, RequestId: request})
	noError(t, err)
	_, err = w.Users.SendActivation(root, &identityv1.SendActivationRequest{OrganizationId: org.GetId(), Id: made.GetId(), RequestId: request + " again"})
	noError(t, err)
	noError(t, patch(root, w.World, org.GetId(), &identityv1.User{Id: made.GetId(), Confirmed: ptr(true)}, "confirmed"))
	_, err = w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: email, Password: "Wrong#password9"})
	servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_CREDENTIALS_INVALID)
	tokens := w.Tokens(email, servicetest.RootPassword)
	_, err = w.Users.CreateUser(w.As(tokens.GetAccessToken()), &identityv1.CreateUserRequest{User: w.Draft(), RequestId: request})
	_ = err // may or may not be allowed; it leaves traces
	noError(t, patch(root, w.World, org.GetId(), &identityv1.User{Id: made.GetId(), LastName: ptr("Quittenbaum-Neu")}, "last_name"))
	w.Clock.Add(time.Minute) // a number gets a code every half one
	_, err = w.Users.StartPhoneVerification(root, &identityv1.StartPhoneVerificationRequest{
		OrganizationId: org.GetId(), UserId: made.GetId(), Phone: number, RequestId: request + " phone",
	})
	noError(t, err)
	helper := w.NewPerson(org.GetId(), servicetest.BusinessAdmin)
	_, err = w.Users.BulkDisableUsers(w.As(helper.Token), &identityv1.BulkDisableUsersRequest{Filter: &filter{Name: "quittenbaum"}, RequestId: request})
	noError(t, err)
	_, err = w.Users.GetUser(w.As(helper.Token), &identityv1.GetUserRequest{Id: made.GetId()})
	noError(t, err)
	return canary{made, tokens.GetSessionId()}
}

// traces are the rows that hold one of the texts, or any of the ids.
func traces(t *testing.T, url string, w *servicetest.World, texts ...string) (rows []string) {
	t.Helper()
	w.Service.Flush(t.Context())
	for row := range strings.Lines(dump(t, url, secondConnection(t, url))) {
		for _, text := range texts {
			if strings.Contains(strings.ToLower(row), strings.ToLower(text)) {
				rows = append(rows, row)
			}
		}
	}
	return rows
}

// RG-59: after an erasure and after a purge the person is in no row of any
// table any more; events keep the id.
func TestErase_RG59_Traces(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		l := &life{w.World, w.NewOrg()}
		ways := map[string]func(c canary){
			"erased": func(c canary) { noError(t, l.erase(w.Root, c.GetId(), "")) },
			"deleted, and erased": func(c canary) {
				_, err := l.delete(w.Root, c.GetId(), "")
				noError(t, err)
				noError(t, l.erase(w.Root, c.GetId(), ""))
			},
			"purged": func(c canary) {
				_, err := l.delete(w.Root, c.GetId(), "")
				noError(t, err)
				w.Clock.Add(30 * 24 * time.Hour)
				noError(t, w.Service.Purge(t.Context()))
				w.Root = w.SignIn(servicetest.RootEmail, servicetest.RootPassword)
				l.Admin.Token = w.SignIn(l.Admin.GetEmail(), servicetest.RootPassword)
			},
		}
		n := 4711000
		for rule, end := range ways {
			n += 37
			number := fmt.Sprintf("+4179%d", n)
			email := strings.NewReplacer(" ", "", ",", "").Replace(rule) + "@kanarienvogel.test"
			c := newCanary(t, w, l.Org, email, rule, number)
			texts := append([]string{c.GetEmail(), c.GetPhone(), strings.TrimPrefix(number, "+41")}, canaryTexts...)
			if found := len(traces(t, w.url, w.World, texts...)); found < 8 || len(traces(t, w.url, w.World, c.GetPhone())) < 3 {
				t.Fatalf("%s: only %d traces: the test looks in the wrong place", rule, found)
			}
			end(c)
			for _, row := range traces(t, w.url, w.World, append(texts, c.session)...) {
				if !strings.HasPrefix(row, "events ") || !strings.Contains(row, c.session) {
					t.Errorf("%s: left: %.300s", rule, row)
				}
			}
			events := 0
			for _, row := range traces(t, w.url, w.World, c.GetId()) {
				for _, table := range []string{"sessions", "directory", "links", "outbox", "activity", "phone_verifications"} {
					if strings.HasPrefix(row, table+" ") {
						t.Errorf("%s: the id is left in %.300s", rule, row)
					}
				}
				events++
			}
			if events == 0 {
				t.Errorf("%s: no event is left", rule)
			}
			l.exact(t)
		}
	})
}

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
		noError(t, w.Service.Purge(t.Context()))
		if u, err := w.Store.UserDeletedAfter(t.Context(), l.GetId(), late.GetId(), 0); err != nil || u.Deleted == 0 {
			t.Errorf("too early: %v", err)
		}
		w.Clock.Add(time.Microsecond)
		var wg sync.WaitGroup
		for range 4 {
			for _, r := range replicas {
				wg.Go(func() {
					if err := r.Service.Purge(t.Context()); err != nil {
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

// RG-20: somebody with the same address in another organization has nothing
// of who was deleted or erased: no grant, session, event, remembered outcome or throttle.
func TestErase_RG20_Anew(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		for _, erased := range []bool{false, true} {
			l, other := &life{w, w.NewOrg()}, w.NewOrg()
			old := w.NewPerson(l.GetId(), servicetest.SuperUser)
			tokens := w.Tokens(old.GetEmail(), old.Password)
			if erased {
				for range 8 {
					_, _ = w.Sessions.SignIn(t.Context(), &identityv1.SignInRequest{Email: old.GetEmail(), Password: "Wrong#password9"})
				}
				noError(t, l.erase(w.Root, old.GetId(), ""))
			} else {
				_, err := l.delete(w.Root, old.GetId(), "")
				noError(t, err)
			}
			u := w.Draft(servicetest.MonitoringUser)
			u.Email = old.Email
			anew, err := w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{OrganizationId: other.GetId(), User: u})
			noError(t, err)
			if anew.GetId() == old.GetId() || len(anew.GetRoles()) != 1 || anew.GetLastSignInTime() != nil || anew.GetLockedUntil() != nil {
				t.Errorf("anew: %v", anew)
			}
			for _, text := range []string{old.Token, tokens.GetAccessToken()} {
				servicetest.Refused(t, usable(w, text), codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
			}
			_, err = refresher(t, w)(tokens.GetRefreshToken())
			servicetest.Refused(t, err, codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
			token := w.SignIn(anew.GetEmail(), servicetest.RootPassword)
			me, err := w.Users.GetMe(w.As(token), &identityv1.GetMeRequest{})
			if err != nil || me.GetUser().GetId() != anew.GetId() || me.GetUser().GetOrganizationId() != other.GetId() {
				t.Errorf("signed in as %v, %v", me, err)
			}
			_, err = w.Users.ListUsers(w.As(token), &identityv1.ListUsersRequest{})
			servicetest.Refused(t, err, codes.PermissionDenied, identityv1.Error_PERMISSION_DENIED)
			events, err := w.Store.Events(t.Context(), other.GetId(), store.EventFilter{Target: old.GetId()}, 0, 0, 10)
			if err != nil || len(events) != 0 {
				t.Errorf("%d events of the old one, %v", len(events), err)
			}
			if !erased {
				_, err = l.undelete(w.Root, old.GetId(), "")
				servicetest.Refused(t, err, codes.AlreadyExists, identityv1.Error_EMAIL_TAKEN)
			}
		}
	})
}
