package user

import (
	"context"
	"errors"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// SendActivation mails a new link to a user who is not confirmed or has no password yet.
func (s *Users) SendActivation(ctx context.Context, req *identityv1.SendActivationRequest) (*identityv1.User, error) {
	resp := &identityv1.User{}
	if done, err := s.changes.Replay(ctx, s.store.Reads, req, resp); done || err != nil {
		return resp, err
	}
	err := s.changes.Run(ctx, func(tx *change.Tx) error {
		if done, err := s.changes.Replay(ctx, tx.Reads, req, resp); done || err != nil {
			return err
		}
		u, err := tx.User(ctx, tx.Org.ID, req.GetId())
		if err != nil {
			return err
		}
		switch {
		case !u.Enabled:
			return answer.ErrUserDisabled
		case !u.NeedsLink():
			return answer.ErrAlreadyConfirmed
		}
		if err := tx.MustOutlive(ctx, tx.PrincipalOf(store.KindUser, u.ID), 0); err != nil {
			return err
		}
		if !u.Confirmed {
			if err := claimEmail(ctx, tx, u); err != nil { // confirmed elsewhere: the link would be good for nothing
				return err
			}
		}
		withheld, err := s.letters.Invite(ctx, tx, tx.Org, u)
		if err != nil {
			return err
		}
		if again := withheld[u.ID]; again != 0 { // here there is nothing else to do
			return answer.Limited(answer.ErrRateLimited, "activation mails", again.Time().Sub(s.Now()))
		}
		tx.Note(store.EventUserActivationSent, u.ID, nil)
		if resp, err = s.Answer(ctx, tx, u); err != nil {
			return err
		}
		return tx.Remember(ctx, req, resp)
	})
	return resp, err
}

// ActivateUser follows an activation link. Expired, replaced and unknown ones are
// refused alike; of a used one the user learns that the account is active.
func (s *Users) ActivateUser(ctx context.Context, req *identityv1.ActivateUserRequest) (*identityv1.ActivateUserResponse, error) {
	digest := secret.LinkDigest(req.GetToken())
	u, org, err := s.followLink(ctx, digest)
	if err != nil {
		return nil, err
	}
	hash, err := s.firstPassword(ctx, org, u, req.GetPassword())
	if err != nil {
		return nil, err
	}
	c := door.CallOf(ctx)
	err = s.authority.Commit(ctx, u.Org, func(t *store.Tx) error {
		now := store.At(s.Now())
		former, _, err := linked(ctx, t.Reads, digest, now)
		if err == nil {
			err = t.SpendLink(ctx, digest, now)
		}
		if wire.IsNotFound(err) {
			err = answer.ErrLink
		}
		if err != nil {
			return err
		}
		u = former
		u.Confirmed, u.Version, u.Updated = true, u.Version+1, now
		if hash != "" {
			u.PasswordHash, u.PasswordInitial = hash, false
		}
		if !former.Confirmed {
			if err := t.Enlist(ctx, store.Entry{Kind: store.ConfirmedEmail, Key: u.EmailKey, Org: u.Org, ID: u.ID}); err != nil {
				return emailTaken(err)
			}
		}
		if err := t.SaveUser(ctx, former, u); err != nil {
			return err
		}
		t.Record(store.Event{
			Org: u.Org, Time: now, Type: store.EventUserActivated, Target: u.ID, Actor: u.ID, RequestID: c.RequestID, Source: c.Source,
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &identityv1.ActivateUserResponse{Email: u.Email}, nil
}

// followLink returns whose link it is. It is asked before slow work, and
// counts what is refused against the source.
func (s *Users) followLink(ctx context.Context, digest string) (store.User, store.Organization, error) {
	c := door.CallOf(ctx)
	if err := s.limits.Sources.Take(limit.Activating, c.Source); err != nil {
		return store.User{}, store.Organization{}, err
	}
	u, org, err := linked(ctx, s.store.Reads, digest, store.At(s.Now()))
	if !errors.Is(err, answer.ErrLink) {
		s.limits.Sources.GiveBack(limit.Activating, c.Source)
	}
	return u, org, err
}

// linked is the person of an open link, if they are still as the link was made for.
func linked(ctx context.Context, q store.Reads, digest string, now store.Micros) (store.User, store.Organization, error) {
	l, err := q.Link(ctx, digest, now)
	if wire.IsNotFound(err) {
		return store.User{}, store.Organization{}, answer.ErrLink
	}
	if err != nil {
		return store.User{}, store.Organization{}, err
	}
	u, err := q.User(ctx, l.Org, l.User)
	if wire.IsNotFound(err) {
		return u, store.Organization{}, answer.ErrLink
	}
	if err != nil {
		return u, store.Organization{}, err
	}
	if !u.NeedsLink() && l.Spent == 0 { // it may have been spent since it was read
		if l, err = q.Link(ctx, digest, now); err != nil {
			return u, store.Organization{}, err
		}
	}
	org, err := q.Organization(ctx, l.Org)
	switch {
	case err != nil:
	case !u.Enabled || org.Suspended || u.EmailKey != l.EmailKey:
		err = answer.ErrLink
	case l.Spent != 0 && !u.NeedsLink():
		err = answer.ErrAlreadyActivated
	case l.Spent != 0 || !u.NeedsLink() || u.Epoch != l.Epoch:
		err = answer.ErrLink
	}
	return u, org, err
}

// firstPassword hashes the password that a person chooses who has none.
func (s *Users) firstPassword(ctx context.Context, org store.Organization, u store.User, password string) (string, error) {
	switch {
	case u.PasswordHash == "" && password == "":
		return "", answer.Invalid("password", "required", "a password must be chosen: the account has none yet")
	case u.PasswordHash == "":
		return s.passwords.Hash(ctx, org, u, password)
	case password != "":
		return "", answer.Invalid("password", "not_expected", "the account has a password already")
	}
	return "", nil
}

// LinkNeedsPassword tells the page behind a link whether it has to ask for a
// password. It spends nothing.
func (s *Users) LinkNeedsPassword(ctx context.Context, token string) (bool, error) {
	u, _, err := s.followLink(ctx, secret.LinkDigest(token))
	return u.PasswordHash == "", err
}
