package store

import "context"

// SigningKey is a sealed private key. Its public key is derived from it.
type SigningKey struct {
	ID        string `db:"id"`
	Algorithm string `db:"algorithm"`
	Sealed    []byte `db:"sealed"`
	Created   Micros `db:"create_time"`
	Use       Micros `db:"use_time"`
	Expires   Micros `db:"expire_time"`
	Revoked   Micros `db:"revoke_time"`
}

const keyColumns = `id, algorithm, sealed, create_time, use_time, expire_time, revoke_time`

// SigningKeys returns all keys that are not revoked, oldest first.
func (r Reads) SigningKeys(ctx context.Context) (ks []SigningKey, err error) {
	err = r.all(ctx, &ks, `SELECT `+keyColumns+` FROM signing_keys WHERE revoke_time = 0 ORDER BY create_time, id`)
	return ks, err
}

// ExpireSigningKey says until when a key is kept.
func (t *Tx) ExpireSigningKey(ctx context.Context, id string, at Micros) error {
	return t.must(ctx, `UPDATE signing_keys SET expire_time = ? WHERE id = ?`, at, id)
}

// UseSigningKey says from when a key signs.
func (t *Tx) UseSigningKey(ctx context.Context, id string, at Micros) error {
	return t.must(ctx, `UPDATE signing_keys SET use_time = ? WHERE id = ?`, at, id)
}

// RevokeSigningKey ends a key; one that is not there or ended is ErrNotFound.
func (t *Tx) RevokeSigningKey(ctx context.Context, id string, at Micros) error {
	return t.must(ctx, `UPDATE signing_keys SET revoke_time = ? WHERE id = ? AND revoke_time = 0`, at, id)
}

// AllSigningKeys returns all keys, revoked ones too, oldest first.
func (r Reads) AllSigningKeys(ctx context.Context) (ks []SigningKey, err error) {
	err = r.all(ctx, &ks, `SELECT `+keyColumns+` FROM signing_keys ORDER BY create_time, id`)
	return ks, err
}

// AddSigningKey adds a key, under the lock of the platform organization.
func (t *Tx) AddSigningKey(ctx context.Context, k SigningKey) error {
	return t.insert(ctx, `
		INSERT INTO signing_keys (`+keyColumns+`)
		VALUES (:id, :algorithm, :sealed, :create_time, :use_time, :expire_time, :revoke_time)`, k)
}

// RevokeToken remembers that a token is over; twice is once.
func (t *Tx) RevokeToken(ctx context.Context, org, id string, expires, now Micros) (first bool, err error) {
	n, err := t.exec(ctx, `INSERT INTO revoked_tokens (organization_id, id, expire_time, create_time) VALUES (?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, org, id, expires, now)
	return n == 1, err
}

// RevokedTokens returns the ids of up to limit tokens that were ended and would not have ended by now.
func (r Reads) RevokedTokens(ctx context.Context, org string, now Micros, limit int) (ids []string, err error) {
	err = r.all(ctx, &ids, `SELECT id FROM revoked_tokens WHERE organization_id = ? AND expire_time > ? LIMIT ?`, org, now, limit)
	return ids, err
}

// TokenRevoked tells whether a token was ended.
func (r Reads) TokenRevoked(ctx context.Context, org, id string) (revoked bool, err error) {
	var n int
	err = r.one(ctx, &n, `SELECT COUNT(*) FROM revoked_tokens WHERE organization_id = ? AND id = ?`, org, id)
	return n > 0, err
}

// EndTokens ends the tokens that were issued for a credential until now.
func (t *Tx) EndTokens(ctx context.Context, org, credential string, now Micros) error {
	return t.must(ctx, `UPDATE credentials SET tokens_after = ? WHERE organization_id = ? AND id = ?`, now, org, credential)
}

// EndEpoch ends everything that was issued to a principal.
func (t *Tx) EndEpoch(ctx context.Context, p Principal, epoch, now Micros) error {
	return t.must(ctx, epochEnds[p.Kind], epoch, now, p.Org, p.ID)
}

var epochEnds = map[string]string{
	KindUser:           `UPDATE users SET epoch = ?, version = version + 1, update_time = ? WHERE organization_id = ? AND id = ?`,
	KindServiceAccount: `UPDATE service_accounts SET epoch = ?, version = version + 1, update_time = ? WHERE organization_id = ? AND id = ?`,
}
