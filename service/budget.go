package service

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/bizmetry/identity/store"
)

// budget is how often something may be done in a window of time, counted in
// the database for all replicas.
type budget struct {
	name   string
	limit  int64
	window time.Duration
}

// charge takes n of somebody's budget: a caller's, a number's, an
// organization's. Nothing of the name is kept.
type charge struct {
	of    budget
	whose string
	n     int64
}

// taken is what came of a charge.
type taken struct {
	left  int64        // of what was asked for, how much there was
	used  int64        // in this window, with what was asked for
	again store.Micros // when the next window begins
}

// spender is a transaction, under an organization's lock or not.
type spender interface {
	Spend(ctx context.Context, now store.Micros, charges ...store.Charge) (map[string]store.Spent, error)
}

// take makes several charges with one statement. They count together with the
// transaction, whatever they come to; two that are of the same budget are not
// allowed.
func (s *Service) take(ctx context.Context, t spender, charges ...charge) ([]taken, error) {
	now := s.now()
	rows := make([]store.Charge, len(charges))
	for i, c := range charges {
		mac := s.ring.MAC("budget", c.of.name, c.whose)
		rows[i] = store.Charge{Key: hex.EncodeToString(mac[:]), N: c.n, End: store.At(now.Add(c.of.window))}
	}
	spent, err := t.Spend(ctx, store.At(now), rows...)
	if err != nil {
		return nil, err
	}
	all := make([]taken, len(charges))
	for i, c := range charges {
		s := spent[rows[i].Key]
		all[i] = taken{left: min(max(c.of.limit-(s.Used-c.n), 0), c.n), used: s.Used, again: s.End}
	}
	return all, nil
}

// spend takes one of each budget. It is counted in a short transaction of its
// own, which outlives the call's failure.
func (s *Service) spend(ctx context.Context, charges ...charge) error {
	return s.store.Short(ctx, func(t *store.ShortTx) error { return s.spendIn(ctx, t, charges...) })
}

// spendIn is spend in the transaction of what it is spent on, counted only
// together with that. errRateLimited says when to come back.
func (s *Service) spendIn(ctx context.Context, t spender, charges ...charge) error {
	all, err := s.take(ctx, t, charges...)
	if err != nil {
		return err
	}
	again := store.Micros(0)
	for i, c := range charges {
		if all[i].left < c.n {
			again = max(again, all[i].again)
		}
	}
	if again != 0 {
		return retryIn(errRateLimited, again.Time().Sub(s.now()))
	}
	return nil
}

// one is a charge of one.
func (b budget) one(whose string) charge { return charge{b, whose, 1} }
