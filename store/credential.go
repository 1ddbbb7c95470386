package store

import "context"

// Credential is one way for a machine to prove who it is.
type Credential struct {
	Org         string `db:"organization_id"`
	ID          string `db:"id"`
	Account     string `db:"service_account_id"`
	Kind        string `db:"kind"`
	DisplayName string `db:"display_name"`
	Digest      []byte `db:"digest"`
	Enabled     bool   `db:"enabled"`
	Expires     Micros `db:"expire_time"`
	Created     Micros `db:"create_time"`
	CreatedBy   string `db:"created_by"`
	LastUsed    Micros `db:"last_used_time"`
	// TokensAfter ends the tokens that were issued until then.
	TokensAfter Micros `db:"tokens_after"`
}

const credentialColumns = `organization_id, id, service_account_id, kind, display_name, digest, enabled, expire_time,
	create_time, created_by, last_used_time, tokens_after`

// Credential returns one credential of a machine.
func (r Reads) Credential(ctx context.Context, org, account, id string) (c Credential, err error) {
	err = r.one(ctx, &c, `SELECT `+credentialColumns+` FROM credentials
		WHERE organization_id = ? AND service_account_id = ? AND id = ?`, org, account, id)
	return c, err
}

// CredentialByID returns one credential, whichever machine's it is.
func (r Reads) CredentialByID(ctx context.Context, org, id string) (c Credential, err error) {
	err = r.one(ctx, &c, `SELECT `+credentialColumns+` FROM credentials WHERE organization_id = ? AND id = ?`, org, id)
	return c, err
}

// Credentials returns the credentials of a machine, newest first.
func (r Reads) Credentials(ctx context.Context, org, account string) (cs []Credential, err error) {
	err = r.all(ctx, &cs, `SELECT `+credentialColumns+` FROM credentials
		WHERE organization_id = ? AND service_account_id = ? ORDER BY create_time DESC, id DESC`, org, account)
	return cs, err
}

// AddCredential adds a credential.
func (t *Tx) AddCredential(ctx context.Context, c Credential) error {
	return t.insert(ctx, `
		INSERT INTO credentials (`+credentialColumns+`)
		VALUES (:organization_id, :id, :service_account_id, :kind, :display_name, :digest, :enabled, :expire_time,
			:create_time, :created_by, :last_used_time, :tokens_after)`, c)
}

// DropCredential removes a credential.
func (t *Tx) DropCredential(ctx context.Context, org, id string) error {
	return t.must(ctx, `DELETE FROM credentials WHERE organization_id = ? AND id = ?`, org, id)
}

// DropCredentials removes all credentials of a machine.
func (t *Tx) DropCredentials(ctx context.Context, org, account string) error {
	_, err := t.exec(ctx, `DELETE FROM credentials WHERE organization_id = ? AND service_account_id = ?`, org, account)
	return err
}

// Used notes that a machine used a credential.
func (t *ShortTx) Used(ctx context.Context, org, account, credential string, at Micros) error {
	_, err := t.exec(ctx, `UPDATE credentials SET last_used_time = ? WHERE organization_id = ? AND id = ? AND last_used_time < ?`,
		at, org, credential, at)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `UPDATE service_accounts SET last_used_time = ? WHERE organization_id = ? AND id = ? AND last_used_time < ?`,
		at, org, account, at)
	return err
}
