// Package phone verifies phone numbers by codes, and gives a user a number that
// was proven. A proof is bound to its caller, organization and user.
// It must not know any other rule of users.
package phone

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"strconv"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/limit"
	"github.com/bizmetry/identity/service/outbox"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// Phones verifies phone numbers. It is a part of UserService.
type Phones struct {
	kit.Kit

	store   *store.Store
	ring    *secret.KeyRing
	limits  *limit.Limits
	changes *change.Changes
	outbox  *outbox.Outbox
}

// New returns the part of UserService that is about phone numbers.
func New(k kit.Kit, st *store.Store, ring *secret.KeyRing, limits *limit.Limits, changes *change.Changes, o *outbox.Outbox) *Phones {
	return &Phones{Kit: k, store: st, ring: ring, limits: limits, changes: changes, outbox: o}
}

// The life of a verification: a code is good for two minutes and five tries
// in all, a new one can be sent for a while, and what comes out is a proof.
const (
	codeLife     = 2 * time.Minute
	codeTries    = 5
	resendAfter  = 30 * time.Second
	resendWithin = 15 * time.Minute
	codeSends    = 5
	proofLife    = 10 * time.Minute
)

// What SMS may cost, and how much may be guessed. A new verification starts
// no budget anew.
var (
	smsOfCaller       = limit.Budget{Name: "sms of caller", Limit: 30, Window: time.Hour}
	smsOfOrganization = limit.Budget{Name: "sms of organization", Limit: 300, Window: time.Hour}
	smsToNumber       = limit.Budget{Name: "sms to number", Limit: 3, Window: 10 * time.Minute}
	smsToNumberADay   = limit.Budget{Name: "sms to number a day", Limit: 10, Window: 24 * time.Hour}
	codesOfCaller     = limit.Budget{Name: "codes of caller", Limit: 60, Window: time.Hour}
)

// StartPhoneVerification sends a code to a number.
func (s *Phones) StartPhoneVerification(ctx context.Context, req *identityv1.StartPhoneVerificationRequest) (*identityv1.PhoneVerification, error) {
	if err := s.mayProve(ctx, req.GetUserId()); err != nil {
		return nil, err
	}
	number, ok := contact.ParsePhone(req.GetPhone())
	if !ok {
		return nil, invalidPhone("phone")
	}
	return s.sendOnce(ctx, req, func(t *store.ShortTx) (v store.PhoneVerification, err error) {
		c := door.CallOf(ctx)
		v = store.PhoneVerification{
			Org: c.Org, ID: s.NewID(), CallerOrg: c.Caller.Org, Caller: c.Caller.ID, User: req.GetUserId(),
			Masked: contact.MaskPhone(number), Created: store.At(s.Now()),
		}
		v.Sealed = s.ring.Seal("phone_verifications", []byte(number), v.Org, v.ID)
		if err := s.sendCode(ctx, t, &v, number); err != nil {
			return v, err
		}
		return v, t.AddPhoneVerification(ctx, v)
	})
}

// ResendPhoneCode sends a new code in place of the one before it.
func (s *Phones) ResendPhoneCode(ctx context.Context, req *identityv1.ResendPhoneCodeRequest) (*identityv1.PhoneVerification, error) {
	if _, err := s.ownVerification(ctx, req.GetId()); err != nil {
		return nil, err
	}
	return s.sendOnce(ctx, req, func(t *store.ShortTx) (v store.PhoneVerification, err error) {
		if v, err = t.PhoneVerification(ctx, door.CallOf(ctx).Org, req.GetId()); err != nil {
			return v, err
		}
		now := s.Now()
		if v.Confirmed != 0 || v.Tries >= codeTries || v.Sends >= codeSends || !now.Before(v.Created.Time().Add(resendWithin)) {
			return v, answer.ErrVerificationOver
		}
		if wait := resendTime(v).Sub(now); wait > 0 {
			return v, answer.Limited(answer.ErrRateLimited, "resending a code", wait)
		}
		number, err := s.verifiedNumber(v)
		if err != nil {
			return v, err
		}
		if err := s.sendCode(ctx, t, &v, number); err != nil {
			return v, err
		}
		if err := t.ReplacePhoneCode(ctx, v); !wire.IsNotFound(err) {
			return v, err
		}
		return v, answer.Limited(answer.ErrRateLimited, "resending a code", resendAfter) // another call sent one meanwhile
	})
}

