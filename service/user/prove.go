package user

import (
	"context"
	"errors"
	"slices"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// mustProve has callers who change what they themselves sign in with give their
// present password: otherwise a stolen access token would become the account. A
// wrong one counts like a failed sign-in.
func (s *Users) mustProve(ctx context.Context, req *identityv1.UpdateUserRequest) error {
	c, in := door.CallOf(ctx), req.GetUser()
	if in.GetId() != c.Caller.ID {
		return nil
	}
	u, err := s.store.User(ctx, c.Org, c.Caller.ID)
	if err != nil || !takesLogin(u, in, req.GetUpdateMask().GetPaths()) {
		return err
	}
	if in.GetCurrentPassword() == "" {
		return answer.Invalid("user.current_password", "required", "must be given to change one's own password, address or phone")
	}
	try := limit.Attempt{Named: u.EmailKey, Key: s.limits.UserKey(u.Org, u.ID), Row: s.limits.Activity(c, u.Org, "sign_in", "refused", u.ID, "present_password")}
	if err := s.limits.MayAttempt(try.Named); err != nil {
		return err
	}
	if err := s.limits.CountAttempt(ctx, try); err != nil {
		return err
	}
	ok, _, err := s.hasher.Verify(ctx, in.GetCurrentPassword(), u.PasswordHash)
	switch {
	case errors.Is(err, secret.ErrBusy):
		return errors.Join(err, s.limits.ReturnAttempt(ctx, try))
	case errors.Is(err, secret.ErrHash): // what is stored fits no password
		s.Log.Error("a stored password hash cannot be used", "request_id", c.RequestID)
		return answer.ErrCredentials
	case errors.Is(err, secret.ErrTooLong), err == nil && !ok:
		return answer.ErrCredentials
	case err != nil:
		return err
	}
	return s.store.Short(ctx, func(t *store.ShortTx) error { return s.limits.Succeeded(ctx, t, try, "ok") })
}

// takesLogin tells whether an update changes what the user signs in with. What was
// read and is sent back as it was changes nothing.
func takesLogin(u store.User, in *identityv1.User, mask []string) bool {
	masked := func(path string) bool { return slices.Contains(mask, path) }
	return (masked("password") && in.GetPassword() != "") ||
		(masked("email") && in.GetEmail() != u.Email) ||
		(masked("phone") && in.GetPhone() != u.PhoneMasked) ||
		(masked("phone_proof") && in.GetPhoneProof() != "")
}
