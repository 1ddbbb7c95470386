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
func (s *Service) editPhone(ctx context.Context, d *decision, take proofTaker, user string, u store.User, e phoneEdit) (number string, changed bool, err error) {
	present := e.text == nil || *e.text == u.PhoneMasked
	switch {
	case !present && *e.text != "" && e.number == "":
		return "", false, invalidPhone(e.field)
	case e.proof != "":
		number, err = s.takePhoneProof(ctx, d, take, e.proof, user)
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

// proofTaker returns the confirmed verification of a proof that is not older
// than after. A change uses the proof up; one that fails leaves it as it was.
type proofTaker func(ctx context.Context, org, id string, after, now store.Micros) (store.PhoneVerification, error)

// peekPhoneProof is the proofTaker of what only looks.
func (s *Service) peekPhoneProof(ctx context.Context, org, id string, after, _ store.Micros) (store.PhoneVerification, error) {
	v, err := s.store.PhoneVerification(ctx, org, id)
	if err == nil && (v.Taken != 0 || v.Confirmed <= after) {
		err = errNotFound
	}
	return v, err
}

// takePhoneProof takes a proof, which must be one that this caller got in this
// organization for this user ("": for one who is about to be created), and
// returns the number.
func (s *Service) takePhoneProof(ctx context.Context, d *decision, take proofTaker, proof, user string) (string, error) {
	id, text, _ := strings.Cut(proof, ".")
	mac, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || !isID(id) || !s.ring.VerifyMAC("phone_proof", mac, d.org.ID, id) {
		return "", errPhoneNotVerified
	}
	v, err := take(ctx, d.org.ID, id, d.now-store.Micros(proofLife.Microseconds()), d.now)
	if isNotFound(err) || (err == nil && (v.CallerOrg != d.by.Org || v.Caller != d.by.ID || v.User != user)) {
		return "", errPhoneNotVerified
	}
	if err != nil {
		return "", err
	}
	number, err := s.verifiedNumber(v)
	if err != nil {
		err = fmt.Errorf("%w: %w", errPhoneNotVerified, err)
	}
	return number, err
}

const wantPhone = "must be a mobile number with its country code, such as +41 79 123 45 67"

func invalidPhone(field string) error { return invalid(field, "phone", wantPhone) }
