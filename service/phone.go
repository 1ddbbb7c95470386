package service

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"strconv"
	"time"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store"
)

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
	smsOfCaller       = budget{"sms of caller", 30, time.Hour}
	smsOfOrganization = budget{"sms of organization", 300, time.Hour}
	smsToNumber       = budget{"sms to number", 3, 10 * time.Minute}
	smsToNumberADay   = budget{"sms to number a day", 10, 24 * time.Hour}
	codesOfCaller     = budget{"codes of caller", 60, time.Hour}
)

// StartPhoneVerification sends a code to a number.
func (s *Service) StartPhoneVerification(ctx context.Context, req *identityv1.StartPhoneVerificationRequest) (*identityv1.PhoneVerification, error) {
	if err := s.mayProve(ctx, req.GetUserId()); err != nil {
		return nil, err
	}
	number, ok := parsePhone(req.GetPhone())
	if !ok {
		return nil, invalidPhone("phone")
	}
	return s.sendOnce(ctx, req, func(t *store.ShortTx) (v store.PhoneVerification, err error) {
		c := callOf(ctx)
		v = store.PhoneVerification{
			Org: c.org, ID: s.newID(), CallerOrg: c.caller.Org, Caller: c.caller.ID, User: req.GetUserId(),
			Masked: maskPhone(number), Created: store.At(s.now()),
		}
		v.Sealed = s.ring.Seal("phone_verifications", []byte(number), v.Org, v.ID)
		if err := s.sendCode(ctx, t, &v, number); err != nil {
			return v, err
		}
		return v, t.AddPhoneVerification(ctx, v)
	})
}

// ResendPhoneCode sends a new code in place of the one before it.
func (s *Service) ResendPhoneCode(ctx context.Context, req *identityv1.ResendPhoneCodeRequest) (*identityv1.PhoneVerification, error) {
	if _, err := s.ownVerification(ctx, req.GetId()); err != nil {
		return nil, err
	}
	return s.sendOnce(ctx, req, func(t *store.ShortTx) (v store.PhoneVerification, err error) {
		if v, err = t.PhoneVerification(ctx, callOf(ctx).org, req.GetId()); err != nil {
			return v, err
		}
		now := s.now()
		if v.Confirmed != 0 || v.Tries >= codeTries || v.Sends >= codeSends || !now.Before(v.Created.Time().Add(resendWithin)) {
			return v, errVerificationOver
		}
		if wait := resendTime(v).Sub(now); wait > 0 {
			return v, retryIn(errRateLimited, wait)
		}
		number, err := s.verifiedNumber(v)
		if err != nil {
			return v, err
		}
		if err := s.sendCode(ctx, t, &v, number); err != nil {
			return v, err
		}
		if err := t.ReplacePhoneCode(ctx, v); !isNotFound(err) {
			return v, err
		}
		return v, retryIn(errRateLimited, resendAfter) // another call sent one meanwhile
	})
}

