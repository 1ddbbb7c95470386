package change

import (
	"context"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/store"
)

// MaySignOut returns an error unless the session is the caller's own, or the caller
// holds platform.tokens.write and controls the user.
func (tx *Tx) MaySignOut(ctx context.Context, session store.Session) error {
	if session.User == tx.By.ID && session.Org == tx.By.Org {
		return nil
	}
	if !tx.By.Has(perm.TokensWrite) {
		return answer.ErrNotFound // who may not end it need not know that it is there
	}
	return tx.MustControl(ctx, tx.PrincipalOf(store.KindUser, session.User))
}

// SignOff ends a session; one that has ended stays as it is.
func (tx *Tx) SignOff(ctx context.Context, session store.Session, reason string) error {
	if session.Ended != 0 {
		return nil
	}
	tx.Note(store.EventSessionEnded, session.ID, store.Data{"user": session.User, "reason": reason})
	return tx.EndSession(ctx, tx.Org.ID, session.ID, reason, tx.Now)
}
