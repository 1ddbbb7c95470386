package service_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
	"github.com/bizmetry/identity/store"
)

func TestUnlock_Fair09(t *testing.T) {
	servicetest.Each(t, func(t *testing.T, w *servicetest.World) {
		a := w.NewOrg()
		u := w.NewPerson(a.GetId())
		fresh := func() { a.Admin.Token = w.SignIn(a.Admin.GetEmail(), a.Admin.Password) } // the clock goes on while people wait
		unlock := func(etag string) (*identityv1.User, error) {
			return w.Users.UnlockUser(w.As(a.Admin.Token), &identityv1.UnlockUserRequest{Id: u.GetId(), Etag: etag})
		}
		unlocks := func() int {
			events, err := w.Store.Events(t.Context(), a.GetId(), store.EventFilter{Target: u.GetId(), Type: store.EventUserUnlocked}, 0, 0, 100)
			noError(t, err)
			return len(events.Rows)
		}
		if got, err := unlock(""); err != nil || got.GetLockedUntil() != nil || unlocks() != 0 {
			t.Errorf("who does not wait: %v, %v", got, err)
		}
		for n := range 5 {
			lock(t, w, u.GetEmail())
			fresh()
			_, err := unlock("another")
			servicetest.Refused(t, err, codes.Aborted, identityv1.Error_ETAG_MISMATCH)
			got, err := unlock("")
			if err != nil || got.GetLockedUntil() != nil || unlocks() != n+1 {
				t.Fatalf("unlock %d: %v, %v, %d events", n, got, err, unlocks())
			}
			if reason := attempt(t, w, u.GetEmail(), "wrong"); reason != wrong {
				t.Errorf("after unlock %d: %s", n, reason)
			}
			if reason := attempt(t, w, u.GetEmail(), u.Password); reason != "" {
				t.Errorf("the right password after unlock %d: %s", n, reason)
			}
		}
		w.Letter(u.GetEmail(), "Your account was unlocked")
		lock(t, w, u.GetEmail())
		fresh()
		_, err := unlock("")
		servicetest.Refused(t, err, codes.ResourceExhausted, identityv1.Error_RATE_LIMITED)
		if unlocks() != 5 {
			t.Errorf("%d events", unlocks())
		}
	})
}
