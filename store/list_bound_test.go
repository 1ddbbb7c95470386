package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// Where a search takes too long, pages come along the order: every row once, however
// short the pages are, and the count is capped.
func TestLists_FollowedThroughShortPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		const rows = 60
		org := founded(t, s, 0)[0]
		noError(t, change(s, t.Context(), org, func(tx *store.Tx) error {
			for i := range rows {
				name := fmt.Sprintf("row %02d", i)
				err := tx.AddServiceAccount(t.Context(), store.ServiceAccount{
					Org: org, ID: newID(), DisplayName: name, NameKey: name, Enabled: true, Epoch: 1, Version: 1, Created: store.Micros(i + 1), Updated: 1,
				})
				if err != nil {
					return err
				}
				u := store.User{
					Org: org, ID: newID(), Email: name, EmailKey: name, FirstName: "A", LastName: "B", DisplayName: name, NameKey: name,
					Confirmed: true, Enabled: true, Epoch: 1, Version: 1, Created: store.Micros(i + 1), Updated: 1,
				}
				if err := tx.AddUser(t.Context(), u); err != nil {
					return err
				}
			}
			tx.Record(store.Event{Org: org, Time: 1, Type: "user.created", Target: org})
			return nil
		}))
		s.Bound(7, 7, time.Nanosecond) // no statement is in time
		r := s.Reads
		for _, order := range []string{"display_name", "create_time"} {
			seen, p := map[string]int{}, store.Page{Order: order, Limit: 10}
			for pages := 0; pages < 2*rows; pages++ {
				found, err := r.ServiceAccounts(t.Context(), org, store.AccountFilter{Name: "row 1"}, p)
				noError(t, err)
				for _, a := range found.Rows {
					seen[a.DisplayName]++
				}
				if p.After = found.Stop; p.After == nil {
					break
				}
			}
			if len(seen) != 10 || seen["row 10"] != 1 {
				t.Errorf("by %s: %v", order, seen)
			}
			seen, p = map[string]int{}, store.Page{Order: order, Limit: 10}
			for pages := 0; pages < 2*rows; pages++ {
				found, sum, err := r.ListUsers(t.Context(), org, store.UserFilter{Name: "row 2", Now: 1}, p, 100)
				noError(t, err)
				if !sum.Capped {
					t.Fatalf("a count that was cut: %+v", sum)
				}
				for _, u := range found.Rows {
					seen[u.DisplayName]++
				}
				if p.After = found.Stop; p.After == nil {
					break
				}
			}
			if len(seen) != 10 || seen["row 20"] != 1 {
				t.Errorf("users by %s: %v", order, seen)
			}
		}
		n, err := r.CountServiceAccounts(t.Context(), org, store.AccountFilter{Name: "row"}, 100)
		if err != nil || !n.Capped || n.AccountsTotal != 7 {
			t.Errorf("counted %+v, %v", n, err)
		}
		s.Bound(100, 1000, time.Minute)
		if n, err = s.CountServiceAccounts(t.Context(), org, store.AccountFilter{Name: "row"}, 100); err != nil || n.Capped || n.AccountsTotal != rows {
			t.Errorf("in time: %+v, %v", n, err)
		}
	})
}
