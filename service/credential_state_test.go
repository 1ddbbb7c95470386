package service_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/servicetest"
)

// Only credentials that have not ended count, and each says what it is.
func TestCredentials_LiveOnesCount(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a := w.newTenant()
		create := func(ttl time.Duration) error {
			c := &identityv1.Credential{}
			if ttl > 0 {
				c.Expiration = &identityv1.Credential_Ttl{Ttl: durationpb.New(ttl)}
			}
			resp, err := w.Accounts.CreateCredential(w.As(a.Admin.Token), &identityv1.CreateCredentialRequest{ServiceAccountId: a.machine.GetId(), Credential: c})
			if err == nil && resp.GetCredential().GetState() != identityv1.Credential_ACTIVE {
				t.Errorf("made as %v", resp.GetCredential())
			}
			return err
		}
		states := func() map[identityv1.Credential_State]int {
			resp, err := w.Accounts.ListCredentials(w.As(a.Admin.Token), &identityv1.ListCredentialsRequest{ServiceAccountId: a.machine.GetId()})
			noError(t, err)
			n := map[identityv1.Credential_State]int{}
			for _, c := range resp.GetCredentials() {
				n[c.GetState()]++
			}
			return n
		}
		const active, expired = identityv1.Credential_ACTIVE, identityv1.Credential_EXPIRED
		for round := range 5 { // beside the one that the account has
			for range 9 {
				noError(t, create(time.Minute))
			}
			servicetest.Refused(t, create(0), codes.FailedPrecondition, identityv1.Error_LIMIT_REACHED)
			if n := states(); n[active] != 10 || n[expired] != min(9*round, 40) {
				t.Errorf("round %d: %v", round, n)
			}
			w.Clock.Add(time.Minute)
		}
		noError(t, create(0))
		if n := states(); n[active] != 2 || n[expired] != 40 { // the oldest of those that ended went
			t.Errorf("%v", n)
		}
	})
}
