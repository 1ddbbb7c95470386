package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

const (
	roleA = "00000000-0000-7000-8000-0000000000aa"
	roleB = "00000000-0000-7000-8000-0000000000bb"
)

// crowd is an organization of people a to j: d is pending, e is disabled, f is
// deleted; g has role A, h had it until time 5, i has role B, j permission x.
func crowd(t *testing.T, s *store.Store, org string) map[string]string {
	t.Helper()
	ids := map[string]string{}
	noError(t, change(s, t.Context(), org, func(tx *store.Tx) error {
		for _, name := range "abcdefghij" {
			u := person(org, string(name)+"@x.test")
			ids[string(name)] = u.ID
			u.Confirmed, u.Enabled = name != 'd', name != 'e'
			if name == 'f' {
				u.Deleted = 3
			}
			if err := tx.AddUser(t.Context(), u); err != nil {
				return err
			}
		}
		for name, g := range map[string]store.Grant{
			"g": {Role: roleA}, "h": {Role: roleA, Expires: 5}, "i": {Role: roleB, Expires: 50}, "j": {Permit: "x"},
		} {
			g.Org, g.Principal, g.Created = org, ids[name], 1
			if err := tx.PutGrants(t.Context(), g); err != nil {
				return err
			}
		}
		tx.Record(store.Event{Org: org, Time: 1, Type: "t"})
		return nil
	}))
	return ids
}

// A bulk change reaches who matches, and nobody else; the events count on.
func TestChangeAll(t *testing.T) {
	rows := []struct {
		rule string
		bulk func(ids map[string]string) store.Bulk
		want string
	}{
		{"everybody", func(map[string]string) store.Bulk { return store.Bulk{} }, "abcdghij"},
		{"enabling", func(map[string]string) store.Bulk { return store.Bulk{Enable: true} }, "e"},
		{"by address", func(map[string]string) store.Bulk { return store.Bulk{Filter: store.UserFilter{EmailKey: "b@x.test"}} }, "b"},
		{"by state", func(map[string]string) store.Bulk { return store.Bulk{Filter: store.UserFilter{State: store.Pending}} }, "d"},
		{"by a state that it ends", func(map[string]string) store.Bulk { return store.Bulk{Filter: store.UserFilter{State: store.Active}} }, "abcghij"},
		{"by role, not an ended one", func(map[string]string) store.Bulk { return store.Bulk{Filter: store.UserFilter{RoleID: roleA}} }, "g"},
		{"but one", func(ids map[string]string) store.Bulk { return store.Bulk{But: ids["b"]} }, "acdghij"},
		{"but holders of a role", func(map[string]string) store.Bulk { return store.Bulk{Roles: []string{roleA, roleB}} }, "abcdhj"},
		{"but holders of a permission", func(map[string]string) store.Bulk { return store.Bulk{Permissions: []string{"x", "y"}} }, "abcdghi"},
		{"but holders of either", func(ids map[string]string) store.Bulk {
			return store.Bulk{But: ids["a"], Roles: []string{roleA}, Permissions: []string{"x"}, Filter: store.UserFilter{Email: "@x.test"}}
		}, "bcdhi"},
		{"nobody", func(map[string]string) store.Bulk { return store.Bulk{Filter: store.UserFilter{EmailKey: "z"}} }, ""},
	}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		orgs := founded(t, s, len(rows))
		others := crowd(t, s, orgs[0])
		for i, row := range rows {
			t.Run(row.rule, func(t *testing.T) {
				org := orgs[i+1]
				ids := crowd(t, s, org)
				b := row.bulk(ids)
				b.Org, b.Filter.Now = org, 10
				before := len(numbers(t, s, b.Org))
				var changed int64
				events, err := s.Change(t.Context(), b.Org, func(tx *store.Tx) (err error) {
					tx.Record(store.Event{Org: b.Org, Time: 10, Type: "before"})
					if changed, err = tx.ChangeAll(t.Context(), b, store.Event{Org: b.Org, Time: 10, Type: "bulk", Actor: "me", Operation: "op"}); err != nil {
						return err
					}
					tx.Record(store.Event{Org: b.Org, Time: 10, Type: "after"})
					return nil
				})
				noError(t, err)
				if changed != int64(len(row.want)) {
					t.Errorf("%d changed", changed)
				}
				counted(t, s, b.Org, before+2+len(row.want))
				sameRange(t, events, int64(before), int64(len(row.want)))
				if got := changedBy(t, s, b.Org, ids); got != row.want {
					t.Errorf("events of %s, want %s", got, row.want)
				}
				for name, id := range ids {
					if name == "f" {
						continue
					}
					u, err := s.User(t.Context(), b.Org, id)
					noError(t, err)
					hit := strings.Contains(row.want, name)
					wantEnabled := (name != "e" && !hit) || (hit && b.Enable)
					wantEpoch := store.Micros(1)
					if hit {
						wantEpoch = 10
					}
					if u.Enabled != wantEnabled || (u.Version == 2) != hit || u.Epoch != wantEpoch {
						t.Errorf("%s: enabled %v, version %d, epoch %d", name, u.Enabled, u.Version, u.Epoch)
					}
				}
				sameBadges(t, s, b.Org)
				if got := changedBy(t, s, orgs[0], others); got != "" {
					t.Errorf("%s of another organization changed", got)
				}
			})
		}
	})
}

