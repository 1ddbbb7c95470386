package keys

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/bizmetry/identity/service/authority"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/token"
)

// A read of the keys that began earlier and ended later holds a key that was
// revoked in between: it is not used.
func TestUseKeys_ASlowReadDoesNotBringAKeyBack(t *testing.T) {
	a := authority.New(authority.Config{Kit: kit.Kit{Now: time.Now}})
	s := NewKeeper(a.Kit, nil, nil, a)
	rings := make([]*token.Ring, 3)
	for i := range rings {
		key, err := token.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key.UseTime = time.Now().Add(-time.Hour)
		if rings[i], err = token.NewRing([]token.Key{key}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		number uint64
		ring   int
		used   int
	}{{2, 0, 0}, {1, 1, 0}, {3, 2, 2}, {2, 0, 2}} {
		s.useKeys(step.number, rings[step.ring])
		if used, want := a.JWKS().Keys[0].KeyID, rings[step.used].JWKS().Keys[0].KeyID; used != want {
			t.Errorf("after load %d another ring is used", step.number)
		}
	}
}
