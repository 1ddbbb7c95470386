package service

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store"
)

// assignment is roles and permissions to give or take, until a time (0: for ever).
type assignment struct {
	roles, keys []string
	until       store.Micros
}

// data says in an event what was assigned.
func (a assignment) data() store.Data {
	data := store.Data{}
	if len(a.roles) > 0 {
		data["roles"] = strings.Join(a.roles, ",")
	}
	if len(a.keys) > 0 {
		data["permissions"] = strings.Join(a.keys, ",")
	}
	if a.until != 0 {
		data["until"] = a.until.Time().Format(time.RFC3339)
	}
	return data
}

// mustGrant checks that roles and permissions are there, may be held in this
// organization, and are held by the caller as long.
func (ch *change) mustGrant(a assignment) error {
	for _, id := range a.roles {
		role, ok := ch.cat.role[id]
		if !ok || !ch.cat.visible(role, ch.org.ID, ch.by.Platform) {
			return errNotFound
		}
		if role.PlatformOnly && !ch.org.Platform {
			return errPlatformOnly
		}
	}
	for _, key := range a.keys {
		system := strings.HasPrefix(key, systemPrefix)
		if !ch.cat.Known(key) || (system && !ch.by.Platform) {
			return refuse(errUnknownPermission, "permission", key)
		}
		if system && !ch.org.Platform {
			return errPlatformOnly
		}
	}
	return ch.mustHold(ch.cat.Of(a.roles, a.keys), a.until)
}

// grant gives what may be given.
func (ch *change) grant(ctx context.Context, id string, a assignment) error {
	if err := ch.mustGrant(a); err != nil {
		return err
	}
	return ch.putGrants(ctx, ch.org.ID, id, a)
}

func (ch *change) putGrants(ctx context.Context, org, id string, a assignment) error {
	grants := a.grants()
	for i := range grants {
		g := &grants[i]
		g.Org, g.Principal, g.Created, g.CreatedBy = org, id, ch.now, ch.by.ID
	}
	return ch.PutGrants(ctx, grants...)
}

// grants is the assignment as rows, in the order of their keys, without whose they are.
func (a assignment) grants() []store.Grant {
	grants := make([]store.Grant, 0, len(a.roles)+len(a.keys))
	for _, key := range slices.Sorted(slices.Values(a.keys)) {
		grants = append(grants, store.Grant{Permit: key, Expires: a.until})
	}
	for _, role := range slices.Sorted(slices.Values(a.roles)) {
		grants = append(grants, store.Grant{Role: role, Expires: a.until})
	}
	return grants
}

// revoke takes grants from a principal whom the caller must control.
func (ch *change) revoke(ctx context.Context, p store.Principal, a assignment) error {
	if len(a.roles)+len(a.keys) == 0 {
		return nil
	}
	if err := ch.mustControl(ctx, p); err != nil {
		return err
	}
	for _, role := range a.roles {
		if err := ch.DropGrant(ctx, store.Grant{Org: p.Org, Principal: p.ID, Role: role}); err != nil {
			return err
		}
	}
	for _, key := range a.keys {
		if err := ch.DropGrant(ctx, store.Grant{Org: p.Org, Principal: p.ID, Permit: key}); err != nil {
			return err
		}
	}
	return nil
}

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

// replaces tells whether a grant is one of the assignment's.
func (a assignment) replaces(g store.Grant) bool {
	return (g.Role != "" && slices.Contains(a.roles, g.Role)) || (g.Permit != "" && slices.Contains(a.keys, g.Permit))
}

// givenBy tells whether all of the assignment is there already, until the same time.
func (a assignment) givenBy(present []store.Grant) bool {
	same := 0
	for _, g := range present {
		if a.replaces(g) && g.Expires == a.until {
			same++
		}
	}
	return same == len(a.roles)+len(a.keys)
}

// shortens tells whether an expiry comes before the former one; 0 is never.
func shortens(former, until store.Micros) bool {
	return until != 0 && (former == 0 || until < former)
}

// expiry reads the two ways to say when something ends; neither means never.
func (s *Service) expiry(at *timestamppb.Timestamp, ttl *durationpb.Duration) store.Micros {
	switch {
	case at != nil:
		return store.At(at.AsTime())
	case ttl != nil:
		return store.At(s.now().Add(ttl.AsDuration()))
	}
	return 0
}
