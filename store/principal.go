package store

import (
	"cmp"
	"context"
)

// Kinds of principals.
const (
	KindUser           = "user"
	KindServiceAccount = "service_account"
)

// Principal is what users and service accounts have in common.
type Principal struct {
	Org         string `db:"organization_id"`
	ID          string `db:"id"`
	Kind        string `db:"kind"`
	DisplayName string `db:"display_name"`
	Enabled     bool   `db:"enabled"`
	Confirmed   bool   `db:"confirmed"`
	Epoch       Micros `db:"epoch"`
	Version     int64  `db:"version"`
	Deleted     Micros `db:"delete_time"`
	// The organization's part.
	Platform  bool   `db:"platform"`
	Suspended bool   `db:"suspended"`
	OrgEpoch  Micros `db:"organization_epoch"`
}

// Live tells whether the principal may act at all.
func (p Principal) Live() bool {
	return p.Enabled && p.Confirmed && p.Deleted == 0 && !p.Suspended
}

const principalColumns = `p.organization_id, p.id, p.kind, p.display_name, p.enabled, p.confirmed, p.epoch, p.version,
	p.delete_time, o.platform, o.suspended, o.epoch AS organization_epoch`

// Principal returns a principal, deleted ones too.
func (r Reads) Principal(ctx context.Context, org, id string) (p Principal, err error) {
	err = r.one(ctx, &p, `
		SELECT `+principalColumns+`
		FROM principals p JOIN organizations o ON o.id = p.organization_id
		WHERE p.organization_id = ? AND p.id = ?`, org, id)
	return p, err
}

// Standing is a principal together with the credential or session it acts with.
type Standing struct {
	Principal
	// ProofEnd is when the credential or session ends; 0: never.
	ProofEnd Micros `db:"proof_end"`
	// ProofDigest is what a machine's secret is compared with.
	ProofDigest []byte `db:"proof_digest"`
	// TokensAfter ends the tokens that were issued for a credential until then.
	TokensAfter Micros `db:"tokens_after"`
	// ProofLive is false for a disabled credential and for a session that was
	// ended, or whose user or organization has moved to another epoch since.
	ProofLive bool `db:"proof_live"`
}

// How a principal is found with its proof: what is read, of which tables, and which row.
const (
	machineColumns = principalColumns + `, c.enabled AS proof_live, c.expire_time AS proof_end,
			c.digest AS proof_digest, c.tokens_after`
	machineTables = `FROM principals p JOIN organizations o ON o.id = p.organization_id
		JOIN credentials c ON c.organization_id = p.organization_id AND c.service_account_id = p.id
		`
	machineWhere  = `WHERE p.organization_id = ? AND p.id = ? AND p.kind = 'service_account' AND c.id = ?`
	personColumns = principalColumns + `,
			s.end_time = 0 AND s.epoch = p.epoch AND s.org_epoch = o.epoch AS proof_live, s.expire_time AS proof_end,
			0 AS tokens_after`
	personTables = `FROM principals p JOIN organizations o ON o.id = p.organization_id
		JOIN sessions s ON s.organization_id = p.organization_id AND s.user_id = p.id
		`
	personWhere = `WHERE p.organization_id = ? AND p.id = ? AND p.kind = 'user' AND s.id = ?`
)

// MachineStanding returns a service account with one of its credentials.
func (r Reads) MachineStanding(ctx context.Context, org, account, credential string) (s Standing, err error) {
	err = r.one(ctx, &s, `SELECT `+machineColumns+` `+machineTables+machineWhere, org, account, credential)
	return s, err
}

// PersonStanding returns a user with one of their sessions.
func (r Reads) PersonStanding(ctx context.Context, org, user, session string) (s Standing, err error) {
	err = r.one(ctx, &s, `SELECT `+personColumns+` `+personTables+personWhere, org, user, session)
	return s, err
}

// Acting is a principal with the proof and token it changes an organization
// with, what is granted to it, and that organization.
type Acting struct {
	Standing
	// TokenRevoked tells whether the token was ended by itself.
	TokenRevoked bool         `db:"token_revoked"`
	Target       Organization `db:"target"`
	// Epochs of the roles of the organization, of the principal's, and of the built-in ones.
	Roles, OwnRoles, BuiltIn Micros
	Grants                   []Grant
}

const (
	actingColumns = `EXISTS (SELECT 1 FROM revoked_tokens r WHERE r.organization_id = p.organization_id AND r.id = ?) AS token_revoked,
		t.id AS "target.id", t.display_name AS "target.display_name", t.platform AS "target.platform",
		t.suspended AS "target.suspended", t.password_policy AS "target.password_policy",
		t.change_initial_password AS "target.change_initial_password", t.epoch AS "target.epoch",
		t.version AS "target.version", t.create_time AS "target.create_time", t.update_time AS "target.update_time",
		t.created_by AS "target.created_by",
		tc.roles_epoch AS roles, oc.roles_epoch AS ownroles, ` + builtInEpoch + ` AS builtin,
		COALESCE(g.role_id, '') AS role_id, COALESCE(g.permission_key, '') AS permission_key, COALESCE(g.expire_time, 0) AS grant_end`
	actingTables = `JOIN organizations t ON t.id = ? JOIN organization_clock tc ON tc.organization_id = t.id
		JOIN organization_clock oc ON oc.organization_id = p.organization_id
		LEFT JOIN grants g ON g.organization_id = p.organization_id AND g.principal_id = p.id`
)

// MachineActing returns a service account that changes the target with a token of a credential.
func (r Reads) MachineActing(ctx context.Context, org, account, credential, token, target string) (Acting, error) {
	var rows []actingRow
	err := r.all(ctx, &rows, `
		SELECT `+machineColumns+`, `+actingColumns+`
		`+machineTables+actingTables+`
		`+machineWhere, token, target, org, account, credential)
	return acting(rows, err)
}

// PersonActing returns a user who changes the target with a token of a session.
func (r Reads) PersonActing(ctx context.Context, org, user, session, token, target string) (Acting, error) {
	var rows []actingRow
	err := r.all(ctx, &rows, `
		SELECT `+personColumns+`, `+actingColumns+`
		`+personTables+actingTables+`
		`+personWhere, token, target, org, user, session)
	return acting(rows, err)
}

// actingRow is the principal with one of its grants, or with an empty one.
type actingRow struct {
	Acting
	Role   string `db:"role_id"`
	Permit string `db:"permission_key"`
	End    Micros `db:"grant_end"`
}

func acting(rows []actingRow, err error) (Acting, error) {
	if err != nil || len(rows) == 0 {
		return Acting{}, cmp.Or(err, ErrNotFound)
	}
	a := rows[0].Acting
	for _, row := range rows {
		if row.Role != "" || row.Permit != "" {
			a.Grants = append(a.Grants, Grant{Org: a.Org, Principal: a.ID, Role: row.Role, Permit: row.Permit, Expires: row.End})
		}
	}
	return a, nil
}

var touches = map[string]string{
	KindUser:           `UPDATE users SET version = version + 1, update_time = ? WHERE organization_id = ? AND id = ?`,
	KindServiceAccount: `UPDATE service_accounts SET version = version + 1, update_time = ? WHERE organization_id = ? AND id = ?`,
}

// Touch raises the version of a principal whose grants changed.
func (t *Tx) Touch(ctx context.Context, p Principal, at Micros) error {
	return t.must(ctx, touches[p.Kind], at, p.Org, p.ID)
}
