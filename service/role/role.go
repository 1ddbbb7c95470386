// Package role implements RoleService: the catalogue of roles and permissions,
// grants to principals, and checks.
// It must not know the rules of users or service accounts: to it both are principals.
package role

import (
	"context"
	"slices"
	"strings"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/authority"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/door"
	"github.com/bizmetry/identity/service/kit"
	"github.com/bizmetry/identity/service/page"
	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/store"
)

// Roles implements RoleService.
type Roles struct {
	identityv1.UnsafeRoleServiceServer
	kit.Kit

	store     *store.Store
	authority *authority.Authority
	changes   *change.Changes
	pages     *page.Pages
}

// New returns the implementation of RoleService.
func New(k kit.Kit, st *store.Store, a *authority.Authority, changes *change.Changes, pages *page.Pages) *Roles {
	return &Roles{Kit: k, store: st, authority: a, changes: changes, pages: pages}
}

// ListRoles returns the roles of the organization, by name.
func (s *Roles) ListRoles(ctx context.Context, req *identityv1.ListRolesRequest) (*identityv1.ListRolesResponse, error) {
	cat, platform, err := s.catalogueHere(ctx)
	if err != nil {
		return nil, err
	}
	roles := slices.DeleteFunc(slices.Clone(cat.Roles), func(r store.Role) bool { return !cat.Visible(r, door.CallOf(ctx).Org, platform) })
	resp := &identityv1.ListRolesResponse{TotalSize: page.Clamp(int64(len(roles)))}
	span, err := s.pages.Open(ctx, req, "name", "name")
	if err != nil {
		return nil, err
	}
	roles = page.Window(roles, span, store.Role.Cursor)
	roles, resp.NextPageToken = page.Next(ctx, s.pages, req, roles, store.Role.Cursor)
	for _, role := range roles {
		resp.Roles = append(resp.Roles, roleProto(cat, role, req.GetView() == identityv1.ListRolesRequest_FULL))
	}
	return resp, nil
}

// GetRole returns one role in full.
func (s *Roles) GetRole(ctx context.Context, req *identityv1.GetRoleRequest) (*identityv1.Role, error) {
	cat, platform, err := s.catalogueHere(ctx)
	if err != nil {
		return nil, err
	}
	role, ok := cat.RoleByID[req.GetId()]
	if !ok || !cat.Visible(role, door.CallOf(ctx).Org, platform) {
		return nil, answer.ErrNotFound
	}
	return roleProto(cat, role, true), nil
}

// ListPermissions returns the catalogue, without system permissions for customers.
func (s *Roles) ListPermissions(ctx context.Context, req *identityv1.ListPermissionsRequest) (*identityv1.ListPermissionsResponse, error) {
	cat, platform, err := s.catalogueHere(ctx)
	if err != nil {
		return nil, err
	}
	permissions := slices.DeleteFunc(slices.Clone(cat.Permissions), func(p store.Permission) bool {
		return !platform && strings.HasPrefix(p.Key, perm.SystemPrefix)
	})
	resp := &identityv1.ListPermissionsResponse{TotalSize: page.Clamp(int64(len(permissions)))}
	span, err := s.pages.Open(ctx, req, "key", "key")
	if err != nil {
		return nil, err
	}
	permissions = page.Window(permissions, span, store.Permission.Cursor)
	permissions, resp.NextPageToken = page.Next(ctx, s.pages, req, permissions, store.Permission.Cursor)
	for _, p := range permissions {
		resp.Permissions = append(resp.Permissions, &identityv1.Permission{
			Key: p.Key, Area: p.Area, Name: p.Name, Description: p.Description,
			Stage: identityv1.Permission_Stage(identityv1.Permission_Stage_value[p.Stage]),
		})
	}
	return resp, nil
}

// catalogueHere reads the roles and permissions of the call's organization,
// and whether it is the platform organization.
func (s *Roles) catalogueHere(ctx context.Context) (cat *authority.Catalogue, platform bool, err error) {
	c := door.CallOf(ctx)
	if cat, err = authority.ReadCatalogue(ctx, s.store.Reads, c.Org); err != nil {
		return nil, false, err
	}
	if c.Org == c.Caller.Org {
		return cat, c.Caller.Platform, nil
	}
	org, err := s.store.Organization(ctx, c.Org)
	return cat, org.Platform, err
}

func roleProto(cat *authority.Catalogue, r store.Role, full bool) *identityv1.Role {
	closure, _ := cat.Role(r.ID)
	keys := cat.Keys(closure)
	p := &identityv1.Role{
		Id: r.ID, Name: r.Name, Description: r.Description, BuiltIn: r.Org == store.BuiltIn, Everything: r.Everything,
		PermissionCount: page.Clamp(int64(len(keys))), SubRoleCount: page.Clamp(int64(len(cat.Below(r.ID)))),
	}
	if !p.GetBuiltIn() {
		p.OrganizationId = r.Org
	}
	if full {
		p.PermissionKeys, p.SubRoleIds, p.EffectivePermissionKeys = r.Permissions, r.SubRoles, keys
	}
	return p
}
