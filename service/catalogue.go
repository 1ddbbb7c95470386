package service

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/store"
)

// systemPrefix begins the permissions that only the platform organization holds.
const systemPrefix = "system."

// catalogue is the roles and permissions of one or two organizations, with
// what they amount to.
type catalogue struct {
	*perm.Model
	roles       []store.Role
	role        map[string]store.Role
	permissions []store.Permission
	permission  map[string]store.Permission
}

// readCatalogue reads the built-in roles, those of the organizations, and all permissions.
func readCatalogue(ctx context.Context, q store.Reads, orgs ...string) (*catalogue, error) {
	cat := &catalogue{role: map[string]store.Role{}, permission: map[string]store.Permission{}}
	var err error
	if cat.permissions, err = q.Permissions(ctx); err != nil {
		return nil, err
	}
	if cat.roles, err = q.Roles(ctx, orgs...); err != nil {
		return nil, err
	}
	// Lists of these are cut into pages here, so they are ordered here: a database has an order of texts of its own.
	slices.SortFunc(cat.roles, func(a, b store.Role) int { return cmp.Or(cmp.Compare(a.NameKey, b.NameKey), cmp.Compare(a.ID, b.ID)) })
	slices.SortFunc(cat.permissions, func(a, b store.Permission) int { return cmp.Compare(a.Key, b.Key) })
	keys := make([]string, len(cat.permissions))
	for i, p := range cat.permissions {
		keys[i] = p.Key
		cat.permission[p.Key] = p
	}
	roles := make([]perm.Role, len(cat.roles))
	for i, r := range cat.roles {
		roles[i] = perm.Role{ID: r.ID, Everything: r.Everything, Permissions: r.Permissions, SubRoles: r.SubRoles}
		cat.role[r.ID] = r
	}
	cat.Model = perm.New(keys, roles)
	return cat, nil
}

// visible tells whether a role may be seen and used in an organization.
func (cat *catalogue) visible(r store.Role, org string, platform bool) bool {
	return (r.Org == store.BuiltIn || r.Org == org) && (platform || !r.PlatformOnly)
}

// heldBy adds up what is granted to a principal. System permissions count in
// the platform organization only, whatever is written.
func (s *Service) heldBy(ctx context.Context, q store.Reads, cat *catalogue, p store.Principal) (perm.Held, error) {
	grants, err := q.Grants(ctx, p.Org, p.ID)
	if err != nil {
		return perm.Held{}, err
	}
	return cat.heldOf(grants, p.Platform, store.At(s.now())), nil
}

func (cat *catalogue) heldOf(grants []store.Grant, platform bool, now store.Micros) perm.Held {
	counted := make([]perm.Grant, 0, len(grants))
	for _, g := range grants {
		if !platform && (strings.HasPrefix(g.Permit, systemPrefix) || cat.role[g.Role].PlatformOnly) {
			continue
		}
		counted = append(counted, perm.Grant{Role: g.Role, Permission: g.Permit, Expires: int64(g.Expires)})
	}
	return cat.Held(counted, int64(now))
}

func scopeKeys(scope string) []string { return strings.Fields(scope) }

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }
