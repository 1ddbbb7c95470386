package store

import "context"

// Role is a named set of permissions with sub-roles.
type Role struct {
	Org          string `db:"organization_id"`
	ID           string `db:"id"`
	Name         string `db:"name"`
	NameKey      string `db:"name_key"`
	Description  string `db:"description"`
	Everything   bool   `db:"everything"`
	PlatformOnly bool   `db:"platform_only"`
	Version      int64  `db:"version"`
	Permissions  []string
	SubRoles     []string
}

// Permission is an entry of the catalogue.
type Permission struct {
	Key         string `db:"key"`
	Area        string `db:"area"`
	Name        string `db:"name"`
	Description string `db:"description"`
	Stage       string `db:"stage"`
}

// Permissions returns the whole catalogue, by key.
func (r Reads) Permissions(ctx context.Context) (ps []Permission, err error) {
	err = r.all(ctx, &ps, `SELECT key, area, name, description, stage FROM permissions ORDER BY key`)
	return ps, err
}

// Roles returns the built-in roles and those of the organizations, by name,
// each with its own permissions and direct sub-roles.
func (r Reads) Roles(ctx context.Context, orgs ...string) ([]Role, error) {
	orgs = append([]string{BuiltIn}, orgs...)
	var roles []Role
	err := r.in(ctx, &roles, `
		SELECT organization_id, id, name, name_key, description, everything, platform_only, version
		FROM roles WHERE organization_id IN (?) ORDER BY name_key, id`, orgs)
	if err != nil {
		return nil, err
	}
	var parts []struct {
		Role  string `db:"role_id"`
		Part  string `db:"part"`
		IsSub bool   `db:"is_sub"`
	}
	err = r.in(ctx, &parts, `
		SELECT role_id, permission_key AS part, FALSE AS is_sub FROM role_permissions WHERE organization_id IN (?)
		UNION ALL
		SELECT role_id, CAST(sub_role_id AS TEXT) AS part, TRUE AS is_sub FROM sub_roles WHERE organization_id IN (?)
		ORDER BY part`, orgs, orgs)
	if err != nil {
		return nil, err
	}
	at := make(map[string]*Role, len(roles))
	for i := range roles {
		at[roles[i].ID] = &roles[i]
	}
	for _, p := range parts {
		switch role := at[p.Role]; {
		case role == nil:
		case p.IsSub:
			role.SubRoles = append(role.SubRoles, p.Part)
		default:
			role.Permissions = append(role.Permissions, p.Part)
		}
	}
	return roles, nil
}

// builtInEpoch is when the built-in roles and the permissions last changed.
const builtInEpoch = `COALESCE((SELECT c.roles_epoch FROM organizations o JOIN organization_clock c ON c.organization_id = o.id
	WHERE o.platform), 0)`

// RolesEpoch returns when the roles of an organization last changed, and the built-in ones.
func (r Reads) RolesEpoch(ctx context.Context, org string) (own, builtIn Micros, err error) {
	var epochs struct{ Own, BuiltIn Micros }
	err = r.one(ctx, &epochs, `SELECT roles_epoch AS own, `+builtInEpoch+` AS builtin FROM organization_clock WHERE organization_id = ?`, org)
	return epochs.Own, epochs.BuiltIn, err
}

// Cursor is the place of a role in the order of names.
func (r Role) Cursor() Cursor { return Cursor{r.NameKey, r.ID} }

// Cursor is the place of a permission in the order of keys.
func (p Permission) Cursor() Cursor { return Cursor{p.Key, p.Key} }
