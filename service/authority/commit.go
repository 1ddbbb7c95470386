package authority

import (
	"context"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/store"
)

// Commit runs a change, and drops what it changed from memory before anybody
// is answered.
func (s *Authority) Commit(ctx context.Context, org string, fn func(*store.Tx) error, others ...string) error {
	var seen int64
	events, err := s.store.Change(ctx, org, func(t *store.Tx) error {
		seen = t.Seq(org)
		return fn(t)
	}, others...)
	if store.Taken(err) == "users__email_key" {
		return answer.ErrEmailTaken // told when the row was written, which may be at the end
	}
	if err != nil {
		return err
	}
	s.memory.apply(events)
	last := store.LastNumbers(events)
	s.tell.add(last)
	s.keepUp(ctx, org, seen, last[org])
	if len(events) > 0 {
		s.announce(ctx, last)
	}
	return nil
}

// keepUp brings memory to the event that a change began after. What the change
// found done already was done by another replica, or by a call whose outcome
// was unknown: the answer that it is done must not come before memory knows.
func (s *Authority) keepUp(ctx context.Context, org string, seen, last int64) {
	if !s.memory.reached(org, seen) && s.reach(ctx, org, max(seen, last)) != nil {
		s.memory.forget(org)
	}
}
