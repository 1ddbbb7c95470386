package authority

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/maypok86/otter/v2"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/store"
)

// Catalogue is the roles and permissions of one or two organizations, with
// what they amount to. All calls share it: nothing in it may be changed.
type Catalogue struct {
	*perm.Model
	Roles           []store.Role
	RoleByID        map[string]store.Role
	Permissions     []store.Permission
	permissionByKey map[string]store.Permission
	// Roles and permissions as answers show those that are granted for ever.
	grantedRole       map[string]*identityv1.GrantedRole
	grantedPermission map[string]*identityv1.GrantedPermission
}

// ReadCatalogue reads the built-in roles, those of the organizations, and all permissions.
func ReadCatalogue(ctx context.Context, q store.Reads, orgs ...string) (*Catalogue, error) {
	cat := &Catalogue{
		RoleByID: map[string]store.Role{}, permissionByKey: map[string]store.Permission{},
		grantedRole: map[string]*identityv1.GrantedRole{}, grantedPermission: map[string]*identityv1.GrantedPermission{},
	}
	var err error
	if cat.Permissions, err = q.Permissions(ctx); err != nil {
		return nil, err
	}
	if cat.Roles, err = q.Roles(ctx, orgs...); err != nil {
		return nil, err
	}
	// Lists of these are cut into pages here, so they are ordered here: a database has an order of texts of its own.
	slices.SortFunc(cat.Roles, func(a, b store.Role) int { return cmp.Or(cmp.Compare(a.NameKey, b.NameKey), cmp.Compare(a.ID, b.ID)) })
	slices.SortFunc(cat.Permissions, func(a, b store.Permission) int { return cmp.Compare(a.Key, b.Key) })
	keys := make([]string, len(cat.Permissions))
	for i, p := range cat.Permissions {
		keys[i] = p.Key
		cat.permissionByKey[p.Key] = p
		cat.grantedPermission[p.Key] = &identityv1.GrantedPermission{Key: p.Key, Name: p.Name, Description: p.Description}
	}
	roles := make([]perm.Role, len(cat.Roles))
	for i, r := range cat.Roles {
		roles[i] = perm.Role{ID: r.ID, Everything: r.Everything, Permissions: r.Permissions, SubRoles: r.SubRoles}
		cat.RoleByID[r.ID] = r
		cat.grantedRole[r.ID] = &identityv1.GrantedRole{Id: r.ID, Name: r.Name, Description: r.Description}
	}
	cat.Model = perm.New(keys, roles)
	return cat, nil
}

// cataloguesAtMost bounds how many catalogues are kept. Organizations without
// roles of their own share one.
const cataloguesAtMost = 2_000

// edition says which catalogue: the epochs of the built-in roles, and of those
// of up to two organizations. An epoch of 0 means none of its own.
type edition struct {
	builtIn store.Micros
	own     [2]struct {
		org   string
		epoch store.Micros
	}
}

// with adds the roles of an organization.
func (e edition) with(org string, epoch store.Micros) edition {
	for i := range e.own {
		if epoch == 0 || e.own[i].org == org {
			break
		}
		if e.own[i].org == "" {
			e.own[i].org, e.own[i].epoch = org, epoch
			break
		}
	}
	return e
}

// catalogues keeps catalogues by their edition. Rows that name the edition are
// read each time; they prove that what is kept is what the other rows say.
type catalogues struct {
	kept *otter.Cache[edition, *Catalogue]
}

func newCatalogues() catalogues { return catalogues{bounded[edition, *Catalogue](cataloguesAtMost)} }

func (k catalogues) get(ctx context.Context, q store.Reads, e edition) (*Catalogue, error) {
	if cat, ok := k.kept.GetIfPresent(e); ok {
		return cat, nil
	}
	var orgs []string
	for _, own := range e.own {
		if own.org != "" {
			orgs = append(orgs, own.org)
		}
	}
	cat, err := ReadCatalogue(ctx, q, orgs...)
	if err == nil {
		k.kept.Set(e, cat)
	}
	return cat, err
}

// of is the catalogue of one organization.
func (k catalogues) of(ctx context.Context, q store.Reads, org string) (*Catalogue, error) {
	own, builtIn, err := q.RolesEpoch(ctx, org)
	if err != nil {
		return nil, err
	}
	return k.get(ctx, q, edition{builtIn: builtIn}.with(org, own))
}

// Visible tells whether a role may be seen and used in an organization.
func (cat *Catalogue) Visible(r store.Role, org string, platform bool) bool {
	return (r.Org == store.BuiltIn || r.Org == org) && (platform || !r.PlatformOnly)
}

// HeldBy adds up what is granted to a principal. System permissions count in
// the platform organization only, whatever is written.
func (cat *Catalogue) HeldBy(ctx context.Context, q store.Reads, p store.Principal, now store.Micros) (perm.Held, error) {
	grants, err := q.Grants(ctx, p.Org, p.ID)
	if err != nil {
		return perm.Held{}, err
	}
	return cat.HeldOf(grants, p.Platform, now), nil
}

// HeldOf adds up grants. See HeldBy.
func (cat *Catalogue) HeldOf(grants []store.Grant, platform bool, now store.Micros) perm.Held {
	counted := make([]perm.Grant, 0, len(grants))
	for _, g := range grants {
		if !platform && (strings.HasPrefix(g.Permit, perm.SystemPrefix) || cat.RoleByID[g.Role].PlatformOnly) {
			continue
		}
		counted = append(counted, perm.Grant{Role: g.Role, Permission: g.Permit, Expires: int64(g.Expires)})
	}
	return cat.Held(counted, int64(now))
}

// scopeKeys splits a scope at single spaces (RFC 6749 section 3.3). Whatever else
// stands between two keys makes one of them, which is none that is known.
func scopeKeys(scope string) []string {
	if scope == "" {
		return nil
	}
	return strings.Split(scope, " ")
}

// Below is the set of all sub-roles of a role, through all levels.
func (cat *Catalogue) Below(id string) map[string]bool {
	found := map[string]bool{}
	open := slices.Clone(cat.RoleByID[id].SubRoles)
	for len(open) > 0 {
		next := open[len(open)-1]
		open = open[:len(open)-1]
		if !found[next] && next != id {
			found[next] = true
			open = append(open, cat.RoleByID[next].SubRoles...)
		}
	}
	return found
}
