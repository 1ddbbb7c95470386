package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// Events of many organizations come in one statement, those of each in order,
// and no others.
func TestEventsOf_OfEachItsOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		orgs := founded(t, s, 4)[1:]
		for _, org := range orgs {
			noError(t, change(s, t.Context(), org, func(tx *store.Tx) error {
				for range 9 { // one is there already
					tx.Record(store.Event{Org: org, Time: 1, Type: "t", Target: "target of " + org, Data: store.Data{"a": "b"}})
				}
				return nil
			}))
		}
		for name, test := range map[string][]store.Span{
			"one":                {{orgs[0], 3, 7}},
			"all of one":         {{orgs[0], 0, 10}},
			"beyond the last":    {{orgs[0], 8, 1000}},
			"nothing":            {{orgs[0], 10, 10}},
			"another copy":       {{orgs[0], 10, 5}},
			"nobody":             {{newID(), 0, 10}},
			"two":                {{orgs[1], 1, 2}, {orgs[0], 9, 10}},
			"three, filled up":   {{orgs[1], 1, 10}, {orgs[0], 9, 10}, {orgs[2], 0, 10}},
			"as many as may be":  spans(store.SpansAtOnce, orgs),
			"one less, the last": spans(store.SpansAtOnce-1, orgs),
		} {
			got, err := s.EventsOf(t.Context(), test)
			noError(t, err)
			numbers := map[string][]int64{}
			for _, e := range got {
				numbers[e.Org] = append(numbers[e.Org], e.Seq)
				if e.Type == "t" && e.Target != "target of "+e.Org {
					t.Errorf("%s: %+v", name, e)
				}
			}
			want := map[string][]int64{}
			for _, span := range test {
				for seq := span.From + 1; seq <= min(span.To, 10) && name != "nobody"; seq++ {
					want[span.Org] = append(want[span.Org], seq)
				}
			}
			if diff := cmp.Diff(want, numbers); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	})
}

// spans are as many as wanted, the first and the last of organizations that are there.
func spans(n int, orgs []string) []store.Span {
	all := make([]store.Span, n)
	for i := range all {
		all[i] = store.Span{Org: newID()}
	}
	all[0], all[n-1] = store.Span{Org: orgs[0], From: 1, To: 3}, store.Span{Org: orgs[1], From: 4, To: 6}
	return all
}

// Clocks of more organizations than one statement asks for.
func TestClocks_OfMany(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		orgs := founded(t, s, 2)
		ask := []string{orgs[1]}
		for range 2500 {
			ask = append(ask, newID())
		}
		got, err := s.Clocks(t.Context(), append(ask, orgs[2]))
		noError(t, err)
		if diff := cmp.Diff(map[string]int64{orgs[1]: 1, orgs[2]: 1}, got); diff != "" {
			t.Error(diff)
		}
	})
}
