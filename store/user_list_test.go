package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// searched is an organization of 1,200 people who came one after the other. Of
// each hundred numbers 0 is disabled and 1 pending; every sixth person is an
// anna, the first 100 are old and the last 100 are new; 20 people from 600 on
// hold a role, of whom one had it until time 5.
func searched(t *testing.T, s *store.Store, org string) {
	t.Helper()
	noError(t, change(s, t.Context(), org, func(tx *store.Tx) error {
		for n := range 1200 {
			u := person(org, fmt.Sprintf("p%04d@x.test", n))
			u.Enabled, u.Confirmed, u.Created = n%100 != 0, n%100 != 1, store.Micros(n)
			words := []string{"somebody"}
			if n%6 == 0 {
				words = append(words, "anna")
			}
			if n < 100 {
				words = append(words, "old")
			}
			if n >= 1100 {
				words = append(words, "new")
			}
			u.DisplayName = strings.Join(words, " ")
			u.NameKey = u.DisplayName
			if err := tx.AddUser(t.Context(), u); err != nil {
				return err
			}
			if n < 600 || n >= 620 {
				continue
			}
			g := store.Grant{Org: org, Principal: u.ID, Role: roleA, Created: 1}
			if n == 619 {
				g.Expires = 5
			}
			if err := tx.PutGrants(t.Context(), g); err != nil {
				return err
			}
		}
		tx.Record(store.Event{Org: org, Time: 1, Type: "t"})
		return nil
	}))
}

// A list shows the page that was asked for and counts by state all who match,
// up to a cap, whether they are frequent or rare, in the beginning or behind.
func TestListUsers(t *testing.T) {
	const (
		most = 180
		last = "ffffffff-ffff-7fff-8fff-ffffffffffff" // of all ids
	)
	all := store.UserFilter{Now: 10}
	rows := []struct {
		rule   string
		filter func(f *store.UserFilter)
		page   store.Page
		want   string // numbers of the first and the last of the page, and the counts
	}{
		{"rare", func(f *store.UserFilter) { f.Email = "p001" }, store.Page{}, "0010 0019; 10 0 0"},
		{"rare, the next page", func(f *store.UserFilter) { f.Email = "p001" }, store.Page{Limit: 4, After: &store.Cursor{Key: "p0013@x.test", ID: last}}, "0014 0017; 10 0 0"},
		{"rare, a jump", func(f *store.UserFilter) { f.Email = "p001" }, store.Page{Limit: 4, Skip: 8}, "0018 0019; 10 0 0"},
		{"rare, behind the last", func(f *store.UserFilter) { f.Email = "p001" }, store.Page{Skip: 10}, "-; 10 0 0"},
		{"rare, backwards", func(f *store.UserFilter) { f.Email = "p001" }, store.Page{Desc: true, Limit: 3}, "0019 0017; 10 0 0"},
		{"rare, by another order", func(f *store.UserFilter) { f.Email = "p001" }, store.Page{Order: "create_time", Limit: 3, After: &store.Cursor{Key: int64(11), ID: last}}, "0012 0014; 10 0 0"},
		{"nobody", func(f *store.UserFilter) { f.Email = "zzz" }, store.Page{}, "-; 0 0 0"},
		{"by state", func(f *store.UserFilter) { f.Name = "old" }, store.Page{Limit: 2}, "0000 0001; 98 1 1"},
		{"rare by name and state", func(f *store.UserFilter) { f.Name, f.State = "new", store.Pending }, store.Page{}, "1101 1101; 0 1 0"},
		{"one letter", func(f *store.UserFilter) { f.Name = "o" }, store.Page{Limit: 2}, "0000 0001; 98 1 1"},
		{"frequent, below the cap", func(f *store.UserFilter) { f.Name, f.Email = "anna", "p0" }, store.Page{Limit: 2, Skip: 1}, "0006 0012; 163 0 4"},
		{"frequent, above the cap", func(f *store.UserFilter) { f.Name = "anna" }, store.Page{Limit: 2}, "0000 0006; capped"},
		{"frequent, the last page", func(f *store.UserFilter) { f.Name = "anna" }, store.Page{After: &store.Cursor{Key: "p1188@x.test", ID: last}}, "1194 1194; capped"},
		{"everybody", func(f *store.UserFilter) { f.Name = "somebody" }, store.Page{Desc: true, Limit: 2}, "1199 1198; capped"},
		{"holders", func(f *store.UserFilter) { f.RoleID = roleA }, store.Page{}, "0600 0618; 17 1 1"},
		{"holders by name", func(f *store.UserFilter) { f.RoleID, f.Name = roleA, "anna" }, store.Page{}, "0600 0618; 3 0 1"},
		{"holders and state", func(f *store.UserFilter) { f.RoleID, f.State = roleA, store.Disabled }, store.Page{}, "0600 0600; 0 0 1"},
		{"an address", func(f *store.UserFilter) { f.EmailKey = "p0700@x.test" }, store.Page{}, "0700 0700; 0 0 1"},
		{"a state alone, exactly", func(f *store.UserFilter) { f.State = store.Active }, store.Page{Limit: 2}, "0002 0003; 1176 0 0"},
		{"no filter, exactly", func(*store.UserFilter) {}, store.Page{Limit: 2}, "0000 0001; 1176 12 12"},
	}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		searched(t, s, org)
		for _, row := range rows {
			t.Run(row.rule, func(t *testing.T) {
				f, p := all, row.page
				row.filter(&f)
				if p.Order == "" {
					p.Order = "email"
				}
				if p.Limit == 0 {
					p.Limit = 50
				}
				found, b, err := s.ListUsers(t.Context(), org, f, p, most)
				noError(t, err)
				us := found.Rows
				got := "-"
				if len(us) > 0 {
					got = us[0].EmailKey[1:5] + " " + us[len(us)-1].EmailKey[1:5]
				}
				if b.UsersActive+b.UsersPending+b.UsersDisabled == most && !f.Counted() {
					got += "; capped"
				} else {
					got += fmt.Sprintf("; %d %d %d", b.UsersActive, b.UsersPending, b.UsersDisabled)
				}
				if got != row.want {
					t.Errorf("%s, want %s", got, row.want)
				}
			})
		}
	})
}
