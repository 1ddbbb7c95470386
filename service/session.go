package service

import (
	"context"
	"errors"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// How long sessions live.
const (
	sessionLifetime = 12 * time.Hour   // at most
	sessionIdle     = 30 * time.Minute // without a refresh
	refreshGrace    = 10 * time.Second // in which a lost answer can be asked for again
)

// SignIn starts a session with e-mail and password. Whoever it is, or is not,
// the same statements run and one hash is computed.
func (s *Service) SignIn(ctx context.Context, req *identityv1.SignInRequest) (*identityv1.SignInResponse, error) {
	c := callOf(ctx)
	if err := s.sources.admit(c.source); err != nil {
		return nil, err
	}
	key := fold(req.GetEmail())
	if address, ok := parseEmail(req.GetEmail()); ok {
		key = address.key
	}
	throttle := s.throttleKey(key)
	if err := s.countAttempt(ctx, throttle); err != nil {
		return nil, err
	}
	u, org, err := s.findPerson(ctx, key)
	if err != nil {
		return nil, err
	}
	ok, stale, err := s.verifyPassword(ctx, req.GetPassword(), u.PasswordHash)
	if errors.Is(err, secret.ErrBusy) {
		return nil, errors.Join(err, s.returnAttempt(ctx, throttle))
	}
	if err != nil {
		return nil, err
	}
	if !ok {
		s.sources.failed(c.source)
		s.noteActivity(c, u.Org, "sign_in", "refused", u.ID, "password")
		return nil, errCredentials
	}
	if mustChange(org, u) {
		err := s.store.Short(ctx, func(t *store.ShortTx) error { return t.ForgetAttempts(ctx, throttle, store.At(s.now())) })
		if err != nil {
			return nil, err
		}
		s.noteActivity(c, u.Org, "sign_in", "password_change", u.ID, "password")
		return &identityv1.SignInResponse{Outcome: &identityv1.SignInResponse_PasswordChange{PasswordChange: s.askForChange(org, u)}}, nil
	}
	tokens, err := s.startSession(ctx, u, org, throttle)
	if errors.Is(err, errToken) { // disabled, or given another password, in this very moment
		err = errCredentials
	}
	if err != nil {
		return nil, err
	}
	if stale {
		s.upgradeHash(ctx, u, req.GetPassword())
	}
	s.noteActivity(c, u.Org, "sign_in", "ok", u.ID, "password")
	return &identityv1.SignInResponse{Outcome: &identityv1.SignInResponse_Tokens{Tokens: tokens}}, nil
}

// findPerson returns the person with a confirmed address who may sign in; of
// anybody else an empty row, whose password never fits.
func (s *Service) findPerson(ctx context.Context, key string) (store.User, store.Organization, error) {
	entry, err := s.store.Find(ctx, store.ConfirmedEmail, key)
	if isNotFound(err) {
		entry, err = store.Entry{Org: store.BuiltIn, ID: store.BuiltIn}, nil // nobody: asked for all the same
	}
	if err != nil {
		return store.User{}, store.Organization{}, err
	}
	u, err := s.store.User(ctx, entry.Org, entry.ID)
	if err != nil && !isNotFound(err) {
		return u, store.Organization{}, err
	}
	org, err := s.store.Organization(ctx, entry.Org)
	if err != nil && !isNotFound(err) {
		return u, org, err
	}
	if !u.Enabled || !u.Confirmed || org.Suspended {
		u.PasswordHash = ""
	}
	return u, org, nil
}

// verifyPassword runs one hash, also where there is none to compare with or
// the stored one cannot be used.
func (s *Service) verifyPassword(ctx context.Context, password, hash string) (ok, stale bool, err error) {
	ok, stale, err = s.passwords.Verify(ctx, password, hash)
	if errors.Is(err, secret.ErrHash) {
		s.log.Error("a stored password hash cannot be used", "request_id", callOf(ctx).requestID)
		return s.passwords.Verify(ctx, password, "")
	}
	if errors.Is(err, secret.ErrTooLong) {
		return false, false, nil
	}
	return ok, stale, err
}

// startSession writes the session and forgets the failed attempts. The
// epochs of the moment are kept in it: should the person be disabled while
// they sign in, the session is over before it begins.
func (s *Service) startSession(ctx context.Context, u store.User, org store.Organization, throttle string) (*identityv1.Tokens, error) {
	session := s.newSession(ctx, u, org)
	err := s.store.Short(ctx, func(t *store.ShortTx) error {
		if err := t.SignedIn(ctx, u.Org, u.ID, session.Created); err != nil { // first: who is being erased is waited for here
			return err
		}
		if err := t.AddSession(ctx, session); err != nil {
			return err
		}
		return t.ForgetAttempts(ctx, throttle, session.Created)
	})
	if isNotFound(err) {
		err = errToken // erased in this very moment
	}
	if err != nil {
		return nil, err
	}
	return s.tokensFor(ctx, session, session.Generation)
}

// newSession makes the row of a session that begins now.
func (s *Service) newSession(ctx context.Context, u store.User, org store.Organization) store.Session {
	now := s.now()
	return store.Session{
		Org: u.Org, ID: s.newID(), User: u.ID, Generation: 1, Epoch: u.Epoch, OrgEpoch: org.Epoch,
		Created: store.At(now), Refreshed: store.At(now), Expires: store.At(now.Add(sessionLifetime)),
		Source: callOf(ctx).source, UserAgent: callOf(ctx).userAgent,
	}
}

// tokensFor mints the tokens of a session's generation.
func (s *Service) tokensFor(ctx context.Context, session store.Session, generation int64) (*identityv1.Tokens, error) {
	standing, err := s.sessionStanding(ctx, session)
	if err != nil {
		return nil, err
	}
	claims := s.claimsFor(standing)
	claims.ClientID, claims.Session = SessionClient, session.ID
	claims.Expires = min(claims.Expires, session.Expires.Time().Unix())
	t, err := s.sign(claims)
	if err != nil {
		return nil, err
	}
	return &identityv1.Tokens{
		AccessToken: t.Text, RefreshToken: secret.RefreshToken(s.ring, session.ID, generation),
		ExpireTime: stamp(store.At(t.Expires)), SessionId: session.ID,
	}, nil
}

// upgradeHash replaces a weak hash by one of today's parameters. It may fail:
// the next sign-in tries again.
func (s *Service) upgradeHash(ctx context.Context, u store.User, password string) {
	hash, err := s.passwords.Hash(ctx, password)
	if err == nil {
		err = s.store.Short(ctx, func(t *store.ShortTx) error { return t.UpgradeHash(ctx, u.Org, u.ID, u.PasswordHash, hash) })
	}
	if err != nil {
		s.log.Warn("a password hash was not upgraded", "request_id", callOf(ctx).requestID, "error", err.Error())
	}
}

// Refresh trades a refresh token for its successor.
func (s *Service) Refresh(ctx context.Context, req *identityv1.RefreshRequest) (*identityv1.RefreshResponse, error) {
	c := callOf(ctx)
	if err := s.sources.admit(c.source); err != nil {
		return nil, err
	}
	id, generation, ok := secret.ParseRefreshToken(s.ring, req.GetRefreshToken())
	if !ok {
		s.sources.failed(c.source)
		return nil, errToken
	}
	entry, err := s.store.Find(ctx, store.SessionID, id)
	if isNotFound(err) {
		return nil, errToken
	}
	if err != nil {
		return nil, err
	}
	tokens, err := s.refresh(ctx, entry.Org, id, generation)
	if errors.Is(err, store.ErrNotFound) { // another refresh came first: see what it left
		tokens, err = s.refresh(ctx, entry.Org, id, generation)
	}
	if isNotFound(err) {
		err = errToken
	}
	return &identityv1.RefreshResponse{Tokens: tokens}, err
}

// refresh moves the session to the next generation. The generation before may
// ask again for a few seconds and gets the same; older ones were stolen or
// copied, and the session ends.
func (s *Service) refresh(ctx context.Context, org, id string, generation int64) (*identityv1.Tokens, error) {
	session, err := s.store.Session(ctx, org, id)
	if err != nil {
		return nil, err
	}
	now := s.now()
	idle := session.Refreshed.Time().Add(sessionIdle)
	switch {
	case session.Ended != 0, ended(session.Expires, store.At(now)), !idle.After(now):
		return nil, errToken
	case generation == session.Generation-1 && now.Sub(session.Refreshed.Time()) <= refreshGrace:
		return s.tokensFor(ctx, session, session.Generation)
	case generation != session.Generation:
		return nil, errors.Join(errToken, s.endFamily(ctx, session))
	}
	tokens, err := s.tokensFor(ctx, session, generation+1) // asks whether it is usable before it moves
	if err != nil {
		return nil, err
	}
	return tokens, s.store.Short(ctx, func(t *store.ShortTx) error { return t.Rotate(ctx, org, id, generation, store.At(now)) })
}

// endFamily ends a session whose refresh token was used twice.
func (s *Service) endFamily(ctx context.Context, session store.Session) error {
	c := callOf(ctx)
	return s.commit(ctx, session.Org, func(t *store.Tx) error {
		now := store.At(s.now())
		err := t.EndSession(ctx, session.Org, session.ID, "reuse", now)
		if err != nil {
			return err
		}
		t.Record(store.Event{
			Org: session.Org, Time: now, Type: "session.ended", Target: session.ID, RequestID: c.requestID, Source: c.source,
			Data: store.Data{"user": session.User, "reason": "reuse of a refresh token"},
		})
		return nil
	})
}

// SignOut ends a session: one's own, or another person's with the permission
// and control over them.
func (s *Service) SignOut(ctx context.Context, req *identityv1.SignOutRequest) (*identityv1.Session, error) {
	c := callOf(ctx)
	id := req.GetId()
	if id == "-" {
		if id = c.caller.claims.Session; id == "" {
			return nil, errNotFound
		}
	}
	var session store.Session
	err := s.change(ctx, func(ch *change) error {
		var err error
		if session, err = ch.Session(ctx, ch.org.ID, id); err != nil {
			return err
		}
		if err := ch.maySignOut(ctx, session); err != nil {
			return err
		}
		err = ch.endSession(ctx, session, "signed out")
		if session.Ended == 0 {
			session.Ended = ch.now
		}
		return err
	})
	return sessionProto(session), err
}

func sessionProto(s store.Session) *identityv1.Session {
	return &identityv1.Session{
		Id: s.ID, OrganizationId: s.Org, UserId: s.User, CreateTime: stamp(s.Created), RefreshTime: stamp(s.Refreshed),
		ExpireTime: stamp(s.Expires), EndTime: stamp(s.Ended),
	}
}
