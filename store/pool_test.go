package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/bizmetry/identity/service/fair"
	"github.com/bizmetry/identity/store"
	"github.com/bizmetry/identity/store/storetest"
)

// paidBy is a context whose work an organization's caller pays for.
func paidBy(ctx context.Context, org, caller string) context.Context {
	return fair.WithPaying(ctx, fair.Payer{Group: org, Member: caller})
}

// hold takes the places of up to n connections, as slow reads do, until the test ends.
func hold(ctx context.Context, t *testing.T, s *store.Store, n int) {
	t.Helper()
	gate := s.Gates()["database connections"]
	for range n {
		ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		place, err := gate.Enter(ctx, fair.PayerOf(ctx), 1)
		cancel()
		if err != nil {
			return // as many as it may have
		}
		t.Cleanup(place.Leave)
	}
}

func TestPool_OneOrganizationNeverHoldsAll(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		orgs := founded(t, s, 1)
		hold(paidBy(t.Context(), orgs[0], "caller"), t, s, 30)
		hold(paidBy(t.Context(), orgs[0], "another caller"), t, s, 30)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := s.Organization(paidBy(ctx, orgs[1], "caller"), orgs[1])
		noError(t, err)
		held, wait := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer wait()
		if _, err := s.Organization(paidBy(held, orgs[0], "third caller"), orgs[0]); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one more read of the organization: %v, want that it waits", err)
		}
	})
}

func TestPool_FeedAndReadinessHaveTheirOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		orgs := founded(t, s, 2)
		for _, org := range orgs {
			hold(paidBy(t.Context(), org, "caller"), t, s, 30)
			hold(paidBy(t.Context(), org, "another caller"), t, s, 30)
		}
		noError(t, s.Ping(t.Context()))
		noError(t, s.Notify(t.Context(), nil))
		clocks, err := s.Reserved.Clocks(t.Context(), orgs)
		noError(t, err)
		if len(clocks) != len(orgs) {
			t.Errorf("%d clocks of %d", len(clocks), len(orgs))
		}
		_, err = s.Reserved.EventsOf(t.Context(), []store.Span{{Org: orgs[0], To: 10}})
		noError(t, err)
	})
}

// A change of an organization waits no longer than its turn while another one
// asks for as much as it can.
func TestPool_ChangesGoOnBesideReadsOfAnother(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		orgs := founded(t, s, 1)
		ctx, stop := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		defer readers.Wait()
		defer stop()
		for range 40 {
			readers.Go(func() {
				for ctx.Err() == nil {
					_, _ = s.Events(paidBy(ctx, orgs[0], "caller"), orgs[0], store.EventFilter{}, 0, 0, 100)
				}
			})
		}
		for i := range 20 {
			mine, cancel := context.WithTimeout(paidBy(t.Context(), orgs[1], "caller"), 10*time.Second)
			_, err := s.Change(mine, orgs[1], func(tx *store.Tx) error {
				tx.Record(store.Event{Org: orgs[1], Time: store.Micros(i + 1), Type: "organization.updated", Target: orgs[1]})
				return nil
			})
			cancel()
			noError(t, err)
		}
	})
}
