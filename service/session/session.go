// Package session implements SessionService: sign-in, refresh, sign-out, and
// the change of an initial password. It must not know the rules of users.
package session

import (
	"context"
	"errors"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/authority"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/letter"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// Sessions implements SessionService.
type Sessions struct {
	identityv1.UnsafeSessionServiceServer
	kit.Kit

	store       *store.Store
	ring        *secret.KeyRing
	hasher      *secret.Passwords
	incarnation string // of the store
	authority   *authority.Authority
	limits      *limit.Limits
	changes     *change.Changes
	letters     *letter.Letters
}

// Config is what sessions are made of.
type Config struct {
	kit.Kit
	Store       *store.Store
	Ring        *secret.KeyRing
	Hasher      *secret.Passwords
	Incarnation string // of the store
	Authority   *authority.Authority
	Limits      *limit.Limits
	Changes     *change.Changes
	Letters     *letter.Letters
}

// New returns the implementation of SessionService.
func New(cfg Config) *Sessions {
	return &Sessions{
		Kit: cfg.Kit, store: cfg.Store, ring: cfg.Ring, hasher: cfg.Hasher, incarnation: cfg.Incarnation,
		authority: cfg.Authority, limits: cfg.Limits, changes: cfg.Changes, letters: cfg.Letters,
	}
}

// How long sessions live.
const (
	sessionLifetime = 12 * time.Hour   // at most
	sessionIdle     = 30 * time.Minute // without a refresh
	refreshGrace    = 10 * time.Second // in which a lost answer can be asked for again
)

// newSession makes the row of a session that begins now.
func (s *Sessions) newSession(ctx context.Context, u store.User, org store.Organization) store.Session {
	now := s.Now()
	return store.Session{
		Org: u.Org, ID: s.NewID(), User: u.ID, Generation: 1, Epoch: u.Epoch, OrgEpoch: org.Epoch,
		Created: store.At(now), Refreshed: store.At(now), Expires: store.At(now.Add(sessionLifetime)),
		Source: door.CallOf(ctx).Source, UserAgent: door.CallOf(ctx).UserAgent,
	}
}

// tokensFor mints the tokens of a session's generation.
func (s *Sessions) tokensFor(ctx context.Context, session store.Session, generation int64) (*identityv1.Tokens, error) {
	standing, err := s.authority.SessionStanding(ctx, session)
	if err != nil {
		return nil, err
	}
	claims := s.authority.ClaimsFor(standing)
	claims.ClientID, claims.Session = authority.SessionClient, session.ID
	claims.Expires = min(claims.Expires, session.Expires.Time().Unix())
	t, err := s.authority.Sign(claims)
	if err != nil {
		return nil, err
	}
	return &identityv1.Tokens{
		AccessToken: t.Text, RefreshToken: secret.RefreshToken(s.ring, session.ID, generation),
		ExpireTime: wire.Stamp(store.At(t.Expires)), SessionId: session.ID,
	}, nil
}

// Refresh trades a refresh token for its successor.
func (s *Sessions) Refresh(ctx context.Context, req *identityv1.RefreshRequest) (*identityv1.RefreshResponse, error) {
	id, generation, ok := secret.ParseRefreshToken(s.ring, req.GetRefreshToken())
	if !ok {
		return nil, s.limits.Sources.Wrong(limit.Refreshing, door.CallOf(ctx).Source, answer.ErrToken)
	}
	entry, err := s.store.Find(ctx, store.SessionID, id)
	if wire.IsNotFound(err) {
		return nil, answer.ErrToken
	}
	if err != nil {
		return nil, err
	}
	tokens, err := s.refresh(ctx, entry.Org, id, generation)
	if errors.Is(err, store.ErrNotFound) { // another refresh came first: see what it left
		tokens, err = s.refresh(ctx, entry.Org, id, generation)
	}
	if wire.IsNotFound(err) {
		err = answer.ErrToken
	}
	return &identityv1.RefreshResponse{Tokens: tokens}, err
}

// refresh moves the session to the next generation. The generation before may
// ask again for a few seconds and gets the same; older ones were stolen or
// copied, and the session ends.
func (s *Sessions) refresh(ctx context.Context, org, id string, generation int64) (*identityv1.Tokens, error) {
	session, err := s.store.Session(ctx, org, id)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	idle := session.Refreshed.Time().Add(sessionIdle)
	switch {
	case session.Ended != 0, s.authority.TooLate(session.Expires), !idle.After(now):
		return nil, answer.ErrToken
	case generation == session.Generation-1 && now.Sub(session.Refreshed.Time()) <= refreshGrace:
		return s.tokensFor(ctx, session, session.Generation)
	case generation != session.Generation:
		return nil, errors.Join(answer.ErrToken, s.endFamily(ctx, session))
	}
	tokens, err := s.tokensFor(ctx, session, generation+1) // asks whether it is usable before it moves
	if err != nil {
		return nil, err
	}
	return tokens, s.store.Short(ctx, func(t *store.ShortTx) error { return t.Rotate(ctx, org, id, generation, store.At(now)) })
}

// endFamily ends a session whose refresh token was used twice.
func (s *Sessions) endFamily(ctx context.Context, session store.Session) error {
	c := door.CallOf(ctx)
	return s.authority.Commit(ctx, session.Org, func(t *store.Tx) error {
		now := store.At(s.Now())
		err := t.EndSession(ctx, session.Org, session.ID, "reuse", now)
		if err != nil {
			return err
		}
		t.Record(store.Event{
			Org: session.Org, Time: now, Type: store.EventSessionEnded, Target: session.ID, RequestID: c.RequestID, Source: c.Source,
			Data: store.Data{"user": session.User, "reason": "reuse of a refresh token"},
		})
		return nil
	})
}

// SignOut ends a session: one's own, or another person's with the permission
// and control over them.
func (s *Sessions) SignOut(ctx context.Context, req *identityv1.SignOutRequest) (*identityv1.Session, error) {
	c := door.CallOf(ctx)
	id := req.GetId()
	if id == "-" {
		if id = c.Caller.Claims.Session; id == "" {
			return nil, answer.ErrNotFound
		}
	}
	var session store.Session
	err := s.changes.Run(ctx, func(tx *change.Tx) error {
		var err error
		if session, err = tx.Session(ctx, tx.Org.ID, id); err != nil {
			return err
		}
		if err := tx.MaySignOut(ctx, session); err != nil {
			return err
		}
		err = tx.SignOff(ctx, session, "signed out")
		if session.Ended == 0 {
			session.Ended = tx.Now
		}
		return err
	})
	return sessionProto(session), err
}

func sessionProto(s store.Session) *identityv1.Session {
	return &identityv1.Session{
		Id: s.ID, OrganizationId: s.Org, UserId: s.User, CreateTime: wire.Stamp(s.Created), RefreshTime: wire.Stamp(s.Refreshed),
		ExpireTime: wire.Stamp(s.Expires), EndTime: wire.Stamp(s.Ended),
	}
}
