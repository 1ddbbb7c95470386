package service

import (
	"context"
	"slices"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store"
)

// GrantRoles assigns roles and permissions to a principal.
func (s *Service) GrantRoles(ctx context.Context, req *identityv1.GrantRolesRequest) (*identityv1.Grants, error) {
	add := assignment{roles: req.GetRoleIds(), keys: req.GetPermissionKeys()}
	if len(add.roles)+len(add.keys) == 0 {
		return nil, invalid("role_ids", "at_least_one", "name at least one role or permission")
	}
	add.until = s.expiry(req.GetExpireTime(), req.GetTtl())
	return s.changeGrants(ctx, req.GetId(), req.GetEtag(), func(ch *change, p store.Principal, present []store.Grant) error {
		if err := ch.mustGrant(add); err != nil {
			return err
		}
		if slices.ContainsFunc(present, func(g store.Grant) bool { return add.replaces(g) && shortens(g.Expires, add.until) }) {
			if err := ch.mustControl(ctx, p); err != nil { // an earlier end is a revocation
				return err
			}
		}
		if add.givenBy(present) {
			return nil
		}
		if err := ch.putGrants(ctx, p.Org, p.ID, add); err != nil {
			return err
		}
		ch.record("grant.added", p.ID, add.data())
		return ch.Touch(ctx, p, ch.now)
	})
}

// RevokeRoles takes roles and permissions from a principal.
func (s *Service) RevokeRoles(ctx context.Context, req *identityv1.RevokeRolesRequest) (*identityv1.Grants, error) {
	drop := assignment{roles: req.GetRoleIds(), keys: req.GetPermissionKeys()}
	if len(drop.roles)+len(drop.keys) == 0 {
		return nil, invalid("role_ids", "at_least_one", "name at least one role or permission")
	}
	return s.changeGrants(ctx, req.GetId(), req.GetEtag(), func(ch *change, p store.Principal, present []store.Grant) error {
		for _, id := range drop.roles {
			if role, ok := ch.cat.role[id]; !ok || !ch.cat.visible(role, ch.org.ID, ch.by.Platform) {
				return errNotFound
			}
		}
		if !slices.ContainsFunc(present, drop.replaces) {
			return nil
		}
		if err := ch.revoke(ctx, p, drop); err != nil {
			return err
		}
		ch.record("grant.removed", p.ID, drop.data())
		return ch.Touch(ctx, p, ch.now)
	})
}

// changeGrants does what both have in common: it finds the principal, settles
// which permission its kind takes, and keeps an administrator.
func (s *Service) changeGrants(ctx context.Context, id, etag string, fn func(*change, store.Principal, []store.Grant) error) (*identityv1.Grants, error) {
	var resp *identityv1.Grants
	err := s.change(ctx, func(ch *change) error {
		p, err := ch.Principal(ctx, ch.org.ID, id)
		if err == nil && p.Deleted != 0 {
			err = errNotFound
		}
		if err != nil {
			return err
		}
		if needs := writes[p.Kind]; !ch.by.has(needs) {
			return refuse(errDenied, "permission", needs, "principal", ch.by.ID, "organization", ch.org.ID)
		}
		if err := checkEtag(etag, p.Version); err != nil {
			return err
		}
		present, err := ch.Grants(ctx, p.Org, p.ID)
		if err != nil {
			return err
		}
		if err := ch.keepingAdministrator(ctx, func() error { return fn(ch, p, present) }); err != nil {
			return err
		}
		resp, err = ch.grantsAnswer(ctx, id)
		return err
	})
	return resp, err
}

// writes is the permission that a change of each kind of principal takes.
var writes = map[string]string{
	store.KindUser:           "platform.users.write",
	store.KindServiceAccount: "platform.serviceaccounts.write",
}

func (ch *change) grantsAnswer(ctx context.Context, id string) (*identityv1.Grants, error) {
	p, err := ch.Principal(ctx, ch.org.ID, id)
	if err != nil {
		return nil, err
	}
	grants, err := ch.Grants(ctx, ch.org.ID, id)
	if err != nil {
		return nil, err
	}
	g := ch.cat.describe(grants, ch.now)
	return &identityv1.Grants{
		PrincipalId: id, OrganizationId: ch.org.ID, Roles: g.roles, Permissions: g.permissions, Etag: etagOf(p.Version),
	}, nil
}

// shortens tells whether an expiry comes before the former one; 0 is never.
func shortens(former, until store.Micros) bool {
	return until != 0 && (former == 0 || until < former)
}
