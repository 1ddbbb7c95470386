package store

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
)

// Grant assigns a role or a single permission to a principal.
type Grant struct {
	Org       string `db:"organization_id"`
	Principal string `db:"principal_id"`
	Role      string `db:"role_id"`
	Permit    string `db:"permission_key"`
	Expires   Micros `db:"expire_time"`
	Created   Micros `db:"create_time"`
	CreatedBy string `db:"created_by"`
}

const grantColumns = `organization_id, principal_id, role_id, permission_key, expire_time, create_time, created_by`

// Grants returns what is assigned to the principals, expired grants included:
// whose, what, and until when, by principal. Sorting what comes in order costs
// less here than in the database.
func (r Reads) Grants(ctx context.Context, org string, principals ...string) (gs []Grant, err error) {
	if len(principals) == 0 {
		return nil, nil
	}
	query, args, err := inLists(`SELECT principal_id, role_id, permission_key, expire_time
		FROM grants WHERE organization_id = ? AND principal_id IN (?)`, []any{org, principals})
	if err != nil {
		return nil, err
	}
	gs, err = list(ctx, r, 2*len(principals), func(g *Grant) []any { return []any{&g.Principal, &g.Role, &g.Permit, &g.Expires} }, query, args...)
	slices.SortFunc(gs, func(a, b Grant) int {
		return cmp.Or(strings.Compare(a.Principal, b.Principal), strings.Compare(a.Role, b.Role), strings.Compare(a.Permit, b.Permit))
	})
	return gs, err
}

// PutGrants assigns, or replaces the expiry of what is assigned. None may come twice.
func (t *Tx) PutGrants(ctx context.Context, grants ...Grant) error {
	if len(grants) == 0 {
		return nil
	}
	return later(ctx, t.writes, "grants", `
		INSERT INTO grants (`+grantColumns+`)
		VALUES (:organization_id, :principal_id, :role_id, :permission_key, :expire_time, :create_time, :created_by)
		ON CONFLICT (organization_id, principal_id, role_id, permission_key)
		DO UPDATE SET expire_time = excluded.expire_time, create_time = excluded.create_time, created_by = excluded.created_by`, grants)
}

// DropGrant takes a grant away.
func (t *Tx) DropGrant(ctx context.Context, g Grant) error {
	_, err := t.exec(ctx, `
		DELETE FROM grants WHERE organization_id = ? AND principal_id = ? AND role_id = ? AND permission_key = ?`,
		g.Org, g.Principal, g.Role, g.Permit)
	return err
}

// HasAdministrator tells whether a person is there who is enabled, confirmed,
// not deleted, has a password, and holds one of the roles or the permission
// for ever.
func (r Reads) HasAdministrator(ctx context.Context, org string, roles []string, permission string) (has bool, err error) {
	return r.hasAdministrator(ctx, newWhere(`g.organization_id = ?`, org), roles, permission)
}

// HasAdministratorBeside is HasAdministrator among those whom a bulk change
// would leave as they are.
func (r Reads) HasAdministratorBeside(ctx context.Context, b Bulk, roles []string, permission string) (has bool, err error) {
	w := newWhere(`g.organization_id = ?`, b.Org)
	w.not(b.where())
	return r.hasAdministrator(ctx, w, roles, permission)
}

func (r Reads) hasAdministrator(ctx context.Context, w *where, roles []string, permission string) (has bool, err error) {
	query, args, err := sqlx.In(`
		SELECT COUNT(*) FROM (
			SELECT 1 FROM grants g JOIN users ON users.organization_id = g.organization_id AND users.id = g.principal_id`+w.String()+`
			AND g.expire_time = 0 AND (g.role_id IN (?) OR g.permission_key = ?)
			AND users.enabled AND users.confirmed AND users.delete_time = 0 AND users.password_hash <> ''
			LIMIT 1) AS matched`, append(w.args, someOf(roles), permission)...)
	if err != nil {
		return false, err
	}
	var n int
	err = r.one(ctx, &n, query, args...)
	return n > 0, err
}
