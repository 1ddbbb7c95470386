package service_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/organization"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

func TestRecover_Fair09(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		with := organization.Founding{Store: w.Store, Ring: w.Ring, Passwords: w.Passwords, Now: w.Clock.Now, Rand: rand.Reader}
		a, root := w.NewOrg(), w.As(w.Root)
		u := w.NewPerson(a.GetId())
		device := newDevice(t, w, u)
		lock(t, w, u.GetEmail())
		must[*identityv1.User](t)(w.Users.DisableUser(root, &identityv1.DisableUserRequest{OrganizationId: a.GetId(), Id: u.GetId()}))
		for rule, refused := range map[string]struct {
			lost organization.Lost
			says string
		}{
			"no address":                 {organization.Lost{Email: "x"}, "no e-mail address"},
			"nobody":                     {organization.Lost{Email: "nobody@people.test"}, "no user has confirmed"},
			"nobody of the organization": {organization.Lost{Email: u.GetEmail(), Organization: w.NewOrg().GetId()}, "no user of the organization"},
			"no organization":            {organization.Lost{Email: u.GetEmail(), Organization: "x"}, "no id"},
		} {
			if _, err := organization.Recover(t.Context(), with, refused.lost); err == nil || !strings.Contains(err.Error(), refused.says) {
				t.Errorf("%s: %v", rule, err)
			}
		}
		r, err := organization.Recover(t.Context(), with, organization.Lost{Email: u.GetEmail()})
		if err != nil || r.User != u.GetId() || r.Organization != a.GetId() {
			t.Fatalf("%+v, %v", r, err)
		}
		w.Stopwatch.Add(2 * time.Second)
		servicetest.Refused(t, usable(w, u.Token), codes.Unauthenticated, identityv1.Error_TOKEN_INVALID)
		w.Begin(u.GetEmail(), r.Password, "Zebra#river9stone")
		events, err := w.Store.Events(t.Context(), a.GetId(), store.EventFilter{Target: u.GetId(), Type: store.EventUserRecovered}, 0, 0, 10)
		if err != nil || len(events.Rows) != 1 || events.Rows[0].Actor != "" {
			t.Errorf("%v, %v", events, err)
		}
		lock(t, w, u.GetEmail())
		if _, reason := onDevice(t, w, u.GetEmail(), "Zebra#river9stone", device); reason != limited {
			t.Errorf("a device from before: %q", reason)
		}

		w.Root = w.SignIn(servicetest.RootEmail, servicetest.RootPassword)
		draft := w.Draft()
		draft.Confirmed = nil
		pending := must[*identityv1.User](t)(w.Users.CreateUser(w.As(w.Root), &identityv1.CreateUserRequest{OrganizationId: a.GetId(), User: draft}))
		r, err = organization.Recover(t.Context(), with, organization.Lost{Email: pending.GetEmail(), Organization: a.GetId(), Grant: true})
		noError(t, err)
		w.Stopwatch.Add(2 * time.Second)
		tokens := w.Begin(pending.GetEmail(), r.Password, servicetest.RootPassword)
		me := must[*identityv1.GetMeResponse](t)(w.Users.GetMe(w.As(tokens.GetAccessToken()), &identityv1.GetMeRequest{}))
		if roles := me.GetUser().GetRoles(); len(roles) != 2 || !me.GetUser().GetConfirmed() {
			t.Errorf("granted %v", roles)
		}
	})
}
