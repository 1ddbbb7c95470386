package session

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/letter"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/password"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// passwordDue is what a password_change token says: who has to replace which
// password, until when. It is sealed and not kept; that it works once follows
// from what it is bound to, for the change moves the epoch and the hash.
type passwordDue struct {
	Org      string       `json:"o"`
	User     string       `json:"u"`
	Hash     string       `json:"h"` // a MAC of the present one
	Epoch    store.Micros `json:"e"`
	OrgEpoch store.Micros `json:"g"`
	Expires  store.Micros `json:"x"`
}

const (
	passwordDuePrefix = "bmp_"
	passwordDueFor    = 10 * time.Minute
	passwordDueKey    = "password change" // purpose of the keys
)

// passwordChanges bounds the hashes that one token can ask for.
var passwordChanges = limit.Budget{Name: "password change", Limit: 20, Window: passwordDueFor}

// mustChange tells whether a person has to replace their password before they get in.
func mustChange(org store.Organization, u store.User) bool {
	return u.PasswordInitial && org.ChangeInitialPassword
}

// askForChange answers a sign-in whose password is right but has to be replaced.
func (s *Sessions) askForChange(org store.Organization, u store.User) *identityv1.PasswordChange {
	mac := s.ring.MAC(passwordDueKey, u.PasswordHash)
	due := passwordDue{
		Org: u.Org, User: u.ID, Hash: hex.EncodeToString(mac[:]), Epoch: u.Epoch, OrgEpoch: org.Epoch,
		Expires: store.At(s.Now().Add(passwordDueFor)),
	}
	text, err := json.Marshal(due)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	sealed := s.ring.Seal(passwordDueKey, text, s.incarnation)
	return &identityv1.PasswordChange{
		Token: passwordDuePrefix + base64.RawURLEncoding.EncodeToString(sealed), ExpireTime: wire.Stamp(due.Expires),
	}
}

// readPasswordDue opens a password_change token; ErrToken for what is none.
func (s *Sessions) readPasswordDue(token string) (due passwordDue, err error) {
	text, ok := strings.CutPrefix(token, passwordDuePrefix)
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || strings.ContainsAny(text, "\r\n") { // which the decoder passes over
		return due, answer.ErrToken
	}
	if sealed, err = s.ring.Open(passwordDueKey, sealed, s.incarnation); err != nil {
		return due, answer.ErrToken
	}
	return due, json.Unmarshal(sealed, &due)
}

// personDue reads who has to change their password, with their organization.
// Once anything has changed that the token is bound to, it is ErrToken.
func (s *Sessions) personDue(ctx context.Context, q store.Reads, due passwordDue) (u store.User, org store.Organization, err error) {
	if u, err = q.User(ctx, due.Org, due.User); err == nil {
		org, err = q.Organization(ctx, due.Org)
	}
	mac, _ := hex.DecodeString(due.Hash) // sealed: we wrote it
	live := u.Enabled && u.Confirmed && !org.Suspended && mustChange(org, u) && u.Epoch == due.Epoch && org.Epoch == due.OrgEpoch &&
		!wire.Ended(due.Expires, store.At(s.Now())) && s.ring.VerifyMAC(passwordDueKey, mac, u.PasswordHash)
	if wire.IsNotFound(err) || (err == nil && !live) {
		err = answer.ErrToken
	}
	return u, org, err
}

// ChangePassword replaces an initial password and signs in.
func (s *Sessions) ChangePassword(ctx context.Context, req *identityv1.ChangePasswordRequest) (*identityv1.ChangePasswordResponse, error) {
	c := door.CallOf(ctx)
	due, err := s.readPasswordDue(req.GetToken())
	if err != nil {
		return nil, s.limits.Sources.Wrong(limit.ChangingPassword, c.Source, err)
	}
	u, org, err := s.personDue(ctx, s.store.Reads, due)
	if err != nil {
		return nil, err
	}
	hash, err := s.replacePassword(ctx, org, u, req.GetNewPassword())
	if err != nil {
		return nil, err
	}
	var session store.Session
	var device string
	err = s.authority.Commit(ctx, due.Org, func(t *store.Tx) error {
		former, org, err := s.personDue(ctx, t.Reads, due)
		if err != nil {
			return err
		}
		if session, err = s.savePassword(ctx, t, org, former, hash); err != nil {
			return err
		}
		if device, err = s.keepDevice(ctx, t, session, ""); err != nil {
			return err
		}
		return t.AddActivity(ctx, s.limits.Activity(c, due.Org, "sign_in", "ok", due.User, "password changed"))
	})
	if err != nil {
		return nil, err
	}
	tokens, err := s.tokensFor(ctx, session, session.Generation)
	return &identityv1.ChangePasswordResponse{Tokens: tokens, DeviceToken: device}, err
}

// replacePassword hashes a new password in place of the person's present one,
// which it must not be. What is cheap to refuse is refused before any hash.
func (s *Sessions) replacePassword(ctx context.Context, org store.Organization, u store.User, chosen string) (string, error) {
	if err := password.Accept(org, u, chosen); err != nil {
		return "", err
	}
	if err := s.limits.Spend(ctx, passwordChanges.One(u.ID)); err != nil {
		return "", err
	}
	same, _, err := s.hasher.Verify(ctx, chosen, u.PasswordHash)
	if err != nil && !errors.Is(err, secret.ErrHash) {
		return "", err
	}
	if same {
		return "", password.Weak([]string{secret.Unchanged})
	}
	return s.hasher.Hash(ctx, chosen)
}

// savePassword writes a password that a person chose, ends what they were
// signed in with, and starts a session in the new epoch.
func (s *Sessions) savePassword(ctx context.Context, t *store.Tx, org store.Organization, former store.User, hash string) (session store.Session, err error) {
	c, now := door.CallOf(ctx), store.At(s.Now())
	u := former
	u.PasswordHash, u.PasswordInitial = hash, false
	u.Epoch = max(now, former.Epoch+1)
	u.Version, u.Updated = former.Version+1, now
	if err := t.SaveUser(ctx, former, u); err != nil {
		return session, err
	}
	if err := t.EndSessions(ctx, u.Org, u.ID, "password changed", now); err != nil {
		return session, err
	}
	if err := t.DeleteDevices(ctx, u.Org, u.ID); err != nil {
		return session, err
	}
	if err := s.letters.Notify(ctx, t, org, u, letter.Notice{Kind: "mail.password_changed", To: u}); err != nil {
		return session, err
	}
	session = s.newSession(ctx, u, org)
	if err := t.AddSession(ctx, session); err != nil {
		return session, err
	}
	if err := t.SignedIn(ctx, u.Org, u.ID, now); err != nil {
		return session, err
	}
	t.Record(store.Event{
		Org: u.Org, Time: now, Type: store.EventUserPasswordChanged, Target: u.ID, Actor: u.ID, Credential: session.ID,
		RequestID: c.RequestID, Source: c.Source,
	})
	return session, nil
}
