package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

func TestSpend_NeverMoreThanTheLimitInAWindow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		spend := func(key string, n int64, now store.Micros) (used int64, end store.Micros) {
			noError(t, s.Short(t.Context(), func(tx *store.ShortTx) error {
				spent, err := tx.Spend(t.Context(), now, store.Charge{Key: key, N: n, End: now + 100})
				used, end = spent[key].Used, spent[key].End
				return err
			}))
			return used, end
		}
		var group sync.WaitGroup
		var won atomic.Int64
		for range 16 {
			group.Go(func() {
				if used, _ := spend("ann", 1, 1000); used <= 3 {
					won.Add(1)
				}
			})
		}
		group.Wait()
		if won.Load() != 3 {
			t.Errorf("%d of 16 at once got through, want 3", won.Load())
		}
		for _, r := range []struct {
			rule string
			key  string
			n    int64
			now  store.Micros
			used int64
			end  store.Micros
		}{
			{"another has a budget of its own", "bob", 5, 1000, 5, 1100},
			{"within the window it adds up, and says until when", "ann", 1, 1099, 17, 1100},
			{"the next window begins when the former ends", "ann", 2, 1100, 2, 1200},
		} {
			if used, end := spend(r.key, r.n, r.now); used != r.used || end != r.end {
				t.Errorf("%s: got %d until %d, want %d until %d", r.rule, used, end, r.used, r.end)
			}
		}
	})
}

// Many keys at once, in any order, by many at once: nobody waits for ever and
// nothing is lost.
func TestSpend_ManyKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		const keys, callers = 301, 4
		var group sync.WaitGroup
		for i := range callers {
			group.Go(func() {
				var charges []store.Charge
				for k := range keys {
					charges = append(charges, store.Charge{Key: fmt.Sprintf("key %d", (k*11+i*50)%keys), N: 2, End: 100})
				}
				err := s.Short(t.Context(), func(tx *store.ShortTx) error {
					spent, err := tx.Spend(t.Context(), 1, charges...)
					if len(spent) != keys {
						t.Errorf("%d keys", len(spent))
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		noError(t, s.Short(t.Context(), func(tx *store.ShortTx) error {
			spent, err := tx.Spend(t.Context(), 1, store.Charge{Key: "key 0", End: 100}, store.Charge{Key: "key 300", End: 100})
			if spent["key 0"].Used != 2*callers || spent["key 300"].Used != 2*callers {
				t.Errorf("%v", spent)
			}
			return err
		}))
	})
}