// ConfirmPhoneVerification trades the code for a proof. The try is counted
// before the code is compared, and outlives the call.
func (s *Service) ConfirmPhoneVerification(ctx context.Context, req *identityv1.ConfirmPhoneVerificationRequest) (*identityv1.ConfirmPhoneVerificationResponse, error) {
	v, err := s.ownVerification(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	code, ok := plainCode(req.GetCode())
	if !ok {
		return nil, invalid("code", "code", "must be the six digits that were sent")
	}
	now := store.At(s.now())
	err = s.store.Short(ctx, func(t *store.ShortTx) (err error) {
		if err := s.spendIn(ctx, t, codesOfCaller.one(v.Caller)); err != nil {
			return err
		}
		v, err = t.CountPhoneTry(ctx, v.Org, v.ID, codeTries, now)
		return err
	})
	if isNotFound(err) {
		return nil, errVerificationOver
	}
	if err != nil {
		return nil, err
	}
	if !s.ring.VerifyMAC("phone_code", v.Code, codeParts(v, code)...) {
		return nil, refuse(errCode, "attempts_left", strconv.FormatInt(codeTries-v.Tries, 10))
	}
	err = s.store.Short(ctx, func(t *store.ShortTx) error { return t.ConfirmPhone(ctx, v, now) })
	if isNotFound(err) {
		return nil, errVerificationOver
	}
	if err != nil {
		return nil, err
	}
	return &identityv1.ConfirmPhoneVerificationResponse{
		PhoneProof: s.phoneProof(v), ExpireTime: stamp(store.At(now.Time().Add(proofLife))),
	}, nil
}

// mayProve checks who may prove a number for a user ("": one who is about to
// be created): people, for themselves or with the permission. The change that
// uses the proof checks again, under its lock.
func (s *Service) mayProve(ctx context.Context, user string) error {
	c := callOf(ctx)
	if err := peopleOnly(c); err != nil {
		return err
	}
	if user == c.caller.ID && c.org == c.caller.Org {
		return nil
	}
	if !c.caller.has(c.method.needs()) {
		return c.denied()
	}
	if user == "" {
		return nil
	}
	p, err := s.store.Principal(ctx, c.org, user)
	if err != nil {
		return err
	}
	if p.Kind != store.KindUser || p.Deleted != 0 {
		return errNotFound
	}
	look, err := s.look(ctx)
	if err != nil {
		return err
	}
	return look.mustOutlive(ctx, p, 0)
}

// peopleOnly refuses machines: a code is read by a person.
func peopleOnly(c *call) error {
	if c.caller.Kind != store.KindUser {
		return refuse(errDenied, "principal", c.caller.ID, "organization", c.org, "only_for", store.KindUser)
	}
	return nil
}

// ownVerification returns a verification of the caller, who still may prove
// numbers. That of another one is not there.
func (s *Service) ownVerification(ctx context.Context, id string) (v store.PhoneVerification, err error) {
	c := callOf(ctx)
	if err = peopleOnly(c); err != nil {
		return v, err
	}
	v, err = s.store.PhoneVerification(ctx, c.org, id)
	if err == nil && (v.CallerOrg != c.caller.Org || v.Caller != c.caller.ID) {
		err = errNotFound
	}
	if err != nil {
		return v, err
	}
	return v, s.mayProve(ctx, v.User)
}

// sendOnce runs what sends a code in a short transaction, together with the
// outcome for the request id.
func (s *Service) sendOnce(ctx context.Context, req retryable, send func(*store.ShortTx) (store.PhoneVerification, error)) (*identityv1.PhoneVerification, error) {
	resp := &identityv1.PhoneVerification{}
	if done, err := s.replay(ctx, s.store.Reads, req, resp); done || err != nil {
		return resp, err
	}
	err := s.store.Short(ctx, func(t *store.ShortTx) error {
		v, err := send(t)
		if err != nil {
			return err
		}
		resp = &identityv1.PhoneVerification{
			Id: v.ID, Phone: v.Masked, ExpireTime: stamp(v.Expires), ResendTime: stamp(store.At(resendTime(v))),
		}
		return s.remember(ctx, t, req, resp)
	})
	if err != nil { // perhaps because another call with this request id was first
		if done, again := s.replay(ctx, s.store.Reads, req, resp); done && again == nil {
			return resp, nil
		}
		return nil, err
	}
	return resp, nil
}

// sendCode makes the next code of a verification and queues its message, if
// there is a budget left for it.
func (s *Service) sendCode(ctx context.Context, t *store.ShortTx, v *store.PhoneVerification, number string) error {
	err := s.spendIn(ctx, t, smsOfCaller.one(v.Caller), smsOfOrganization.one(v.Org), smsToNumber.one(number), smsToNumberADay.one(number))
	if err != nil {
		return err
	}
	n, err := rand.Int(s.rand, big.NewInt(1_000_000))
	if err != nil {
		return err
	}
	code := fmt.Sprintf("%0*d", codeDigits, n)
	now := s.now()
	v.Sends, v.Sent, v.Expires = v.Sends+1, store.At(now), store.At(now.Add(codeLife))
	mac := s.ring.MAC("phone_code", codeParts(*v, code)...)
	v.Code = mac[:]
	message, err := s.courier.message(v.Org, "sms.code", number, map[string]string{"code": code})
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
func (s *Service) verifiedNumber(v store.PhoneVerification) (string, error) {
	number, err := s.ring.Open("phone_verifications", v.Sealed, v.Org, v.ID)
	if err != nil {
		return "", fmt.Errorf("%w: number of %s: %w", errVerificationOver, v.ID, err)
	}
	return string(number), nil
}
