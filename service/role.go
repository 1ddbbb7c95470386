package service

import (
	"context"
	"slices"
	"strings"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store"
)

// ListRoles returns the roles of the organization, by name.
func (s *Service) ListRoles(ctx context.Context, req *identityv1.ListRolesRequest) (*identityv1.ListRolesResponse, error) {
	cat, platform, err := s.catalogueHere(ctx)
	if err != nil {
		return nil, err
	}
	roles := slices.DeleteFunc(slices.Clone(cat.roles), func(r store.Role) bool { return !cat.visible(r, callOf(ctx).org, platform) })
	resp := &identityv1.ListRolesResponse{TotalSize: clamp(int64(len(roles)))}
	page, err := s.openPage(ctx, req, "name", "name")
	if err != nil {
		return nil, err
	}
	roles = window(roles, page, store.Role.Cursor)
	roles, resp.NextPageToken = nextPage(ctx, s, req, roles, store.Role.Cursor)
	for _, role := range roles {
		resp.Roles = append(resp.Roles, cat.roleProto(role, req.GetView() == identityv1.ListRolesRequest_FULL))
	}
	return resp, nil
}

// GetRole returns one role in full.
func (s *Service) GetRole(ctx context.Context, req *identityv1.GetRoleRequest) (*identityv1.Role, error) {
	cat, platform, err := s.catalogueHere(ctx)
	if err != nil {
		return nil, err
	}
	role, ok := cat.role[req.GetId()]
	if !ok || !cat.visible(role, callOf(ctx).org, platform) {
		return nil, errNotFound
	}
	return cat.roleProto(role, true), nil
}

// ListPermissions returns the catalogue, without system permissions for customers.
func (s *Service) ListPermissions(ctx context.Context, req *identityv1.ListPermissionsRequest) (*identityv1.ListPermissionsResponse, error) {
	cat, platform, err := s.catalogueHere(ctx)
	if err != nil {
		return nil, err
	}
	permissions := slices.DeleteFunc(slices.Clone(cat.permissions), func(p store.Permission) bool {
		return !platform && strings.HasPrefix(p.Key, systemPrefix)
	})
	resp := &identityv1.ListPermissionsResponse{TotalSize: clamp(int64(len(permissions)))}
	page, err := s.openPage(ctx, req, "key", "key")
	if err != nil {
		return nil, err
	}
	permissions = window(permissions, page, store.Permission.Cursor)
	permissions, resp.NextPageToken = nextPage(ctx, s, req, permissions, store.Permission.Cursor)
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
func (s *Service) catalogueHere(ctx context.Context) (cat *catalogue, platform bool, err error) {
	c := callOf(ctx)
	if cat, err = readCatalogue(ctx, s.store.Reads, c.org); err != nil {
		return nil, false, err
	}
	if c.org == c.caller.Org {
		return cat, c.caller.Platform, nil
	}
	org, err := s.store.Organization(ctx, c.org)
	return cat, org.Platform, err
}

func (cat *catalogue) roleProto(r store.Role, full bool) *identityv1.Role {
	closure, _ := cat.Role(r.ID)
	keys := cat.Keys(closure)
	p := &identityv1.Role{
		Id: r.ID, Name: r.Name, Description: r.Description, BuiltIn: r.Org == store.BuiltIn, Everything: r.Everything,
		PermissionCount: clamp(int64(len(keys))), SubRoleCount: clamp(int64(len(cat.below(r.ID)))),
	}
	if !p.GetBuiltIn() {
		p.OrganizationId = r.Org
	}
	if full {
		p.PermissionKeys, p.SubRoleIds, p.EffectivePermissionKeys = r.Permissions, r.SubRoles, keys
	}
	return p
}

// below is the set of all sub-roles of a role, through all levels.
func (cat *catalogue) below(id string) map[string]bool {
	found := map[string]bool{}
	open := slices.Clone(cat.role[id].SubRoles)
	for len(open) > 0 {
		next := open[len(open)-1]
		open = open[:len(open)-1]
		if !found[next] && next != id {
			found[next] = true
			open = append(open, cat.role[next].SubRoles...)
		}
	}
	return found
}
