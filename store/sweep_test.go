package store_test

import (
	"testing"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// A sweep deletes more than one step does, and nothing that is still kept.
func TestSweep_Fair07_Steps(t *testing.T) {
	const now = 1000 * day
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		add := func(n int, at store.Micros) {
			rows := make([]store.Activity, n)
			for i := range rows {
				rows[i] = store.Activity{Org: org, ID: newID(), Time: at, Type: "call", Outcome: "refused", Count: 1}
			}
			noError(t, s.Short(t.Context(), func(tx *store.ShortTx) error { return tx.AddActivity(t.Context(), rows...) }))
		}
		for range 5 {
			add(500, now-91*day)
		}
		add(3, now-89*day)
		noError(t, s.Sweep(t.Context(), now))
		_, pool := s.Pools()
		var left int64
		noError(t, pool.GetContext(t.Context(), &left, `SELECT COUNT(*) FROM activity`))
		if left != 3 {
			t.Errorf("%d are left", left)
		}
	})
}
