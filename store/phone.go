package store

import "context"

// PhoneVerification is a code that was sent to a number by SMS, and what
// became of it: confirmed, it is a proof of the number, which is taken once.
type PhoneVerification struct {
	Org       string `db:"organization_id"`
	ID        string `db:"id"`
	CallerOrg string `db:"caller_organization_id"`
	Caller    string `db:"caller_id"`
	User      string `db:"user_id"` // whose number it is to become; "": that of a user who is not there yet
	Sealed    []byte `db:"phone_sealed"`
	Masked    string `db:"phone_masked"`
	Code      []byte `db:"code_mac"`
	Sends     int64  `db:"sends"` // codes sent; the last one counts
	Tries     int64  `db:"tries"` // codes handed in
	Sent      Micros `db:"send_time"`
	Expires   Micros `db:"expire_time"` // of the code
	Confirmed Micros `db:"confirm_time"`
	Taken     Micros `db:"take_time"`
	Created   Micros `db:"create_time"`
}

const verificationColumns = `organization_id, id, caller_organization_id, caller_id, user_id, phone_sealed, phone_masked,
	code_mac, sends, tries, send_time, expire_time, confirm_time, take_time, create_time`

// PhoneVerification returns a verification.
func (r Reads) PhoneVerification(ctx context.Context, org, id string) (v PhoneVerification, err error) {
	err = r.one(ctx, &v, `SELECT `+verificationColumns+` FROM phone_verifications WHERE organization_id = ? AND id = ?`, org, id)
	return v, err
}

// AddPhoneVerification adds a verification.
func (t *ShortTx) AddPhoneVerification(ctx context.Context, v PhoneVerification) error {
	return t.insert(ctx, `
		INSERT INTO phone_verifications (`+verificationColumns+`)
		VALUES (:organization_id, :id, :caller_organization_id, :caller_id, :user_id, :phone_sealed, :phone_masked,
			:code_mac, :sends, :tries, :send_time, :expire_time, :confirm_time, :take_time, :create_time)`, v)
}

// ReplacePhoneCode puts the next code, v.Sends, in place of the one before it.
// ErrNotFound means that another one came first, or that it was confirmed.
func (t *ShortTx) ReplacePhoneCode(ctx context.Context, v PhoneVerification) error {
	return t.must(ctx, `
		UPDATE phone_verifications SET code_mac = ?, sends = ?, send_time = ?, expire_time = ?
		WHERE organization_id = ? AND id = ? AND sends = ? AND confirm_time = 0`,
		v.Code, v.Sends, v.Sent, v.Expires, v.Org, v.ID, v.Sends-1)
}

// CountPhoneTry counts a code before it is compared and returns what it has to
// be compared with. Of any number at once no more than the limit are counted;
// for the others, and after the end, it is ErrNotFound.
func (t *ShortTx) CountPhoneTry(ctx context.Context, org, id string, limit int, now Micros) (v PhoneVerification, err error) {
	err = t.one(ctx, &v, `
		UPDATE phone_verifications SET tries = tries + 1
		WHERE organization_id = ? AND id = ? AND tries < ? AND confirm_time = 0 AND expire_time > ?
		RETURNING `+verificationColumns, org, id, limit, now)
	return v, err
}

// ConfirmPhone makes a verification a proof, if the code that was right is
// still the last one. Of any number of callers one succeeds; the others get ErrNotFound.
func (t *ShortTx) ConfirmPhone(ctx context.Context, v PhoneVerification, now Micros) error {
	return t.must(ctx, `
		UPDATE phone_verifications SET confirm_time = ?
		WHERE organization_id = ? AND id = ? AND sends = ? AND confirm_time = 0`, now, v.Org, v.ID, v.Sends)
}

// TakePhoneProof uses a proof up that was confirmed after the given time. Of
// any number of callers one succeeds; the others get ErrNotFound. The row keeps
// nothing of the number, which is somebody's now.
func (t *Tx) TakePhoneProof(ctx context.Context, org, id string, after, now Micros) (v PhoneVerification, err error) {
	err = t.one(ctx, &v, `
		UPDATE phone_verifications SET take_time = ?
		WHERE organization_id = ? AND id = ? AND take_time = 0 AND confirm_time > ?
		RETURNING `+verificationColumns, now, org, id, after)
	if err == nil {
		_, err = t.exec(ctx, `UPDATE phone_verifications SET phone_sealed = ?, phone_masked = '' WHERE organization_id = ? AND id = ?`,
			[]byte{}, org, id)
	}
	return v, err
}

// SetPhone writes the number of a person, sealed and masked; both empty: none.
func (t *Tx) SetPhone(ctx context.Context, u User, sealed []byte) error {
	return t.must(ctx, `
		UPDATE users SET phone_sealed = ?, phone_masked = ?, phone_verified = ? WHERE organization_id = ? AND id = ?`,
		sealed, u.PhoneMasked, u.PhoneVerified, u.Org, u.ID)
}
