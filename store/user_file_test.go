package store_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// What an import asks and writes of many people at once: in a few statements,
// within the organization, and with the badges right.
func TestMany(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		orgs := founded(t, s, 1)
		const n = 1200 // more than a statement writes
		var users []store.User
		var grants []store.Grant
		var entries []store.Entry
		for i := range n {
			u := person(orgs[0], fmt.Sprintf("a%04d@many.test", i))
			if i == 1 {
				u.Deleted = 1
			}
			users = append(users, u)
			grants = append(grants, store.Grant{Org: u.Org, Principal: u.ID, Permit: "agents.read", Created: 1})
			entries = append(entries, store.Entry{Kind: store.ConfirmedEmail, Key: u.EmailKey, Org: u.Org, ID: u.ID})
		}
		taken := store.Entry{Kind: store.ConfirmedEmail, Key: users[2].EmailKey, Org: orgs[1], ID: newID()}
		noError(t, change(s, t.Context(), orgs[1], func(tx *store.Tx) error {
			tx.Record(store.Event{Org: orgs[1], Time: 1, Type: "test"})
			return tx.Enlist(t.Context(), taken)
		}))
		before := s.Statements()
		noError(t, change(s, t.Context(), orgs[0], func(tx *store.Tx) error {
			tx.Record(store.Event{Org: orgs[0], Time: 1, Type: "test"})
			noError(t, tx.EnlistFree(t.Context(), entries))
			noError(t, tx.AddUsers(t.Context(), users))
			return tx.AddGrants(t.Context(), grants)
		}))
		if sent := s.Statements() - before; sent > 20 {
			t.Errorf("%d statements", sent)
		}
		noError(t, s.Analyze(t.Context()))
		badges, err := s.Badges(t.Context(), orgs[0])
		if err != nil || badges.UsersActive != n-1 {
			t.Errorf("badges %v, %v", badges, err)
		}
		keys := []string{users[0].EmailKey, users[1].EmailKey, "nobody@many.test"}
		for org, want := range map[string]map[string]string{
			orgs[0]: {users[0].EmailKey: users[0].ID, users[1].EmailKey: users[1].ID}, orgs[1]: {},
		} {
			holders, err := s.AddressHolders(t.Context(), org, keys)
			noError(t, err)
			got := map[string]string{}
			for _, h := range holders {
				got[h.Key] = h.ID
				if h.Deleted != (h.ID == users[1].ID) {
					t.Errorf("%+v", h)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		}
		found, err := s.FindAll(t.Context(), store.ConfirmedEmail, []string{users[2].EmailKey, users[3].EmailKey, "nobody@many.test"})
		noError(t, err)
		owners := map[string]string{}
		for _, e := range found {
			owners[e.Key] = e.ID
		}
		if diff := cmp.Diff(map[string]string{users[2].EmailKey: taken.ID, users[3].EmailKey: users[3].ID}, owners); diff != "" {
			t.Error(diff)
		}
	})
}
