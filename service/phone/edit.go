package phone

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/contact"
	"github.com/bizmetry/identity/service/id"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// Edit is a number that is asked for, and its proof. A nil text asks for nothing.
type Edit struct {
	text   *string
	number string // of the text, where it is one
	field  string // name of the text in the request
	Proof  string
}

// Read takes the text of a number, before the lock is taken.
func (e *Edit) Read(text, field string) {
	e.text, e.field = &text, field
	e.number, _ = contact.ParsePhone(text)
}

// NewEdit is the number of a person who is about to be created.
func NewEdit(in *identityv1.User, field string) Edit {
	e := Edit{Proof: in.GetPhoneProof()}
	if in.GetPhone() != "" {
		e.Read(in.GetPhone(), field)
	}
	return e
}

// Edit settles what becomes of the number of a person: one that is proven
// for the given user ("": who is about to be created), or "" for none. The
// masked present number, sent back, asks for nothing.
func (s *Phones) Edit(ctx context.Context, d *change.Decision, take ProofTaker, user string, u store.User, e Edit) (number string, changed bool, err error) {
	present := e.text == nil || *e.text == u.PhoneMasked
	switch {
	case !present && *e.text != "" && e.number == "":
		return "", false, invalidPhone(e.field)
	case e.Proof != "":
		number, err = s.takePhoneProof(ctx, d, take, e.Proof, user)
		if err == nil && !present && e.number != number {
			err = answer.ErrPhoneNotVerified
		}
		return number, err == nil, err
	case present:
		return "", false, nil
	case *e.text == "":
		return "", true, nil
	}
	return "", false, answer.ErrPhoneNotVerified
}

// Write puts a proven number ("": none) into the row of a person.
func (s *Phones) Write(ctx context.Context, tx *change.Tx, u *store.User, number string) error {
	var sealed []byte
	u.PhoneMasked, u.PhoneVerified = "", false
	if number != "" {
		sealed = s.ring.Seal("users.phone", []byte(number), u.Org, u.ID)
		u.PhoneMasked, u.PhoneVerified = contact.MaskPhone(number), true
	}
	return tx.SetPhone(ctx, *u, sealed)
}

// phoneProof is the proof that a confirmed verification is: computed, not kept.
func (s *Phones) phoneProof(v store.PhoneVerification) string {
	mac := s.ring.MAC("phone_proof", v.Org, v.ID)
	return v.ID + "." + base64.RawURLEncoding.EncodeToString(mac[:])
}

// ProofTaker returns the confirmed verification of a proof that is not older
// than after. A change uses the proof up; one that fails leaves it as it was.
type ProofTaker func(ctx context.Context, org, verification string, after, now store.Micros) (store.PhoneVerification, error)

// PeekProof is the ProofTaker of what only looks.
func (s *Phones) PeekProof(ctx context.Context, org, verification string, after, _ store.Micros) (store.PhoneVerification, error) {
	v, err := s.store.PhoneVerification(ctx, org, verification)
	if err == nil && (v.Taken != 0 || v.Confirmed <= after) {
		err = answer.ErrNotFound
	}
	return v, err
}

// takePhoneProof takes a proof, which must be one that this caller got in this
// organization for this user ("": for one who is about to be created), and
// returns the number.
func (s *Phones) takePhoneProof(ctx context.Context, d *change.Decision, take ProofTaker, proof, user string) (string, error) {
	verification, text, _ := strings.Cut(proof, ".")
	mac, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || !id.Valid(verification) || !s.ring.VerifyMAC("phone_proof", mac, d.Org.ID, verification) {
		return "", answer.ErrPhoneNotVerified
	}
	v, err := take(ctx, d.Org.ID, verification, d.Now-store.Micros(proofLife.Microseconds()), d.Now)
	if wire.IsNotFound(err) || (err == nil && (v.CallerOrg != d.By.Org || v.Caller != d.By.ID || v.User != user)) {
		return "", answer.ErrPhoneNotVerified
	}
	if err != nil {
		return "", err
	}
	number, err := s.verifiedNumber(v)
	if err != nil {
		err = fmt.Errorf("%w: %w", answer.ErrPhoneNotVerified, err)
	}
	return number, err
}

// Wanted says what a phone number must be.
const Wanted = "must be a mobile number with its country code, such as +41 79 123 45 67"

func invalidPhone(field string) error { return answer.Invalid(field, "phone", Wanted) }