// sameRange fails unless the events stand for all of the numbers after before.
func sameRange(t *testing.T, events []store.Event, before, many int64) {
	t.Helper()
	next := before + 1
	for _, e := range events {
		if e.Seq-e.Before != next {
			t.Errorf("an event of %d to %d, want from %d", e.Seq-e.Before, e.Seq, next)
		}
		next = e.Seq + 1
	}
	if next != before+many+3 {
		t.Errorf("events up to %d, want %d", next-1, before+many+2)
	}
}

// changedBy names the people whom the events of one operation are about.
func changedBy(t *testing.T, s *store.Store, org string, ids map[string]string) string {
	t.Helper()
	events, err := s.Events(t.Context(), org, store.EventFilter{Type: "bulk"}, 0, 0, 1000)
	noError(t, err)
	var names []string
	for _, e := range events.Rows {
		for name, id := range ids {
			if id == e.Target {
				names = append(names, name)
			}
		}
		want := store.Event{Org: org, Seq: e.Seq, Time: 10, Type: "bulk", Actor: "me", Target: e.Target, Data: store.Data{}, Operation: "op"}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Errorf("an event:\n%s", diff)
		}
	}
	slices.Sort(names)
	return strings.Join(names, "")
}

func sameBadges(t *testing.T, s *store.Store, org string) {
	t.Helper()
	kept, err := s.Badges(t.Context(), org)
	noError(t, err)
	us, err := s.Users(t.Context(), org, store.UserFilter{}, store.Page{Order: "email", Limit: 1000})
	noError(t, err)
	counted := store.Badges{AccountsActive: kept.AccountsActive, AccountsTotal: kept.AccountsTotal}
	for _, u := range us {
		switch {
		case !u.Enabled:
			counted.UsersDisabled++
		case !u.Confirmed:
			counted.UsersPending++
		default:
			counted.UsersActive++
		}
	}
	if kept != counted {
		t.Errorf("the badges say %+v, the rows %+v", kept, counted)
	}
}

// A change that fails after its events were written leaves none.
func TestChangeAll_Undone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		ids := crowd(t, s, org)
		before, err := s.Badges(t.Context(), org)
		noError(t, err)
		boom := errors.New("boom")
		err = change(s, t.Context(), org, func(tx *store.Tx) error {
			if _, err := tx.ChangeAll(t.Context(), store.Bulk{Org: org, Filter: store.UserFilter{Now: 10}}, store.Event{Org: org, Time: 10, Type: "bulk"}); err != nil {
				return err
			}
			return boom
		})
		after, _ := s.Badges(t.Context(), org)
		if !errors.Is(err, boom) || before != after || changedBy(t, s, org, ids) != "" {
			t.Errorf("%v; %+v, then %+v", err, before, after)
		}
		counted(t, s, org, 2)
	})
}

// Everybody who matches is handed over, by id, with what a change would do.
func TestEachMatch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		ids := crowd(t, s, org)
		names := map[string]string{}
		for name, id := range ids {
			names[id] = name
		}
		var got []string
		var last string
		noError(t, s.EachMatch(t.Context(), store.Bulk{
			Org: org, Filter: store.UserFilter{Now: 10}, Roles: []string{roleA, roleB}, Permissions: []string{"x"},
		}, func(m store.Match) {
			if m.ID <= last {
				t.Errorf("%s after %s", m.ID, last)
			}
			last = m.ID
			got = append(got, fmt.Sprintf("%s %v %v", names[m.ID], m.Open, m.Beyond))
		}))
		slices.Sort(got)
		want := []string{"a true false", "b true false", "c true false", "d true false", "e false false", "g true true", "h true false", "i true true", "j true true"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// Who would be left as an administrator beside those who are disabled.
func TestHasAdministratorBeside(t *testing.T) {
	rows := []struct {
		rule string
		bulk store.Bulk
		want bool
	}{
		{"nobody is disabled", store.Bulk{Filter: store.UserFilter{EmailKey: "z"}}, true},
		{"others are", store.Bulk{Filter: store.UserFilter{EmailKey: "a@x.test"}}, true},
		{"the one is", store.Bulk{Filter: store.UserFilter{EmailKey: "g@x.test"}}, false},
		{"everybody is", store.Bulk{}, false},
		{"everybody but those beyond", store.Bulk{Roles: []string{roleA}}, true},
		{"all of the role", store.Bulk{Filter: store.UserFilter{RoleID: roleA}}, false},
	}
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org := founded(t, s, 0)[0]
		ids := crowd(t, s, org)
		noError(t, change(s, t.Context(), org, func(tx *store.Tx) error {
			u, err := tx.User(t.Context(), org, ids["g"])
			if err != nil {
				return err
			}
			former := u
			u.PasswordHash = "h"
			tx.Record(store.Event{Org: org, Time: 1, Type: "t"})
			return tx.SaveUser(t.Context(), former, u)
		}))
		for _, row := range rows {
			row.bulk.Org, row.bulk.Filter.Now = org, 10
			if got, err := s.HasAdministratorBeside(t.Context(), row.bulk, []string{roleA}, "x.y"); err != nil || got != row.want {
				t.Errorf("%s: %v, %v", row.rule, got, err)
			}
		}
	})
}
