package role

import (
	"context"
	"slices"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/change"
	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/service/wire"
	"github.com/bizmetry/identity/store"
)

// GrantRoles assigns roles and permissions to a principal.
func (s *Roles) GrantRoles(ctx context.Context, req *identityv1.GrantRolesRequest) (*identityv1.Grants, error) {
	add := change.Assignment{Roles: req.GetRoleIds(), Keys: req.GetPermissionKeys()}
	if len(add.Roles)+len(add.Keys) == 0 {
		return nil, answer.Invalid("role_ids", "at_least_one", "name at least one role or permission")
	}
	add.Until = s.changes.Expiry(req.GetExpireTime(), req.GetTtl())
	return s.changeGrants(ctx, req.GetId(), req.GetEtag(), func(tx *change.Tx, p store.Principal, present []store.Grant) error {
		if err := tx.MustGrant(add); err != nil {
			return err
		}
		if slices.ContainsFunc(present, func(g store.Grant) bool { return add.Replaces(g) && shortens(g.Expires, add.Until) }) {
			if err := tx.MustControl(ctx, p); err != nil { // an earlier end is a revocation
				return err
			}
		}
		if add.GivenBy(present) {
			return nil
		}
		if err := tx.Assign(ctx, p.Org, p.ID, add); err != nil {
			return err
		}
		tx.Note(store.EventGrantAdded, p.ID, add.Data())
		return tx.Touch(ctx, p, tx.Now)
	})
}

// RevokeRoles takes roles and permissions from a principal.
func (s *Roles) RevokeRoles(ctx context.Context, req *identityv1.RevokeRolesRequest) (*identityv1.Grants, error) {
	drop := change.Assignment{Roles: req.GetRoleIds(), Keys: req.GetPermissionKeys()}
	if len(drop.Roles)+len(drop.Keys) == 0 {
		return nil, answer.Invalid("role_ids", "at_least_one", "name at least one role or permission")
	}
	return s.changeGrants(ctx, req.GetId(), req.GetEtag(), func(tx *change.Tx, p store.Principal, present []store.Grant) error {
		for _, id := range drop.Roles {
			if role, ok := tx.Catalogue.RoleByID[id]; !ok || !tx.Catalogue.Visible(role, tx.Org.ID, tx.By.Platform) {
				return answer.ErrNotFound
			}
		}
		if !slices.ContainsFunc(present, drop.Replaces) {
			return nil
		}
		if err := tx.Revoke(ctx, p, drop); err != nil {
			return err
		}
		tx.Note(store.EventGrantRemoved, p.ID, drop.Data())
		return tx.Touch(ctx, p, tx.Now)
	})
}

// changeGrants does what both have in common: it finds the principal, settles
// which permission its kind takes, and keeps an administrator.
func (s *Roles) changeGrants(ctx context.Context, id, etag string, fn func(*change.Tx, store.Principal, []store.Grant) error) (*identityv1.Grants, error) {
	var resp *identityv1.Grants
	err := s.changes.Run(ctx, func(tx *change.Tx) error {
		p, err := tx.Principal(ctx, tx.Org.ID, id)
		if err == nil && p.Deleted != 0 {
			err = answer.ErrNotFound
		}
		if err != nil {
			return err
		}
		if needs := writes[p.Kind]; !tx.By.Has(needs) {
			return answer.Refuse(answer.ErrDenied, "permission", needs, "principal", tx.By.ID, "organization", tx.Org.ID)
		}
		if err := change.CheckEtag(etag, p.Version); err != nil {
			return err
		}
		present, err := tx.Grants(ctx, p.Org, p.ID)
		if err != nil {
			return err
		}
		if err := tx.KeepAdministrator(ctx, func() error { return fn(tx, p, present) }); err != nil {
			return err
		}
		resp, err = grantsAnswer(ctx, tx, id)
		return err
	})
	return resp, err
}

// writes is the permission that a change of each kind of principal takes.
var writes = map[string]string{
	store.KindUser:           perm.UsersWrite,
	store.KindServiceAccount: perm.ServiceAccountsWrite,
}

func grantsAnswer(ctx context.Context, tx *change.Tx, id string) (*identityv1.Grants, error) {
	p, err := tx.Principal(ctx, tx.Org.ID, id)
	if err != nil {
		return nil, err
	}
	grants, err := tx.Grants(ctx, tx.Org.ID, id)
	if err != nil {
		return nil, err
	}
	g := tx.Catalogue.Describe(grants, tx.Now)
	return &identityv1.Grants{
		PrincipalId: id, OrganizationId: tx.Org.ID, Roles: g.Roles, Permissions: g.Permissions, Etag: wire.Etag(p.Version),
	}, nil
}

// shortens tells whether an expiry comes before the former one; 0 is never.
func shortens(former, until store.Micros) bool {
	return until != 0 && (former == 0 || until < former)
}
