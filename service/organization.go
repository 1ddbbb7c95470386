package service

import (
	"context"
	"slices"

	identityv1 "github.com/bizmetry/identity/gen/bizmetry/identity/v1"
	"github.com/bizmetry/identity/store"
)

// Ids of the built-in roles that the rules themselves assign.
const (
	superUser        = "00000000-0000-7000-8000-000000000001"
	platformOperator = "00000000-0000-7000-8000-000000000012"
)

// CreateOrganization adds an organization with its first administrator.
func (s *Service) CreateOrganization(ctx context.Context, req *identityv1.CreateOrganizationRequest) (*identityv1.CreateOrganizationResponse, error) {
	resp := &identityv1.CreateOrganizationResponse{}
	if done, err := s.replay(ctx, s.store.Reads, req, resp); done || err != nil {
		return resp, err
	}
	now := store.At(s.now())
	org := store.Organization{
		ID: s.newID(), DisplayName: req.GetOrganization().GetDisplayName(), PasswordPolicy: "standard", ChangeInitialPassword: true,
		Epoch: now, Version: 1, Created: now, Updated: now,
	}
	u, err := s.newUser(ctx, org, req.GetAdministrator(), "administrator.")
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, func(ch *change) error {
		if done, err := s.replay(ctx, ch.Reads, req, resp); done || err != nil {
			return err
		}
		if u.Confirmed && !ch.mayConfirm() {
			return errConfirmNotAllowed
		}
		org.CreatedBy, u.CreatedBy = ch.by.ID, ch.by.ID
		if err := ch.found(ctx, org, u, req.GetAdministrator()); err != nil {
			return err
		}
		resp.Organization = organizationProto(org)
		var err error
		if resp.Administrator, err = ch.userAnswer(ctx, u); err != nil {
			return err
		}
		return ch.remember(ctx, req, resp)
	})
	return resp, err
}

// found writes the organization and its administrator. Super User is exempt
// from the hold rule there; what is asked for besides is not.
func (ch *change) found(ctx context.Context, org store.Organization, u store.User, in *identityv1.User) error {
	if err := ch.AddOrganization(ctx, org); err != nil {
		return err
	}
	here := *ch
	here.org = org
	extra := assignment{roles: slices.DeleteFunc(slices.Clone(in.GetRoleIds()), func(id string) bool { return id == superUser }), keys: in.GetPermissionKeys()}
	if err := here.mustGrant(extra); err != nil {
		return err
	}
	ch.recordIn(org.ID, "organization.created", org.ID, nil)
	extra.roles = append(extra.roles, superUser)
	if err := here.addUser(ctx, u, extra); err != nil {
		return err
	}
	return here.inviteUnlessConfirmed(ctx, org, u)
}

// GetOrganization returns an organization: one's own with the platform
// permission, any with the system one.
func (s *Service) GetOrganization(ctx context.Context, req *identityv1.GetOrganizationRequest) (*identityv1.Organization, error) {
	c := callOf(ctx)
	id := req.GetId()
	if id == "-" {
		id = c.caller.Org
	}
	if !c.caller.has("system.organizations.read") && id != c.caller.Org {
		if !c.caller.has(actInOrganizations) {
			return nil, errNotFound
		}
	}
	o, err := s.store.Organization(ctx, id)
	if err != nil {
		return nil, err
	}
	return organizationProto(o), nil
}
