package service

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/service/secret"
	"github.com/bizmetry/identity/store"
)

// etagOf is the version of a resource as clients see it.
func etagOf(version int64) string { return strconv.FormatInt(version, 10) }

// stamp is a time for the wire; never is absent.
func stamp(m store.Micros) *timestamppb.Timestamp {
	if m == 0 {
		return nil
	}
	return timestamppb.New(m.Time())
}

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

func stateOf(u *store.User) identityv1.User_State {
	switch {
	case !u.Enabled:
		return identityv1.User_DISABLED
	case !u.Confirmed:
		return identityv1.User_PENDING
	}
	return identityv1.User_ACTIVE
}

func userProto(u *store.User, g granted, lockedUntil store.Micros) *identityv1.User {
	var phone *string
	if u.PhoneMasked != "" {
		phone = &u.PhoneMasked
	}
	return &identityv1.User{
		Id: u.ID, OrganizationId: u.Org, Email: &u.Email, FirstName: &u.FirstName, LastName: &u.LastName,
		DisplayName: u.DisplayName, Confirmed: &u.Confirmed, Enabled: u.Enabled, State: stateOf(u),
		Phone: phone, PhoneVerified: u.PhoneVerified,
		Roles: g.roles, Permissions: g.permissions, RoleIds: g.roleIDs, PermissionKeys: g.keys,
		LockedUntil: stamp(lockedUntil), CreateTime: stamp(u.Created), UpdateTime: stamp(u.Updated), CreatedBy: u.CreatedBy,
		LastSignInTime: stamp(u.LastSignIn), DeleteTime: stamp(u.Deleted), Etag: etagOf(u.Version),
	}
}

func accountProto(a store.ServiceAccount, g granted) *identityv1.ServiceAccount {
	p := &identityv1.ServiceAccount{
		Id: a.ID, OrganizationId: a.Org, DisplayName: &a.DisplayName, Description: &a.Description, Enabled: a.Enabled,
		ParentType: &a.ParentType, ParentId: &a.ParentID, ParentName: &a.ParentName,
		Roles: g.roles, Permissions: g.permissions, RoleIds: g.roleIDs, PermissionKeys: g.keys,
		Audiences: a.Audiences, AllowedNetworks: a.AllowedNetworks,
		LastUsedTime: stamp(a.LastUsed), CreateTime: stamp(a.Created), UpdateTime: stamp(a.Updated), CreatedBy: a.CreatedBy,
		DeleteTime: stamp(a.Deleted), Etag: etagOf(a.Version),
	}
	p.TokenLifetime = durationpb.New(lifetimeOf(a))
	return p
}

// defaultLifetime of access tokens.
const defaultLifetime = 15 * time.Minute

func lifetimeOf(a store.ServiceAccount) time.Duration {
	if a.TokenLifetime == 0 {
		return defaultLifetime
	}
	return time.Duration(a.TokenLifetime) * time.Microsecond
}

func credentialProto(c store.Credential) *identityv1.Credential {
	p := &identityv1.Credential{
		Id: c.ID, ServiceAccountId: c.Account, Kind: identityv1.Credential_Kind(identityv1.Credential_Kind_value[c.Kind]),
		DisplayName: &c.DisplayName, Enabled: c.Enabled,
		LastUsedTime: stamp(c.LastUsed), CreateTime: stamp(c.Created), CreatedBy: c.CreatedBy,
	}
	if c.Expires != 0 {
		p.Expiration = &identityv1.Credential_ExpireTime{ExpireTime: stamp(c.Expires)}
	}
	return p
}

func organizationProto(o store.Organization) *identityv1.Organization {
	state := identityv1.Organization_ACTIVE
	if o.Suspended {
		state = identityv1.Organization_SUSPENDED
	}
	policy := identityv1.Organization_STANDARD
	if o.PasswordPolicy == secret.NIST {
		policy = identityv1.Organization_NIST
	}
	return &identityv1.Organization{
		PasswordPolicy: policy, ChangeInitialPassword: &o.ChangeInitialPassword,
		Id: o.ID, DisplayName: &o.DisplayName, Platform: o.Platform, State: state,
		CreateTime: stamp(o.Created), UpdateTime: stamp(o.Updated), CreatedBy: o.CreatedBy, Etag: etagOf(o.Version),
	}
}

func sessionProto(s store.Session) *identityv1.Session {
	return &identityv1.Session{
		Id: s.ID, OrganizationId: s.Org, UserId: s.User, CreateTime: stamp(s.Created), RefreshTime: stamp(s.Refreshed),
		ExpireTime: stamp(s.Expires), EndTime: stamp(s.Ended),
	}
}

func eventProto(e store.Event) *identityv1.Event {
	return &identityv1.Event{
		Sequence: e.Seq, OrganizationId: e.Org, Time: stamp(e.Time), Type: e.Type,
		Actor:    &identityv1.Event_Actor{Id: e.Actor, OrganizationId: e.ActorOrg, CredentialId: e.Credential},
		TargetId: e.Target, Data: e.Data, RequestId: e.RequestID, Source: e.Source, OperationId: e.Operation,
	}
}
