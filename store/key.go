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
