package service

import (
	"slices"
	"strings"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store"
)

// granted is what a principal has assigned, ready for an answer.
type granted struct {
	roles       []*identityv1.GrantedRole
	permissions []*identityv1.GrantedPermission
	roleIDs     []string
	keys        []string
}

// describe makes of grants what clients see; expired ones are left out.
func (cat *catalogue) describe(grants []store.Grant, now store.Micros) (g granted) {
	for _, grant := range grants {
		switch {
		case ended(grant.Expires, now):
		case grant.Role != "":
			g.roles = append(g.roles, cat.describeRole(grant))
		default:
			g.permissions = append(g.permissions, cat.describePermission(grant))
			g.keys = append(g.keys, grant.Permit)
		}
	}
	slices.SortFunc(g.roles, func(a, b *identityv1.GrantedRole) int { return strings.Compare(a.Name, b.Name) })
	for _, role := range g.roles {
		g.roleIDs = append(g.roleIDs, role.Id)
	}
	return g
}

func (cat *catalogue) describeRole(g store.Grant) *identityv1.GrantedRole {
	if known := cat.grantedRole[g.Role]; known != nil && g.Expires == 0 {
		return known
	}
	role := cat.role[g.Role]
	return &identityv1.GrantedRole{Id: g.Role, Name: role.Name, Description: role.Description, ExpireTime: stamp(g.Expires)}
}

func (cat *catalogue) describePermission(g store.Grant) *identityv1.GrantedPermission {
	if known := cat.grantedPermission[g.Permit]; known != nil && g.Expires == 0 {
		return known
	}
	p := cat.permission[g.Permit]
	return &identityv1.GrantedPermission{Key: g.Permit, Name: p.Name, Description: p.Description, ExpireTime: stamp(g.Expires)}
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
