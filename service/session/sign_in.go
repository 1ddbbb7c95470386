package session

import (
	"context"
	"errors"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// SignIn starts a session with e-mail and password. Whoever it is, or is not,
// the same statements run and one hash is computed.
func (s *Sessions) SignIn(ctx context.Context, req *identityv1.SignInRequest) (*identityv1.SignInResponse, error) {
	c := door.CallOf(ctx)
	if err := s.limits.Sources.Admit(c.Source); err != nil {
		return nil, err
	}
	key := contact.Fold(req.GetEmail())
	if address, ok := contact.ParseEmail(req.GetEmail()); ok {
		key = address.Key
	}
	attempt := limit.Attempt{Named: key, Key: s.limits.AddressKey(key)}
	if err := s.limits.MayAttempt(attempt.Named); err != nil {
		return nil, err
	}
	u, org, may, err := s.findPerson(ctx, key)
	if err != nil {
		return nil, err
	}
	if may {
		attempt.Key = s.limits.UserKey(u.Org, u.ID)
	}
	if err := s.limits.CountAttempt(ctx, attempt); err != nil {
		return nil, err
	}
	ok, stale, err := s.verifyPassword(ctx, req.GetPassword(), u.PasswordHash)
	if errors.Is(err, secret.ErrBusy) {
		return nil, errors.Join(err, s.limits.ReturnAttempt(ctx, attempt))
	}
	if err != nil {
		return nil, err
	}
	if !ok {
		s.limits.Sources.Failed(c.Source)
		s.limits.NoteActivity(c, u.Org, "sign_in", "refused", u.ID, "password")
		return nil, answer.ErrCredentials
	}
	if mustChange(org, u) {
		err := s.store.Short(ctx, func(t *store.ShortTx) error { return t.ForgetAttempts(ctx, attempt.Key, store.At(s.Now())) })
		if err != nil {
			return nil, err
		}
		s.limits.NoteActivity(c, u.Org, "sign_in", "password_change", u.ID, "password")
		return &identityv1.SignInResponse{Outcome: &identityv1.SignInResponse_PasswordChange{PasswordChange: s.askForChange(org, u)}}, nil
	}
	tokens, err := s.startSession(ctx, u, org, attempt)
	if errors.Is(err, answer.ErrToken) { // disabled, or given another password, in this very moment
		err = answer.ErrCredentials
	}
	if err != nil {
		return nil, err
	}
	if stale {
		s.upgradeHash(ctx, u, req.GetPassword())
	}
	s.limits.NoteActivity(c, u.Org, "sign_in", "ok", u.ID, "password")
	return &identityv1.SignInResponse{Outcome: &identityv1.SignInResponse_Tokens{Tokens: tokens}}, nil
}

// findPerson returns the person with a confirmed address, and whether they may
// sign in. Of those who may not the password is left out, so that none fits.
func (s *Sessions) findPerson(ctx context.Context, key string) (u store.User, org store.Organization, may bool, err error) {
	entry, err := s.store.Find(ctx, store.ConfirmedEmail, key)
	if wire.IsNotFound(err) {
		entry, err = store.Entry{Org: store.BuiltIn, ID: store.BuiltIn}, nil // nobody: asked for all the same
	}
	if err != nil {
		return u, org, false, err
	}
	u, err = s.store.User(ctx, entry.Org, entry.ID)
	if err != nil && !wire.IsNotFound(err) {
		return u, org, false, err
	}
	org, err = s.store.Organization(ctx, entry.Org)
	if err != nil && !wire.IsNotFound(err) {
		return u, org, false, err
	}
	may = u.Enabled && u.Confirmed && !org.Suspended
	if !may {
		u.PasswordHash = ""
	}
	return u, org, may, nil
}

// verifyPassword runs one hash, also where there is none to compare with or
// the stored one cannot be used.
func (s *Sessions) verifyPassword(ctx context.Context, password, hash string) (ok, stale bool, err error) {
	ok, stale, err = s.hasher.Verify(ctx, password, hash)
	if errors.Is(err, secret.ErrHash) {
		s.Log.Error("a stored password hash cannot be used", "request_id", door.CallOf(ctx).RequestID)
		return s.hasher.Verify(ctx, password, "")
	}
	if errors.Is(err, secret.ErrTooLong) {
		return false, false, nil
	}
	return ok, stale, err
}

// startSession writes the session and forgets the failed attempts. The
// epochs of the moment are kept in it: should the person be disabled while
// they sign in, the session is over before it begins.
func (s *Sessions) startSession(ctx context.Context, u store.User, org store.Organization, attempt limit.Attempt) (*identityv1.Tokens, error) {
	session := s.newSession(ctx, u, org)
	err := s.store.Short(ctx, func(t *store.ShortTx) error {
		if err := t.SignedIn(ctx, u.Org, u.ID, session.Created); err != nil { // first: who is being erased is waited for here
			return err
		}
		if err := t.AddSession(ctx, session); err != nil {
			return err
		}
		return t.ForgetAttempts(ctx, attempt.Key, session.Created)
	})
	if wire.IsNotFound(err) {
		err = answer.ErrToken // erased in this very moment
	}
	if err != nil {
		return nil, err
	}
	return s.tokensFor(ctx, session, session.Generation)
}

// upgradeHash replaces a weak hash by one of today's parameters. It may fail:
// the next sign-in tries again.
func (s *Sessions) upgradeHash(ctx context.Context, u store.User, password string) {
	hash, err := s.hasher.Hash(ctx, password)
	if err == nil {
		err = s.store.Short(ctx, func(t *store.ShortTx) error { return t.UpgradeHash(ctx, u.Org, u.ID, u.PasswordHash, hash) })
	}
	if err != nil {
		s.Log.Warn("a password hash was not upgraded", "request_id", door.CallOf(ctx).RequestID, "error", err.Error())
	}
}
