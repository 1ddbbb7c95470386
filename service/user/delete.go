package user

import (
	"context"
	"errors"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/store"
)

// keptFor is how long a deleted person can be brought back.
const keptFor = 30 * 24 * time.Hour

// purgedAtOnce bounds what is purged under one lock.
const purgedAtOnce = 200

// DeleteUser removes a person; the row stays for thirty days.
func (s *Users) DeleteUser(ctx context.Context, req *identityv1.DeleteUserRequest) (*identityv1.User, error) {
	now := store.At(s.Now())
	address := func(u store.User) store.Data { return store.Data{"deleted_email": u.Email} } // erased with the user
	return s.switchUser(ctx, req.GetId(), req.GetEtag(), store.EventUserDeleted, address, func(u *store.User) bool {
		u.Deleted = now
		return true
	})
}

// expired is the time of deletion up to which nobody comes back.
func expired(now time.Time) store.Micros { return store.At(now.Add(-keptFor)) }

// UndeleteUser brings a person back, disabled. What they held is still theirs,
// so the caller must hold it too; the address may be somebody else's by now.
func (s *Users) UndeleteUser(ctx context.Context, req *identityv1.UndeleteUserRequest) (*identityv1.User, error) {
	var resp *identityv1.User
	err := s.changes.Run(ctx, func(tx *change.Tx) error {
		former, err := tx.UserDeletedAfter(ctx, tx.Org.ID, req.GetId(), expired(s.Now()))
		if err != nil {
			return err
		}
		if err := change.CheckEtag(req.GetEtag(), former.Version); err != nil {
			return err
		}
		if err := tx.MustControl(ctx, tx.PrincipalOf(store.KindUser, former.ID)); err != nil {
			return err
		}
		u := former
		if u.Deleted != 0 {
			u.Deleted, u.Enabled = 0, false
			if err := claimEmail(ctx, tx, u); err != nil {
				return err
			}
			if err := saveSwitched(ctx, tx, former, &u); err != nil {
				return err
			}
			tx.Note(store.EventUserUndeleted, u.ID, nil)
		}
		resp, err = s.Answer(ctx, tx, u)
		return err
	})
	return resp, err
}

// EraseUser removes all that is kept of a person, deleted or not. Events keep
// the id.
func (s *Users) EraseUser(ctx context.Context, req *identityv1.EraseUserRequest) (*identityv1.EraseUserResponse, error) {
	var u store.User
	err := s.changes.Run(ctx, func(tx *change.Tx) (err error) {
		u, err = tx.UserDeletedAfter(ctx, tx.Org.ID, req.GetId(), 0)
		if err != nil {
			return err
		}
		if err := change.CheckEtag(req.GetEtag(), u.Version); err != nil {
			return err
		}
		if err := tx.MustControl(ctx, tx.PrincipalOf(store.KindUser, u.ID)); err != nil {
			return err
		}
		tx.Note(store.EventUserErased, u.ID, nil)
		return tx.KeepAdministrator(ctx, func() error { return s.erase(ctx, tx.Tx, u) })
	})
	if err == nil {
		s.limits.Lifted(u) // the address may be somebody else's at once
	}
	return &identityv1.EraseUserResponse{}, err
}

// erase removes people of one organization, and what slowed down their sign-in.
func (s *Users) erase(ctx context.Context, t *store.Tx, users ...store.User) error {
	throttles := make([]string, len(users))
	for i, u := range users {
		throttles[i] = s.limits.UserKey(u.Org, u.ID)
	}
	return t.EraseUsers(ctx, throttles, users...)
}

// Purge erases users who were deleted more than thirty days ago. Any number of
// replicas may do it at once: each batch is found again under the lock of its
// organization.
func (s *Users) Purge(ctx context.Context) error {
	orgs, err := s.store.OrganizationsOfDeleted(ctx, expired(s.Now()))
	for _, org := range orgs {
		for more := true; more && ctx.Err() == nil; {
			var failed error
			if more, failed = s.purgeSome(ctx, org); failed != nil {
				err = errors.Join(err, failed) // the others' turn all the same
				break
			}
		}
	}
	return err
}

func (s *Users) purgeSome(ctx context.Context, org string) (more bool, err error) {
	err = s.authority.Commit(ctx, org, func(t *store.Tx) error {
		users, err := t.DeletedUsers(ctx, org, expired(s.Now()), purgedAtOnce)
		if err != nil {
			return err
		}
		for _, u := range users {
			t.Record(store.Event{Org: org, Time: store.At(s.Now()), Type: store.EventUserPurged, Target: u.ID})
		}
		more = len(users) == purgedAtOnce
		return s.erase(ctx, t, users...)
	})
	return more, err
}
