// Package limit bounds how often something may be tried: budgets counted in the
// database, failed sign-ins per account, failures per source. It also writes
// activity and the last use of credentials in the background. It must not know
// authority or change.
package limit

import (
	"context"
	"encoding/hex"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// Limits bounds how often something may be tried, and collects activity that is
// written in the background.
type Limits struct {
	kit.Kit

	Sources    *Sources
	store      *store.Store
	ring       *secret.KeyRing
	activity   *activity
	lastUsed   *lastUsed
	waits      *otter.Cache[string, waiting]
	blockedNow atomic.Pointer[blocked]
	asking     singleflight.Group
}

// New returns the limits. The ring turns the names of what is counted into MACs.
func New(k kit.Kit, st *store.Store, ring *secret.KeyRing) *Limits {
	return &Limits{
		Kit: k, Sources: newSources(k.Now), store: st, ring: ring, activity: newActivity(), lastUsed: newLastUsed(), waits: newWaits(),
	}
}

// Budget is how often something may be done in a window of time, counted in
// the database for all replicas.
type Budget struct {
	Name   string
	Limit  int64
	Window time.Duration
}

// Charge takes N from the budget of Whose (a caller, a number, an organization),
// of whom only a MAC is stored.
type Charge struct {
	Of    Budget
	Whose string
	N     int64
}

// Taken is what came of a charge.
type Taken struct {
	Left  int64        // of what was asked for, how much there was
	Used  int64        // in this window, with what was asked for
	Again store.Micros // when the next window begins
}

// Spender is a transaction, under an organization's lock or not.
type Spender interface {
	Spend(ctx context.Context, now store.Micros, charges ...store.Charge) (map[string]store.Spent, error)
}

// Take makes several charges in one statement. They are committed with t even if
// they exceed their budgets. No two may be of the same budget and owner.
func (s *Limits) Take(ctx context.Context, t Spender, charges ...Charge) ([]Taken, error) {
	now := s.Now()
	rows := make([]store.Charge, len(charges))
	for i, c := range charges {
		mac := s.ring.MAC("budget", c.Of.Name, c.Whose)
		rows[i] = store.Charge{Key: hex.EncodeToString(mac[:]), N: c.N, End: store.At(now.Add(c.Of.Window))}
	}
	spent, err := t.Spend(ctx, store.At(now), rows...)
	if err != nil {
		return nil, err
	}
	all := make([]Taken, len(charges))
	for i, c := range charges {
		s := spent[rows[i].Key]
		all[i] = Taken{Left: min(max(c.Of.Limit-(s.Used-c.N), 0), c.N), Used: s.Used, Again: s.End}
	}
	return all, nil
}

// Spend takes one of each budget. It is counted in a short transaction of its
// own, which outlives the call's failure.
func (s *Limits) Spend(ctx context.Context, charges ...Charge) error {
	return s.store.Short(ctx, func(t *store.ShortTx) error { return s.SpendIn(ctx, t, charges...) })
}

// SpendIn is Spend in the transaction of what it is spent on, counted only
// together with that. ErrRateLimited says when to come back.
func (s *Limits) SpendIn(ctx context.Context, t Spender, charges ...Charge) error {
	all, err := s.Take(ctx, t, charges...)
	if err != nil {
		return err
	}
	again, name := store.Micros(0), ""
	for i, c := range charges {
		if all[i].Left < c.N && all[i].Again > again {
			again, name = all[i].Again, c.Of.Name
		}
	}
	if again != 0 {
		return answer.Limited(answer.ErrRateLimited, name, again.Time().Sub(s.Now()))
	}
	return nil
}

// One is a charge of one.
func (b Budget) One(whose string) Charge { return Charge{b, whose, 1} }
