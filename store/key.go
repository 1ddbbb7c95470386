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

// AddSigningKey adds a key, under the lock of the platform organization.
func (t *Tx) AddSigningKey(ctx context.Context, k SigningKey) error {
	return t.insert(ctx, `
		INSERT INTO signing_keys (`+keyColumns+`)
		VALUES (:id, :algorithm, :sealed, :create_time, :use_time, :expire_time, :revoke_time)`, k)
}
