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
	limit  int
	window time.Duration
}

// spend takes one of a budget, which is somebody's: a caller's, a number's, an
// organization's. It is counted in a short transaction of its own, which
// outlives the call's failure. errRateLimited says when to come back.
func (s *Service) spend(ctx context.Context, b budget, whose string) error {
	return s.store.Short(ctx, func(t *store.ShortTx) error { return s.spendIn(ctx, t, b, whose) })
}

// spender is a transaction, under an organization's lock or not.
type spender interface {
	Spend(ctx context.Context, key string, limit int, now, end store.Micros) (ok bool, again store.Micros, err error)
}

// spendIn is spend in the transaction of what it is spent on, counted only
// together with that. Several budgets are always taken in the same order, so
// that two calls never wait for each other crosswise.
func (s *Service) spendIn(ctx context.Context, t spender, b budget, whose string) error {
	mac := s.ring.MAC("budget", b.name, whose)
	now := s.now()
	ok, again, err := t.Spend(ctx, hex.EncodeToString(mac[:]), b.limit, store.At(now), store.At(now.Add(b.window)))
	if err == nil && !ok {
		err = retryIn(errRateLimited, again.Time().Sub(now))
	}
	return err
}
