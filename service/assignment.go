package service

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

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
func (d *decision) mustGrant(a assignment) error {
	for _, id := range a.roles {
		role, ok := d.cat.role[id]
		if !ok || !d.cat.visible(role, d.org.ID, d.by.Platform) {
			return errNotFound
		}
		if role.PlatformOnly && !d.org.Platform {
			return errPlatformOnly
		}
	}
	for _, key := range a.keys {
		system := strings.HasPrefix(key, systemPrefix)
		if !d.cat.Known(key) || (system && !d.by.Platform) {
			return refuse(errUnknownPermission, "permission", key)
		}
		if system && !d.org.Platform {
			return errPlatformOnly
		}
	}
	return d.mustHold(d.cat.Of(a.roles, a.keys), a.until)
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
