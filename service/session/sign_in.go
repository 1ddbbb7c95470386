package session

import (
	"context"
	"errors"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// trial is a sign-in under way.
type trial struct {
	user    store.User
	org     store.Organization
	device  string // on which this user fully signed in before; "": none
	attempt limit.Attempt
}

// SignIn starts a session with e-mail and password. Whoever it is, or is not,
// the same statements run and one hash is computed.
func (s *Sessions) SignIn(ctx context.Context, req *identityv1.SignInRequest) (*identityv1.SignInResponse, error) {
	c := door.CallOf(ctx)
	device, genuine := secret.ParseDeviceToken(s.ring, req.GetDeviceToken())
	taken := !genuine // from the source: a device that is known is not the source's
	if taken {
		if err := s.limits.Sources.Take(limit.SigningIn, c.Source); err != nil {
			return nil, err
		}
	}
	resp, err := s.signIn(ctx, req, device, &taken)
	if taken && !errors.Is(err, answer.ErrCredentials) { // right, or not tried
		s.limits.Sources.GiveBack(limit.SigningIn, c.Source)
	}
	return resp, err
}

// signIn is SignIn, once something may have been taken from its source.
func (s *Sessions) signIn(ctx context.Context, req *identityv1.SignInRequest, device secret.Device, taken *bool) (*identityv1.SignInResponse, error) {
	c := door.CallOf(ctx)
	try, err := s.begin(ctx, req.GetEmail(), device, !*taken)
	if err != nil {
		return nil, err
	}
	if try.device == "" && !*taken { // a genuine token, but not of this user
		if err := s.limits.Sources.Take(limit.SigningIn, c.Source); err != nil {
			return nil, errors.Join(err, s.limits.ReturnAttempt(ctx, try.attempt))
		}
		*taken = true
	}
	c.ChargeTo(s.limits.PayerOf(try.attempt, try.user.Org, try.user.ID, c.Source, try.device != ""))
	ok, stale, err := s.verifyPassword(ctx, req.GetPassword(), try.user.PasswordHash)
	if errors.Is(err, secret.ErrBusy) {
		return nil, errors.Join(err, s.limits.ReturnAttempt(ctx, try.attempt))
	}
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, answer.ErrCredentials
	}
	s.limits.Proved(try.user.ID, c.Source)
	resp, err := s.succeed(ctx, try)
	if errors.Is(err, answer.ErrToken) { // disabled, or given another password, in this very moment
		err = answer.ErrCredentials
	}
	if err == nil && stale && resp.GetTokens() != nil {
		s.upgradeHash(ctx, try.user, req.GetPassword())
	}
	return resp, err
}

// begin finds out who signs in, and counts the attempt before it is made.
func (s *Sessions) begin(ctx context.Context, email string, device secret.Device, genuine bool) (try trial, err error) {
	key := contact.Fold(email)
	if address, ok := contact.ParseEmail(email); ok {
		key = address.Key
	}
	try.attempt = limit.Attempt{Named: key, Key: s.limits.AddressKey(key)}
	if genuine {
		try.attempt.Named += " " + device.ID
	}
	if err := s.limits.MayAttempt(try.attempt.Named); err != nil {
		return try, err
	}
	var may, known bool
	if try.user, try.org, may, err = s.findPerson(ctx, key); err != nil {
		return try, err
	}
	if genuine {
		if known, err = s.onDevice(ctx, device, try.user); err != nil {
			return try, err
		}
	}
	if err := s.limits.MayAttemptMore(signIns(try.user.ID)...); may && err != nil {
		return try, err
	}
	switch {
	case may && known:
		try.device, try.attempt.Key = device.ID, s.limits.DeviceKey(device.ID)
	case may:
		try.attempt.Key = s.limits.UserKey(try.user.Org, try.user.ID)
	}
	try.attempt.Row = s.limits.Activity(door.CallOf(ctx), try.user.Org, "sign_in", "refused", try.user.ID, "password")
	return try, s.limits.CountAttempt(ctx, try.attempt)
}

// succeed answers a sign-in whose password is right.
func (s *Sessions) succeed(ctx context.Context, try trial) (*identityv1.SignInResponse, error) {
	u := try.user
	if mustChange(try.org, u) {
		err := s.store.Short(ctx, func(t *store.ShortTx) error {
			if err := s.limits.SpendIn(ctx, t, signIns(u.ID)...); err != nil {
				return err
			}
			return s.limits.Succeeded(ctx, t, try.attempt, "password_change")
		})
		if err != nil {
			return nil, err
		}
		return &identityv1.SignInResponse{Outcome: &identityv1.SignInResponse_PasswordChange{PasswordChange: s.askForChange(try.org, u)}}, nil
	}
	tokens, device, err := s.startSession(ctx, try)
	if err != nil {
		return nil, err
	}
	return &identityv1.SignInResponse{Outcome: &identityv1.SignInResponse_Tokens{Tokens: tokens}, DeviceToken: device}, nil
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
func (s *Sessions) startSession(ctx context.Context, try trial) (tokens *identityv1.Tokens, device string, err error) {
	u, session := try.user, s.newSession(ctx, try.user, try.org)
	err = s.store.Short(ctx, func(t *store.ShortTx) (err error) {
		if err := t.SignedIn(ctx, u.Org, u.ID, session.Created); err != nil { // first: who is being erased is waited for here
			return err
		}
		if err := t.AddSession(ctx, session); err != nil {
			return err
		}
		if device, err = s.keepDevice(ctx, t, session, try.device); err != nil {
			return err
		}
		if err := s.limits.SpendIn(ctx, t, signIns(u.ID)...); err != nil {
			return err
		}
		return s.limits.Succeeded(ctx, t, try.attempt, "ok")
	})
	if wire.IsNotFound(err) {
		err = answer.ErrToken // erased in this very moment
	}
	if err != nil {
		return nil, "", err
	}
	s.endOldest(ctx, session)
	tokens, err = s.tokensFor(ctx, session, session.Generation)
	if errors.Is(err, answer.ErrToken) && s.endedAsOldest(ctx, session) {
		err = answer.Limited(answer.ErrRateLimited, "sessions of a user", time.Second)
	}
	return tokens, device, err
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
