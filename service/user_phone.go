package service

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store"
)

// phoneEdit is a number that is asked for, and its proof. A nil text asks for nothing.
type phoneEdit struct {
	text   *string
	number string // of the text, where it is one
	field  string // name of the text in the request
	proof  string
}

// read takes the text of a number, before the lock is taken.
func (e *phoneEdit) read(text, field string) {
	e.text, e.field = &text, field
	e.number, _ = parsePhone(text)
}

// newPhone is the number of a person who is about to be created.
func newPhone(in *identityv1.User, field string) phoneEdit {
	e := phoneEdit{proof: in.GetPhoneProof()}
	if in.GetPhone() != "" {
		e.read(in.GetPhone(), field)
	}
	return e
}

// editPhone settles what becomes of the number of a person: one that is proven
// for the given user ("": who is about to be created), or "" for none. The
// masked present number, sent back, asks for nothing.
func (ch *change) editPhone(ctx context.Context, user string, u store.User, e phoneEdit) (number string, changed bool, err error) {
	present := e.text == nil || *e.text == u.PhoneMasked
	switch {
	case !present && *e.text != "" && e.number == "":
		return "", false, invalidPhone(e.field)
	case e.proof != "":
		number, err = ch.takePhoneProof(ctx, e.proof, user)
		if err == nil && !present && e.number != number {
			err = errPhoneNotVerified
		}
		return number, err == nil, err
	case present:
		return "", false, nil
	case *e.text == "":
		return "", true, nil
	}
	return "", false, errPhoneNotVerified
}

// writePhone puts a proven number ("": none) into the row of a person.
func (ch *change) writePhone(ctx context.Context, u *store.User, number string) error {
	var sealed []byte
	u.PhoneMasked, u.PhoneVerified = "", false
	if number != "" {
		sealed = ch.s.ring.Seal("users.phone", []byte(number), u.Org, u.ID)
		u.PhoneMasked, u.PhoneVerified = maskPhone(number), true
	}
	return ch.SetPhone(ctx, *u, sealed)
}

// phoneProof is the proof that a confirmed verification is: computed, not kept.
func (s *Service) phoneProof(v store.PhoneVerification) string {
	mac := s.ring.MAC("phone_proof", v.Org, v.ID)
	return v.ID + "." + base64.RawURLEncoding.EncodeToString(mac[:])
}

// takePhoneProof uses a proof up, which must be one that this caller got in
// this organization for this user ("": for one who is about to be created),
// and returns the number. A change that fails leaves the proof as it was.
func (ch *change) takePhoneProof(ctx context.Context, proof, user string) (string, error) {
	id, text, _ := strings.Cut(proof, ".")
	mac, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || !isID(id) || !ch.s.ring.VerifyMAC("phone_proof", mac, ch.org.ID, id) {
		return "", errPhoneNotVerified
	}
	after := ch.now - store.Micros(proofLife.Microseconds())
	var v store.PhoneVerification
	if ch.Tx != nil {
		v, err = ch.TakePhoneProof(ctx, ch.org.ID, id, after, ch.now)
	} else if v, err = ch.s.store.PhoneVerification(ctx, ch.org.ID, id); err == nil && (v.Taken != 0 || v.Confirmed <= after) {
		err = errNotFound // what only looks leaves the proof as it is
	}
	if isNotFound(err) || (err == nil && (v.CallerOrg != ch.by.Org || v.Caller != ch.by.ID || v.User != user)) {
		return "", errPhoneNotVerified
	}
	if err != nil {
		return "", err
	}
	number, err := ch.s.verifiedNumber(v)
	if err != nil {
		err = fmt.Errorf("%w: %w", errPhoneNotVerified, err)
	}
	return number, err
}

const wantPhone = "must be a mobile number with its country code, such as +41 79 123 45 67"

func invalidPhone(field string) error { return invalid(field, "phone", wantPhone) }
