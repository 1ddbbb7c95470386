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
	spent      *otter.Cache[string, store.Spent] // by key, until their windows end
	proven     *otter.Cache[provenKey, struct{}]
	blockedNow atomic.Pointer[blocked]
	asking     singleflight.Group
}

// New returns the limits. The ring turns the names of what is counted into MACs.
func New(k kit.Kit, st *store.Store, ring *secret.KeyRing) *Limits {
	return &Limits{
		Kit: k, Sources: newSources(k.Now, k.Meter), store: st, ring: ring, activity: newActivity(), lastUsed: newLastUsed(), waits: newWaits(),
		spent: newSpent(), proven: newProven(),
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
	AfterCommit(then func())
}

// Take makes several charges in one statement. They are committed with t even if
// they exceed their budgets. No two may be of the same budget and owner. What is
// known to be spent takes no statement and is not charged again.
func (s *Limits) Take(ctx context.Context, t Spender, charges ...Charge) ([]Taken, error) {
	all, before, err := s.take(ctx, t, charges)
	if err == nil && len(before) > 0 {
		t.AfterCommit(func() { s.remember(before) }) // t may have charged the same before, and be undone
	}
	return all, err
}

// take is Take, and returns what was spent before it.
func (s *Limits) take(ctx context.Context, t Spender, charges []Charge) (all []Taken, before map[string]store.Spent, err error) {
	now := s.Now()
	all, keys := make([]Taken, len(charges)), make([]string, len(charges))
	var rows []store.Charge
	for i, c := range charges {
		keys[i] = s.budgetKey(c)
		if known, ok := s.recall(keys[i]); ok {
			all[i] = Taken{Used: known.Used + c.N, Again: known.End}
		} else {
			rows = append(rows, store.Charge{Key: keys[i], N: c.N, End: store.At(now.Add(c.Of.Window))})
		}
	}
	if len(rows) > 0 {
		spent, err := t.Spend(ctx, store.At(now), rows...)
		if err != nil {
			return nil, nil, err
		}
		before = map[string]store.Spent{}
		for i, c := range charges {
			row, ok := spent[keys[i]]
			if !ok {
				continue
			}
			all[i] = Taken{Left: min(max(c.Of.Limit-(row.Used-c.N), 0), c.N), Used: row.Used, Again: row.End}
			if row.Used-c.N >= c.Of.Limit {
				before[keys[i]] = row
			}
		}
	}
	for i, c := range charges {
		count := s.Meter.Of(c.Of.Name)
		if count.Use(all[i].Left); all[i].Left < c.N {
			count.Refuse()
		}
	}
	return all, before, nil
}

// Spend takes one of each budget. It is counted in a short transaction of its
// own, which outlives the call's failure.
func (s *Limits) Spend(ctx context.Context, charges ...Charge) error {
	if err := s.MaySpend(charges...); err != nil {
		return err
	}
	var all []Taken
	err := s.store.Short(ctx, func(t *store.ShortTx) (err error) {
		all, err = s.spendIn(ctx, t, charges)
		return err
	})
	if err != nil {
		return err
	}
	spent := map[string]store.Spent{}
	for i, c := range charges {
		if all[i].Used >= c.Of.Limit {
			spent[s.budgetKey(c)] = store.Spent{Used: all[i].Used, End: all[i].Again}
		}
	}
	s.remember(spent)
	return nil
}

// SpendIn is Spend in the transaction of what it is spent on, counted only
// together with that, and made at most once in it for a budget and its owner.
// ErrRateLimited says when to come back.
func (s *Limits) SpendIn(ctx context.Context, t Spender, charges ...Charge) error {
	if err := s.MaySpend(charges...); err != nil {
		return err
	}
	_, err := s.spendIn(ctx, t, charges)
	return err
}

func (s *Limits) spendIn(ctx context.Context, t Spender, charges []Charge) ([]Taken, error) {
	all, before, err := s.take(ctx, t, charges)
	if err != nil {
		return nil, err
	}
	s.remember(before)
	again, name := store.Micros(0), ""
	for i, c := range charges {
		if all[i].Left < c.N && all[i].Again > again {
			again, name = all[i].Again, c.Of.Name
		}
	}
	if again != 0 {
		return nil, answer.Limited(answer.ErrRateLimited, name, again.Time().Sub(s.Now()))
	}
	return all, nil
}

// MaySpend refuses what memory knows to be spent, without a statement.
func (s *Limits) MaySpend(charges ...Charge) error {
	again, name := store.Micros(0), ""
	for _, c := range charges {
		if known, ok := s.recall(s.budgetKey(c)); ok && known.End > again {
			again, name = known.End, c.Of.Name
		}
	}
	if again == 0 {
		return nil
	}
	s.Meter.Of(name).Refuse()
	return answer.Limited(answer.ErrRateLimited, name, again.Time().Sub(s.Now()))
}

// spentAtMost bounds how many spent budgets are remembered.
const spentAtMost = 100_000

func newSpent() *otter.Cache[string, store.Spent] {
	return otter.Must(&otter.Options[string, store.Spent]{MaximumSize: spentAtMost})
}

func (s *Limits) budgetKey(c Charge) string {
	mac := s.ring.MAC("budget", c.Of.Name, c.Whose)
	return hex.EncodeToString(mac[:])
}

// recall returns what is remembered of a budget that is spent until its window ends.
func (s *Limits) recall(key string) (store.Spent, bool) {
	known, ok := s.spent.GetIfPresent(key)
	return known, ok && known.End > store.At(s.Now())
}

func (s *Limits) remember(spent map[string]store.Spent) {
	for key, row := range spent {
		s.spent.Set(key, row)
	}
}

// One is a charge of one.
func (b Budget) One(whose string) Charge { return Charge{b, whose, 1} }
