package change

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bizmetry/identity/service/answer"
	"github.com/bizmetry/identity/service/perm"
	"github.com/bizmetry/identity/store"
)

// Assignment is roles and permissions to give or take, until a time (0: for ever).
type Assignment struct {
	Roles, Keys []string
	Until       store.Micros
}

// Data says in an event what was assigned.
func (a Assignment) Data() store.Data {
	data := store.Data{}
	if len(a.Roles) > 0 {
		data["roles"] = strings.Join(a.Roles, ",")
	}
	if len(a.Keys) > 0 {
		data["permissions"] = strings.Join(a.Keys, ",")
	}
	if a.Until != 0 {
		data["until"] = a.Until.Time().Format(time.RFC3339)
	}
	return data
}

// MustGrant checks that roles and permissions are there, may be held in this
// organization, and are held by the caller as long.
func (d *Decision) MustGrant(a Assignment) error {
	for _, id := range a.Roles {
		role, ok := d.Catalogue.RoleByID[id]
		if !ok || !d.Catalogue.Visible(role, d.Org.ID, d.By.Platform) {
			return answer.ErrNotFound
		}
		if role.PlatformOnly && !d.Org.Platform {
			return answer.ErrPlatformOnly
		}
	}
	for _, key := range a.Keys {
		system := strings.HasPrefix(key, perm.SystemPrefix)
		if !d.Catalogue.Known(key) || (system && !d.By.Platform) {
			return answer.Refuse(answer.ErrUnknownPermission, "permission", key)
		}
		if system && !d.Org.Platform {
			return answer.ErrPlatformOnly
		}
	}
	return d.MustHold(d.Catalogue.Of(a.Roles, a.Keys), a.Until)
}

// Grant gives what may be given.
func (tx *Tx) Grant(ctx context.Context, id string, a Assignment) error {
	if err := tx.MustGrant(a); err != nil {
		return err
	}
	return tx.Assign(ctx, tx.Org.ID, id, a)
}

// Assign writes grants without asking whether they may be given.
func (tx *Tx) Assign(ctx context.Context, org, id string, a Assignment) error {
	grants := a.Grants()
	for i := range grants {
		g := &grants[i]
		g.Org, g.Principal, g.Created, g.CreatedBy = org, id, tx.Now, tx.By.ID
	}
	return tx.PutGrants(ctx, grants...)
}

// Grants is the assignment as rows, in the order of their keys, without whose they are.
func (a Assignment) Grants() []store.Grant {
	grants := make([]store.Grant, 0, len(a.Roles)+len(a.Keys))
	for _, key := range slices.Sorted(slices.Values(a.Keys)) {
		grants = append(grants, store.Grant{Permit: key, Expires: a.Until})
	}
	for _, role := range slices.Sorted(slices.Values(a.Roles)) {
		grants = append(grants, store.Grant{Role: role, Expires: a.Until})
	}
	return grants
}

// Revoke takes grants from a principal whom the caller must control.
func (tx *Tx) Revoke(ctx context.Context, p store.Principal, a Assignment) error {
	if len(a.Roles)+len(a.Keys) == 0 {
		return nil
	}
	if err := tx.MustControl(ctx, p); err != nil {
		return err
	}
	for _, role := range a.Roles {
		if err := tx.DropGrant(ctx, store.Grant{Org: p.Org, Principal: p.ID, Role: role}); err != nil {
			return err
		}
	}
	for _, key := range a.Keys {
		if err := tx.DropGrant(ctx, store.Grant{Org: p.Org, Principal: p.ID, Permit: key}); err != nil {
			return err
		}
	}
	return nil
}

// Replaces tells whether a grant is one of the assignment's.
func (a Assignment) Replaces(g store.Grant) bool {
	return (g.Role != "" && slices.Contains(a.Roles, g.Role)) || (g.Permit != "" && slices.Contains(a.Keys, g.Permit))
}

// GivenBy tells whether all of the assignment is there already, until the same time.
func (a Assignment) GivenBy(present []store.Grant) bool {
	same := 0
	for _, g := range present {
		if a.Replaces(g) && g.Expires == a.Until {
			same++
		}
	}
	return same == len(a.Roles)+len(a.Keys)
}

// Expiry reads the two ways to say when something ends; neither means never.
func (s *Changes) Expiry(at *timestamppb.Timestamp, ttl *durationpb.Duration) store.Micros {
	switch {
	case at != nil:
		return store.At(at.AsTime())
	case ttl != nil:
		return store.At(s.Now().Add(ttl.AsDuration()))
	}
	return 0
}
