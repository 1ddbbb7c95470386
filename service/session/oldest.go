package session

import (
	"context"
	"time"

	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/store"
)

// sessionsAtMost is how many live sessions a user has. The oldest end.
const sessionsAtMost = 20

const tooManySessions = "too many sessions" // why they end

// How often a user may sign in: far more than people and scripts do, and too
// seldom to keep the service busy with hashes of a password that is known.
var (
	signInsOfUser     = limit.Budget{Name: "sign-ins of a user", Limit: 200, Window: time.Minute}
	signInsOfUserADay = limit.Budget{Name: "sign-ins of a user a day", Limit: 5000, Window: 24 * time.Hour}
)

func signIns(user string) []limit.Charge {
	return []limit.Charge{signInsOfUser.One(user), signInsOfUserADay.One(user)}
}

// endOldest ends what is too much beside a session that was just written: of any
// number that begin at once the last one to look sees all of them. Should that
// fail, the next sign-in does it.
func (s *Sessions) endOldest(ctx context.Context, begun store.Session) {
	beyond, err := s.beyond(ctx, s.store.Reads, begun)
	if err == nil && len(beyond) > 0 {
		err = s.authority.Commit(ctx, begun.Org, func(t *store.Tx) error { return s.endBeyond(ctx, t, begun) })
	}
	if err != nil {
		s.Log.Warn("the oldest sessions were not ended", "request_id", door.CallOf(ctx).RequestID, "error", err.Error())
	}
}

func (s *Sessions) beyond(ctx context.Context, q store.Reads, begun store.Session) ([]store.Session, error) {
	now := s.Now()
	return q.SessionsBeyond(ctx, begun, sessionsAtMost-1, store.At(now), store.At(now.Add(-sessionIdle)))
}

// endBeyond is the change: what is too much is found again under the lock.
func (s *Sessions) endBeyond(ctx context.Context, t *store.Tx, begun store.Session) error {
	beyond, err := s.beyond(ctx, t.Reads, begun)
	if err != nil {
		return err
	}
	c, now := door.CallOf(ctx), store.At(s.Now())
	for _, session := range beyond {
		if err := t.EndSession(ctx, session.Org, session.ID, tooManySessions, now); err != nil {
			return err
		}
		t.Record(store.Event{
			Org: session.Org, Time: now, Type: store.EventSessionEnded, Target: session.ID, RequestID: c.RequestID, Source: c.Source,
			Data: store.Data{"user": session.User, "reason": tooManySessions},
		})
	}
	return nil
}

// endedAsOldest tells whether others that began at once have ended a session.
func (s *Sessions) endedAsOldest(ctx context.Context, session store.Session) bool {
	row, err := s.store.Session(ctx, session.Org, session.ID)
	return err == nil && row.EndReason == tooManySessions
}
