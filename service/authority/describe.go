package authority

import (
	"context"
	"slices"
	"strings"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// Granted is what a principal has assigned, ready for an answer.
type Granted struct {
	Roles       []*identityv1.GrantedRole
	Permissions []*identityv1.GrantedPermission
	RoleIDs     []string
	Keys        []string
}

// Describe makes of grants what clients see; expired ones are left out.
func (cat *Catalogue) Describe(grants []store.Grant, now store.Micros) (g Granted) {
	for _, grant := range grants {
		switch {
		case wire.Ended(grant.Expires, now):
		case grant.Role != "":
			g.Roles = append(g.Roles, cat.describeRole(grant))
		default:
			g.Permissions = append(g.Permissions, cat.describePermission(grant))
			g.Keys = append(g.Keys, grant.Permit)
		}
	}
	slices.SortFunc(g.Roles, func(a, b *identityv1.GrantedRole) int { return strings.Compare(a.Name, b.Name) })
	for _, role := range g.Roles {
		g.RoleIDs = append(g.RoleIDs, role.Id)
	}
	return g
}

func (cat *Catalogue) describeRole(g store.Grant) *identityv1.GrantedRole {
	if known := cat.grantedRole[g.Role]; known != nil && g.Expires == 0 {
		return known
	}
	role := cat.RoleByID[g.Role]
	return &identityv1.GrantedRole{Id: g.Role, Name: role.Name, Description: role.Description, ExpireTime: wire.Stamp(g.Expires)}
}

func (cat *Catalogue) describePermission(g store.Grant) *identityv1.GrantedPermission {
	if known := cat.grantedPermission[g.Permit]; known != nil && g.Expires == 0 {
		return known
	}
	p := cat.permissionByKey[g.Permit]
	return &identityv1.GrantedPermission{Key: g.Permit, Name: p.Name, Description: p.Description, ExpireTime: wire.Stamp(g.Expires)}
}

// DescribeEach reads what is granted to principals of one organization, with one
// query, and describes it in the order of their ids.
func (cat *Catalogue) DescribeEach(ctx context.Context, q store.Reads, org string, now store.Micros, ids ...string) ([]Granted, error) {
	grants, err := q.Grants(ctx, org, ids...)
	if err != nil {
		return nil, err
	}
	of := byPrincipal(grants)
	described := make([]Granted, len(ids))
	for i, id := range ids {
		described[i] = cat.Describe(of[id], now)
	}
	return described, nil
}

// byPrincipal cuts grants, which come principal by principal, into those of each.
func byPrincipal(grants []store.Grant) map[string][]store.Grant {
	of := make(map[string][]store.Grant, len(grants))
	for from, i := 0, 1; i <= len(grants); i++ {
		if i == len(grants) || grants[i].Principal != grants[from].Principal {
			of[grants[from].Principal] = grants[from:i]
			from = i
		}
	}
	return of
}
