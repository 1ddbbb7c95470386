package user

import (
	"context"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/letter"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/store"
)

// unlocksOfUser bounds how many passwords more can be guessed with the help of
// whoever unlocks the user.
var unlocksOfUser = limit.Budget{Name: "unlocks of a user", Limit: 5, Window: 24 * time.Hour}

// UnlockUser ends the wait after wrong passwords.
func (s *Users) UnlockUser(ctx context.Context, req *identityv1.UnlockUserRequest) (*identityv1.User, error) {
	var resp *identityv1.User
	var u store.User
	err := s.changes.Run(ctx, func(tx *change.Tx) (err error) {
		if u, err = tx.User(ctx, tx.Org.ID, req.GetId()); err != nil {
			return err
		}
		if err := change.CheckEtag(req.GetEtag(), u.Version); err != nil {
			return err
		}
		if err := tx.MustControl(ctx, tx.PrincipalOf(store.KindUser, u.ID)); err != nil {
			return err
		}
		if err := s.unlock(ctx, tx, u); err != nil {
			return err
		}
		resp, err = s.Answer(ctx, tx, u)
		return err
	})
	if err == nil {
		s.limits.Lifted(u)
	}
	return resp, err
}

// unlock lifts the wait of a user, if there is one.
func (s *Users) unlock(ctx context.Context, tx *change.Tx, u store.User) error {
	locked, err := s.limits.LockedInRows(ctx, tx.Reads, []store.User{u})
	if err != nil || locked[0] == 0 {
		return err
	}
	if err := s.limits.SpendIn(ctx, tx, unlocksOfUser.One(u.ID)); err != nil {
		return err
	}
	if err := s.limits.Lift(ctx, tx, u); err != nil {
		return err
	}
	if u.Confirmed { // an address that nobody proved gets links alone
		if err := s.letters.Notify(ctx, tx.Tx, tx.Org, u, letter.Notice{Kind: "mail.unlocked", To: u}); err != nil {
			return err
		}
	}
	tx.Note(store.EventUserUnlocked, u.ID, nil)
	return nil
}