// ConfirmPhoneVerification trades the code for a proof. The try is counted
// before the code is compared, and outlives the call.
func (s *Phones) ConfirmPhoneVerification(ctx context.Context, req *identityv1.ConfirmPhoneVerificationRequest) (*identityv1.ConfirmPhoneVerificationResponse, error) {
	v, err := s.ownVerification(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	code, ok := contact.ParseCode(req.GetCode())
	if !ok {
		return nil, answer.Invalid("code", "code", "must be the six digits that were sent")
	}
	now := store.At(s.Now())
	err = s.store.Short(ctx, func(t *store.ShortTx) (err error) {
		if err := s.limits.SpendIn(ctx, t, codesOfCaller.One(v.Caller)); err != nil {
			return err
		}
		v, err = t.CountPhoneTry(ctx, v.Org, v.ID, codeTries, now)
		return err
	})
	if wire.IsNotFound(err) {
		return nil, answer.ErrVerificationOver
	}
	if err != nil {
		return nil, err
	}
	if !s.ring.VerifyMAC("phone_code", v.Code, codeParts(v, code)...) {
		return nil, answer.Refuse(answer.ErrCode, "attempts_left", strconv.FormatInt(codeTries-v.Tries, 10))
	}
	err = s.store.Short(ctx, func(t *store.ShortTx) error { return t.ConfirmPhone(ctx, v, now) })
	if wire.IsNotFound(err) {
		return nil, answer.ErrVerificationOver
	}
	if err != nil {
		return nil, err
	}
	return &identityv1.ConfirmPhoneVerificationResponse{
		PhoneProof: s.phoneProof(v), ExpireTime: wire.Stamp(store.At(now.Time().Add(proofLife))),
	}, nil
}

// mayProve checks who may prove a number for a user ("": one who is about to
// be created): people, for themselves or with the permission. The change that
// uses the proof checks again, under its lock.
func (s *Phones) mayProve(ctx context.Context, user string) error {
	c := door.CallOf(ctx)
	if err := peopleOnly(c); err != nil {
		return err
	}
	if user == c.Caller.ID && c.Org == c.Caller.Org {
		return nil
	}
	if !c.Caller.Has(c.Method.Needs()) {
		return c.Denied()
	}
	if user == "" {
		return nil
	}
	p, err := s.store.Principal(ctx, c.Org, user)
	if err != nil {
		return err
	}
	if p.Kind != store.KindUser || p.Deleted != 0 {
		return answer.ErrNotFound
	}
	look, err := s.changes.Look(ctx)
	if err != nil {
		return err
	}
	return look.MustOutlive(ctx, p, 0)
}

// peopleOnly refuses machines: a code is read by a person.
func peopleOnly(c *door.Call) error {
	if c.Caller.Kind != store.KindUser {
		return answer.Refuse(answer.ErrDenied, "principal", c.Caller.ID, "organization", c.Org, "only_for", store.KindUser)
	}
	return nil
}

// ownVerification returns a verification of the caller, who still may prove
// numbers. That of another one is not there.
func (s *Phones) ownVerification(ctx context.Context, id string) (v store.PhoneVerification, err error) {
	c := door.CallOf(ctx)
	if err = peopleOnly(c); err != nil {
		return v, err
	}
	v, err = s.store.PhoneVerification(ctx, c.Org, id)
	if err == nil && (v.CallerOrg != c.Caller.Org || v.Caller != c.Caller.ID) {
		err = answer.ErrNotFound
	}
	if err != nil {
		return v, err
	}
	return v, s.mayProve(ctx, v.User)
}

// sendOnce runs what sends a code in a short transaction, together with the
// outcome for the request id.
func (s *Phones) sendOnce(ctx context.Context, req change.Retryable, send func(*store.ShortTx) (store.PhoneVerification, error)) (*identityv1.PhoneVerification, error) {
	resp := &identityv1.PhoneVerification{}
	if done, err := s.changes.Replay(ctx, s.store.Reads, req, resp); done || err != nil {
		return resp, err
	}
	err := s.store.Short(ctx, func(t *store.ShortTx) error {
		v, err := send(t)
		if err != nil {
			return err
		}
		resp = &identityv1.PhoneVerification{
			Id: v.ID, Phone: v.Masked, ExpireTime: wire.Stamp(v.Expires), ResendTime: wire.Stamp(store.At(resendTime(v))),
		}
		return s.changes.Remember(ctx, t, req, resp)
	})
	if err != nil { // perhaps because another call with this request id was first
		if done, again := s.changes.Replay(ctx, s.store.Reads, req, resp); done && again == nil {
			return resp, nil
		}
		return nil, err
	}
	return resp, nil
}

// sendCode makes the next code of a verification and queues its message, if
// there is a budget left for it.
func (s *Phones) sendCode(ctx context.Context, t *store.ShortTx, v *store.PhoneVerification, number string) error {
	err := s.limits.SpendIn(ctx, t, smsOfCaller.One(v.Caller), smsOfOrganization.One(v.Org), smsToNumber.One(number), smsToNumberADay.One(number))
	if err != nil {
		return err
	}
	n, err := rand.Int(s.Rand, big.NewInt(1_000_000))
	if err != nil {
		return err
	}
	code := fmt.Sprintf("%0*d", contact.CodeDigits, n)
	now := s.Now()
	v.Sends, v.Sent, v.Expires = v.Sends+1, store.At(now), store.At(now.Add(codeLife))
	mac := s.ring.MAC("phone_code", codeParts(*v, code)...)
	v.Code = mac[:]
	message, err := s.outbox.Message(v.Org, "sms.code", number, map[string]string{"code": code})
	if err != nil {
		return err
	}
	message.Principal, message.Expires = v.User, v.Expires // a late code is over
	return t.Enqueue(ctx, message)
}

// codeParts is all that a code is bound to.
func codeParts(v store.PhoneVerification, code string) []string {
	return []string{v.Org, v.ID, strconv.FormatInt(v.Sends, 10), code}
}

func resendTime(v store.PhoneVerification) time.Time { return v.Sent.Time().Add(resendAfter) }

// verifiedNumber opens the number of a verification. A row that does not open
// was tampered with: it is over.
func (s *Phones) verifiedNumber(v store.PhoneVerification) (string, error) {
	number, err := s.ring.Open("phone_verifications", v.Sealed, v.Org, v.ID)
	if err != nil {
		return "", fmt.Errorf("%w: number of %s: %w", answer.ErrVerificationOver, v.ID, err)
	}
	return string(number), nil
}
