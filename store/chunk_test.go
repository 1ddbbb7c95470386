package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// follow reads a list to its end, page by page, and says whether a page was
// short: one that is not the last, and has fewer rows than asked for.
func follow[T any](t *testing.T, size int, read func(after *store.Cursor, limit int) (store.Found[T], error), at func(T) store.Cursor) (rows []T, short bool) {
	t.Helper()
	var after *store.Cursor
	for range 10_000 {
		found, err := read(after, size+1)
		noError(t, err)
		if len(found.Rows) > size {
			rows = append(rows, found.Rows[:size]...)
			last := at(found.Rows[size-1])
			after = &last
			continue
		}
		rows = append(rows, found.Rows...)
		if found.Stop == nil {
			return rows, short
		}
		short, after = true, found.Stop
	}
	t.Fatal("the list does not end")
	return nil, false
}

// trail is an organization of 600 events, a microsecond apart but for clocks
// that differ by two minutes: one in 50 is rare, of one in three Alice is the
// actor, each target has six.
func trailOf(t *testing.T, s *store.Store) (org string, all []store.Event) {
	t.Helper()
	org = founded(t, s, 0)[0]
	const second, day = 1_000_000, 86_400_000_000
	noError(t, change(s, t.Context(), org, func(tx *store.Tx) error {
		for n := range 600 {
			e := store.Event{Org: org, Time: store.Micros(day + n*10*second), Type: "often", Actor: "bob", Target: fmt.Sprint("target", n%100)}
			if n%2 == 1 {
				e.Time += 120 * second
			}
			if n%50 == 7 {
				e.Type = "rare"
			}
			if n%3 == 0 {
				e.Actor = "alice"
			}
			e.Data = store.Data{fmt.Sprint("key", n): "value"}
			tx.Record(e)
		}
		return nil
	}))
	found, err := s.Events(t.Context(), org, store.EventFilter{}, 0, 0, 10_000)
	noError(t, err)
	return org, found.Rows
}

func eventFilters() map[string]store.EventFilter {
	const second, day = 1_000_000, 86_400_000_000
	return map[string]store.EventFilter{
		"none": {}, "type": {Type: "often"}, "rare type": {Type: "rare"}, "absent type": {Type: "never"}, "actor": {Actor: "alice"},
		"target": {Target: "target7"}, "actor and type": {Actor: "bob", Type: "rare"}, "target and type": {Target: "target7", Type: "rare"},
		"frequent and nothing": {Actor: "alice", Type: "never"}, "all": {Actor: "alice", Target: "target57", Type: "rare"},
		"from": {From: day + 3000*second}, "to": {To: day + 3000*second}, "between": {From: day + 2005*second, To: day + 3005*second},
		"type between": {Type: "rare", From: day + 2005*second, To: day + 4005*second}, "before all": {To: day}, "after all": {From: 2 * day},
	}
}

func meets(e store.Event, f store.EventFilter) bool {
	return (f.Type == "" || e.Type == f.Type) && (f.Actor == "" || e.Actor == f.Actor) && (f.Target == "" || e.Target == f.Target) &&
		(f.From == 0 || e.Time >= f.From) && (f.To == 0 || e.Time < f.To)
}

// Whatever is asked for and however soon reading stops, following the tokens
// gives every event once, in order, and counts say when they stopped.
func TestListEvents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org, all := trailOf(t, s)
		if len(all) != 601 {
			t.Fatalf("%d events", len(all))
		}
		someShort, someCapped := false, false
		for _, bound := range []struct{ chunk, rows int }{{5000, 100_000}, {7, 100_000}, {7, 14}, {5, 17}, {1, 1}} {
			s.Bound(bound.chunk, bound.rows, time.Minute)
			for name, f := range eventFilters() {
				var want, got []int64
				for _, e := range all {
					if meets(e, f) {
						want = append(want, e.Seq)
					}
				}
				rows, short := follow(t, 4, func(after *store.Cursor, limit int) (store.Found[store.Event], error) {
					var before int64
					if after != nil {
						before = after.Key.(int64)
					}
					return s.Events(t.Context(), org, f, before, 0, limit)
				}, func(e store.Event) store.Cursor { return store.Cursor{Key: e.Seq} })
				for _, e := range rows {
					got = append(got, e.Seq)
					if e.Seq > 1 && len(e.Data) != 1 && e.Type != "organization.created" {
						t.Errorf("data %v", e.Data)
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, %+v: %v, want %v", name, bound, got, want)
				}
				n, err := s.CountEvents(t.Context(), org, f, 1000)
				noError(t, err)
				if int(n.Matched) > len(want) || !n.Capped && int(n.Matched) != len(want) || n.Capped && bound.rows > 1000 {
					t.Errorf("%s, %+v: counted %d of %d, capped %t", name, bound, n.Matched, len(want), n.Capped)
				}
				someShort, someCapped = someShort || short, someCapped || n.Capped
			}
		}
		if !someShort || !someCapped {
			t.Errorf("no page was short (%t), or no count capped (%t)", someShort, someCapped)
		}
	})
}

// Rows that are passed over count as visited; a count stops at its limit.
func TestListEventsBounds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		org, all := trailOf(t, s)
		s.Bound(7, 100_000, time.Minute)
		for _, skip := range []int{1, 6, 7, 8, 100, 590, 601, 700} {
			found, err := s.Events(t.Context(), org, store.EventFilter{}, 0, skip, 3)
			noError(t, err)
			want := all[min(skip, len(all)):min(skip+3, len(all))]
			if len(found.Rows) != len(want) || len(want) > 0 && found.Rows[0].Seq != want[0].Seq || found.Stop != nil {
				t.Errorf("skip %d: %d rows, want %d, stop %v", skip, len(found.Rows), len(want), found.Stop)
			}
		}
		n, err := s.CountEvents(t.Context(), org, store.EventFilter{}, 100)
		noError(t, err)
		if n.Matched != 100 || !n.Capped {
			t.Errorf("counted %+v", n)
		}
		s.Bound(7, 14, time.Minute)
		found, err := s.Events(t.Context(), org, store.EventFilter{}, 0, 20, 3)
		noError(t, err)
		if len(found.Rows) != 0 || found.Stop == nil || found.Stop.Key != all[13].Seq {
			t.Errorf("a skip beyond the bound: %+v", found)
		}
		s.Bound(7, 100_000, -1) // the time is over at once: one chunk
		found, err = s.Events(t.Context(), org, store.EventFilter{}, 0, 0, 100)
		noError(t, err)
		if len(found.Rows) != 7 || found.Stop == nil || found.Stop.Key != all[6].Seq {
			t.Errorf("beyond the time: %d rows, stop %v", len(found.Rows), found.Stop)
		}
	})
}
