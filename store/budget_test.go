package store_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

func TestSpend_NeverMoreThanTheLimitInAWindow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		spend := func(key string, now store.Micros) (ok bool, again store.Micros) {
			noError(t, s.Short(t.Context(), func(tx *store.ShortTx) (err error) {
				ok, again, err = tx.Spend(t.Context(), key, 3, now, now+100)
				return err
			}))
			return ok, again
		}
		var group sync.WaitGroup
		var won atomic.Int64
		for range 16 {
			group.Go(func() {
				if ok, _ := spend("ann", 1000); ok {
					won.Add(1)
				}
			})
		}
		group.Wait()
		if won.Load() != 3 {
			t.Errorf("%d of 16 at once got through, want 3", won.Load())
		}
		for _, r := range []struct {
			rule  string
			key   string
			now   store.Micros
			ok    bool
			again store.Micros
		}{
			{"another has a budget of its own", "bob", 1000, true, 0},
			{"within the window it stays spent, and says until when", "ann", 1099, false, 1100},
			{"the next window begins when the former ends", "ann", 1100, true, 0},
		} {
			if ok, again := spend(r.key, r.now); ok != r.ok || again != r.again {
				t.Errorf("%s: got %v until %d, want %v until %d", r.rule, ok, again, r.ok, r.again)
			}
		}
	})
}
