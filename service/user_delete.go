package service

import (
	"context"
	"errors"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store"
)

// keptFor is how long a deleted person can be brought back.
const keptFor = 30 * 24 * time.Hour

// purgedAtOnce bounds what is purged under one lock.
const purgedAtOnce = 200

// DeleteUser removes a person; the row stays for thirty days.
func (s *Service) DeleteUser(ctx context.Context, req *identityv1.DeleteUserRequest) (*identityv1.User, error) {
	now := store.At(s.now())
	return s.switchUser(ctx, req.GetId(), req.GetEtag(), "user.deleted", func(u *store.User) bool {
		u.Deleted = now
		return true
	})
}

// expired is the time of deletion up to which nobody comes back.
func (s *Service) expired() store.Micros { return store.At(s.now().Add(-keptFor)) }

// UndeleteUser brings a person back, disabled. What they held is still theirs,
// so the caller must hold it too; the address may be somebody else's by now.
func (s *Service) UndeleteUser(ctx context.Context, req *identityv1.UndeleteUserRequest) (*identityv1.User, error) {
	if err := s.mayLearn(ctx); err != nil {
		return nil, err
	}
	var resp *identityv1.User
	err := s.change(ctx, func(ch *change) error {
		former, err := ch.UserDeletedAfter(ctx, ch.org.ID, req.GetId(), s.expired())
		if err != nil {
			return err
		}
		if err := checkEtag(req.GetEtag(), former.Version); err != nil {
			return err
		}
		if err := ch.mustControl(ctx, ch.principal(store.KindUser, former.ID)); err != nil {
			return err
		}
		u := former
		if u.Deleted != 0 {
			u.Deleted, u.Enabled = 0, false
			if err := ch.claimEmail(ctx, u); err != nil {
				return err
			}
			if err := ch.saveSwitched(ctx, former, &u); err != nil {
				return err
			}
			ch.record("user.undeleted", u.ID, nil)
		}
		resp, err = ch.userAnswer(ctx, u)
		return err
	})
	return resp, err
}

// EraseUser removes all that is kept of a person, deleted or not. Events keep
// the id.
func (s *Service) EraseUser(ctx context.Context, req *identityv1.EraseUserRequest) (*identityv1.EraseUserResponse, error) {
	err := s.change(ctx, func(ch *change) error {
		u, err := ch.UserDeletedAfter(ctx, ch.org.ID, req.GetId(), 0)
		if err != nil {
			return err
		}
		if err := checkEtag(req.GetEtag(), u.Version); err != nil {
			return err
		}
		if err := ch.mustControl(ctx, ch.principal(store.KindUser, u.ID)); err != nil {
			return err
		}
		ch.record("user.erased", u.ID, nil)
		return ch.keepingAdministrator(ctx, func() error { return s.erase(ctx, ch.Tx, u) })
	})
	return &identityv1.EraseUserResponse{}, err
}

// erase removes people of one organization, and what slowed down their sign-in.
func (s *Service) erase(ctx context.Context, t *store.Tx, users ...store.User) error {
	throttles := make([]string, len(users))
	for i, u := range users {
		throttles[i] = s.throttleKey(u.EmailKey)
	}
	return t.EraseUsers(ctx, throttles, users...)
}

// purge erases who was deleted thirty days ago. Any number of replicas may do
// it at once: each batch is found again under the lock of its organization.
func (s *Service) purge(ctx context.Context) error {
	orgs, err := s.store.OrganizationsOfDeleted(ctx, s.expired())
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

func (s *Service) purgeSome(ctx context.Context, org string) (more bool, err error) {
	err = s.commit(ctx, org, func(t *store.Tx) error {
		users, err := t.DeletedUsers(ctx, org, s.expired(), purgedAtOnce)
		if err != nil {
			return err
		}
		for _, u := range users {
			t.Record(store.Event{Org: org, Time: store.At(s.now()), Type: "user.purged", Target: u.ID})
		}
		more = len(users) == purgedAtOnce
		return s.erase(ctx, t, users...)
	})
	return more, err
}
