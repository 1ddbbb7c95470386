package service

import (
	"context"

	"github.com/bizmetry/identity/store"
)

// endsTokens is the permission to end tokens and sessions of others.
const endsTokens = "platform.tokens.write"

func (ch *change) maySignOut(ctx context.Context, session store.Session) error {
	if session.User == ch.by.ID && session.Org == ch.by.Org {
		return nil
	}
	if !ch.by.has(endsTokens) {
		return errNotFound // who may not end it need not know that it is there
	}
	return ch.mustControl(ctx, ch.principal(store.KindUser, session.User))
}

// endSession ends a session; one that has ended stays as it is.
func (ch *change) endSession(ctx context.Context, session store.Session, reason string) error {
	if session.Ended != 0 {
		return nil
	}
	ch.record("session.ended", session.ID, store.Data{"user": session.User, "reason": reason})
	return ch.EndSession(ctx, ch.org.ID, session.ID, reason, ch.now)
}
