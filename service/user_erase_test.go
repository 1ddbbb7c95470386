package service_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

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
	_, err = w.Users.BulkDisableUsers(w.As(helper.Token), &identityv1.BulkDisableUsersRequest{Filter: &filter{Name: new("quittenbaum")}, RequestId: request})
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
				noError(t, w.Service.Users.Purge(t.Context()))
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
			if err != nil || len(events.Rows) != 0 {
				t.Errorf("%d events of the old one, %v", len(events.Rows), err)
			}
			if !erased {
				_, err = l.undelete(w.Root, old.GetId(), "")
				servicetest.Refused(t, err, codes.AlreadyExists, identityv1.Error_EMAIL_TAKEN)
			}
		}
	})
}
